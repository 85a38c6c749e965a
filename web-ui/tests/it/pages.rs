use http::StatusCode;
use serde_json::json;
use web_ui::StorefrontConfig;

use crate::browser::{Browser, Shown};
use crate::canned::{inputs, problem, products};

const PAGES: [&str; 13] = [
    "/",
    "/c/kitchen",
    "/c/kitchen?sort=price",
    "/search",
    "/search?q=lamp",
    "/search?q=unicorn",
    "/p/lago-stoneware-vase",
    "/p/passero-bird-house",
    "/cart",
    "/sign-in",
    "/register",
    "/legal/imprint",
    "/legal/privacy",
];

fn csp(shown: &Shown) -> String {
    shown.headers["content-security-policy"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_public_page_renders_as_one_document() {
    let mut browser = Browser::new();
    for path in PAGES {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, StatusCode::OK, "{path}");
        assert!(shown.body.starts_with("<!DOCTYPE html><html lang=\"en\">"), "{path}");
        assert_eq!(shown.body.matches("<h1").count(), 1, "{path}");
        assert_eq!(shown.body.matches("<main").count(), 1, "{path}");
        shown.says("Skip to content").says("</html>");
    }
}

#[tokio::test]
async fn the_policy_is_exact_and_nothing_inline_escapes_it() {
    let mut browser = Browser::new();
    for path in PAGES.iter().chain(&["/nowhere"]) {
        let shown = browser.get(path).await;
        let policy = csp(&shown);
        let nonce = policy.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        assert_eq!(
            policy,
            format!(
                "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; img-src 'self' data:; \
                 style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            )
        );
        assert!(!shown.body.contains("<style"), "{path}");
        assert!(!shown.body.contains(" style="), "{path}");
        assert!(!shown.body.contains(" onclick="), "{path}");
        let scripts = shown.body.matches("<script").count();
        assert_eq!(scripts, shown.body.matches(&format!("nonce=\"{nonce}\"")).count(), "{path}");
        assert_eq!(shown.headers["x-content-type-options"], "nosniff");
        assert_eq!(shown.headers["x-frame-options"], "DENY");
    }
}

#[tokio::test]
async fn each_request_has_its_own_nonce() {
    let mut browser = Browser::new();
    assert_ne!(csp(&browser.get("/").await), csp(&browser.get("/").await));
}

#[tokio::test]
async fn the_front_page_shows_new_things_and_rooms() {
    let shown = Browser::new().get("/").await;
    shown.says("New in the shop").says("Room by room").says("/c/lighting");
    assert!(shown.body.matches("class=\"card\"").count() == 8);
}

#[tokio::test]
async fn a_product_page_names_variants_prices_and_stock() {
    let shown = Browser::new().get("/p/lago-stoneware-vase").await;
    shown.says("$38.00").says("$84.00").says("In stock").says("Few left").says("Arrives ");
    shown.says("Medium, 26 cm").says("action=\"/cart/items\"");
}

#[tokio::test]
async fn a_sold_out_product_cannot_be_put_into_the_cart() {
    let shown = Browser::new().get("/p/passero-bird-house").await;
    shown.says("Sold out").never_says("action=\"/cart/items\"");
}

#[tokio::test]
async fn structured_data_is_valid_and_cannot_end_its_element() {
    let mut browser = Browser::new();
    let mut product = products().remove(0);
    product["title"] = json!("Vase </script><script>alert(1)</script>");
    browser.api.answer_next("GET /products/vase", 200, product);
    let shown = browser.get("/p/vase").await;
    shown.never_says("<script>alert");
    let start = shown.body.find("application/ld+json").unwrap();
    let start = start + shown.body[start..].find('>').unwrap() + 1;
    let end = start + shown.body[start..].find("</script>").unwrap();
    let data: serde_json::Value = serde_json::from_str(&shown.body[start..end]).unwrap();
    assert_eq!(data["@type"], "Product");
    assert_eq!(data["offers"][0]["priceCurrency"], "USD");
}

#[tokio::test]
async fn what_is_not_there_is_a_page_with_a_way_on() {
    let mut browser = Browser::new();
    for path in ["/nowhere", "/p/nothing", "/c/nothing", "/legal/nothing", "/orders/abc"] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, StatusCode::NOT_FOUND, "{path}");
        shown.says("To the front page").says("noindex");
    }
}

