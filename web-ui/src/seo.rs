//! What search engines read: structured data, robots, sitemap.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;
use shared_types::catalog::{Availability, Product};

use crate::api::ProductQuery;
use crate::parts::picture;
use crate::visit::Shop;

/// Sitemaps may hold 50,000 addresses; the pages asked for one keep it cheap.
const MAX_SITEMAP_PAGES: usize = 25;

/// schema.org Product with one Offer per variant, as JSON.
pub fn product_json_ld(product: &Product, public_url: &str) -> String {
    let url = format!("{public_url}/p/{}", product.slug);
    let offers: Vec<_> = product
        .variants
        .iter()
        .map(|variant| {
            let availability = match variant.availability {
                Availability::InStock => "https://schema.org/InStock",
                Availability::Low => "https://schema.org/LimitedAvailability",
                Availability::Out => "https://schema.org/OutOfStock",
            };
            json!({
                "@type": "Offer",
                "sku": variant.sku.as_str(),
                "name": variant.title,
                "price": variant.price.to_string(),
                "priceCurrency": variant.currency.code(),
                "availability": availability,
                "itemCondition": "https://schema.org/NewCondition",
                "url": url,
            })
        })
        .collect();
    json!({
        "@context": "https://schema.org",
        "@type": "Product",
        "name": product.title,
        "description": product.description,
        "image": format!("{public_url}{}", picture(product).0),
        "category": product.categories.first(),
        "url": url,
        "brand": { "@type": "Brand", "name": "Bellavista" },
        "offers": offers,
    })
    .to_string()
}

pub async fn robots(State(shop): State<Shop>) -> Response {
    let body = format!(
        "User-agent: *\nDisallow: /account\nDisallow: /api/\nDisallow: /cart\nDisallow: /checkout\n\
         Disallow: /orders/\nDisallow: /search\n\nSitemap: {}/sitemap.xml\n",
        shop.config().public_url
    );
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

pub async fn sitemap(State(shop): State<Shop>) -> Response {
    let origin = &shop.config().public_url;
    match paths(&shop).await {
        Some(paths) => {
            let urls: String = paths
                .iter()
                .map(|path| {
                    format!("<url><loc>{}</loc></url>\n", escape(&format!("{origin}{path}")))
                })
                .collect();
            let body = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                 <urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n{urls}</urlset>\n"
            );
            let headers = [
                (header::CONTENT_TYPE, "application/xml; charset=utf-8"),
                (header::CACHE_CONTROL, "public, max-age=3600"),
            ];
            (headers, body).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "30")], "try again later")
            .into_response(),
    }
}

/// Every public page; `None` while the API is away.
async fn paths(shop: &Shop) -> Option<Vec<String>> {
    let api = shop.anonymous_api();
    let mut paths = vec!["/".to_owned()];
    let categories = api.categories().await.ok()?;
    paths.extend(categories.iter().map(|category| format!("/c/{}", category.slug)));
    let mut after = None;
    for _ in 0..MAX_SITEMAP_PAGES {
        let query = ProductQuery { first: 200, after: after.as_deref(), ..ProductQuery::default() };
        let page = api.products(query).await.ok()?;
        paths.extend(page.items.iter().map(|product| format!("/p/{}", product.slug)));
        after = page.page_info.end_cursor.filter(|_| page.page_info.has_next_page);
        if after.is_none() {
            break;
        }
    }
    let legal = ["imprint", "privacy", "terms", "returns"];
    paths.extend(legal.iter().map(|page| format!("/legal/{page}")));
    Some(paths)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