#[tokio::test]
async fn an_absent_api_is_a_graceful_page() {
    let mut browser = Browser::new();
    browser.api.set_away(true);
    for path in ["/", "/p/lago-stoneware-vase", "/c/kitchen", "/cart", "/search?q=lamp"] {
        let shown = browser.get(path).await;
        assert_eq!(shown.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(shown.headers["retry-after"], "10");
        shown.says("Try again");
    }
}

#[tokio::test]
async fn a_stale_cursor_leads_to_the_first_page() {
    let mut browser = Browser::new();
    let (status, refusal) = problem(400, "page.bad_cursor", "");
    browser.api.answer_next("GET /products", status, refusal);
    let shown = browser.get("/c/kitchen?after=junk").await;
    assert_eq!(shown.location(), "/c/kitchen");
}

#[tokio::test]
async fn lists_page_by_cursor_and_keep_their_order() {
    let mut browser = Browser::new();
    let page =
        json!({"items": products()[..2], "pageInfo": {"endCursor": "a+b/=", "hasNextPage": true}});
    browser.api.answer_next("GET /products", 200, page);
    browser
        .get("/c/kitchen?sort=-price")
        .await
        .says("/c/kitchen?sort=-price&amp;after=a%2Bb%2F%3D");
}

#[tokio::test]
async fn what_was_searched_for_is_shown_as_text() {
    let shown = Browser::new().get("/search?q=%3Cb%3Elamp%22").await;
    assert!(!shown.body.contains("<b>lamp"));
    shown.says("Nothing found");
}

#[tokio::test]
async fn assets_are_hashed_and_kept_for_ever() {
    let mut browser = Browser::new();
    let page = browser.get("/").await;
    for name in ["/assets/storefront.", "/assets/fraunces.", "/assets/instrument-sans."] {
        let start = page.body.find(name).unwrap();
        let url = page.body[start..].split('"').next().unwrap();
        let asset = browser.get(url).await;
        assert_eq!(asset.status, StatusCode::OK, "{url}");
        assert_eq!(asset.headers["cache-control"], "public, max-age=31536000, immutable");
    }
    assert_eq!(browser.get("/assets/storefront.css").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_product_of_the_demo_has_its_artwork() {
    let mut browser = Browser::new();
    for product in inputs() {
        let media = &product.media[0];
        assert!(!media.alt.is_empty(), "{}", product.title);
        let shown = browser.get(&media.url).await;
        assert_eq!(shown.status, StatusCode::OK, "{}", media.url);
        assert_eq!(shown.headers["content-type"], "image/svg+xml");
    }
    assert_eq!(browser.get("/artwork/..%2Fsecret.svg").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn search_engines_find_public_pages_only() {
    let config = StorefrontConfig {
        public_url: "https://shop.example".into(),
        ..StorefrontConfig::default()
    };
    let mut browser = Browser::with(config);
    let sitemap = browser.get("/sitemap.xml").await;
    sitemap.says("<loc>https://shop.example/p/lago-stoneware-vase</loc>").never_says("/cart");
    browser
        .get("/robots.txt")
        .await
        .says("Disallow: /checkout")
        .says("https://shop.example/sitemap.xml");
    browser
        .get("/p/lago-stoneware-vase")
        .await
        .says("href=\"https://shop.example/p/lago-stoneware-vase\"");
    browser.get("/cart").await.says("noindex");
}

#[tokio::test]
async fn over_https_every_cookie_is_secure() {
    let config = StorefrontConfig {
        public_url: "https://shop.example".into(),
        ..StorefrontConfig::default()
    };
    let shown = Browser::with(config).get("/").await;
    assert!(
        shown
            .headers
            .get_all("set-cookie")
            .iter()
            .all(|c| c.to_str().unwrap().ends_with("; Secure"))
    );
    assert!(shown.headers.contains_key("strict-transport-security"));
}
