//! Where requests go, and which go nowhere.

use crate::house;

#[tokio::test]
async fn the_api_goes_to_services_and_everything_else_to_pages() {
    let house = house("");
    let answer = house.client.get("/api/v1/products/lamp?x=1").send().await.expect(200).value();
    assert_eq!(
        (answer["path"].as_str(), answer["query"].as_str()),
        (Some("/api/v1/products/lamp"), Some("x=1"))
    );
    assert_eq!(house.client.get("/api/v1/docs").send().await.expect(200).text(), "documents");
    for page in ["/", "/apiary", "/orders/7", "/api-docs"] {
        assert_eq!(house.client.get(page).send().await.expect(200).text(), "a page", "{page}");
    }
    for nothing in ["/api", "/api/v1", "/api/v1/nothing", "/api/v2/products", "/api/v1/productsx"] {
        house.client.get(nothing).send().await.expect_problem(404, "request.no_route");
    }
}

#[tokio::test]
async fn a_service_that_is_nowhere_or_does_not_answer_is_away_for_a_moment() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let house = house(&format!(
        "[gateway]\ntimeout_ms = 200\n[gateway.upstreams]\ncart = \"http://{}\"\norders = \"http://{closed}\"",
        silent.local_addr().unwrap()
    ));
    for path in ["/api/v1/users/7", "/api/v1/cart", "/api/v1/orders", "/ws/orders"] {
        let answer = house.client.get(path).send().await;
        let answer = answer.expect_problem(503, "gateway.service_away");
        assert_eq!(answer.header("retry-after"), "1", "{path}");
    }
}

#[tokio::test]
async fn one_caller_is_slowed_down_and_the_others_are_not() {
    let house = house("[gateway]\ncaller_per_second = 1\ncaller_burst = 3");
    let (hasty, calm) = (house.user_token(), house.user_token());
    let ask = |token: &str| house.client.get("/api/v1/products").bearer(token).send();
    for _ in 0..3 {
        ask(&hasty).await.expect(200);
    }
    let answer = ask(&hasty).await.expect_problem(429, "rate.limited");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=3).contains(&wait), "{wait}");
    ask(&calm).await.expect(200);
    for _ in 0..5 {
        house.client.get("/api/v1/products").send().await.expect(200);
    }
}

#[tokio::test]
async fn one_address_is_slowed_down_pages_included() {
    let house = house("[gateway]\naddress_per_second = 1\naddress_burst = 3");
    for path in ["/", "/api/v1/products", "/"] {
        house.client.get(path).send().await.expect(200);
    }
    let answer = house.client.get("/").send().await.expect_problem(429, "rate.limited");
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn what_only_the_house_may_say_is_taken_off_at_the_door() {
    let house = house("");
    let answer = house
        .client
        .get("/api/v1/products")
        .bearer(&house.user_token())
        .header("x-bv-client-address", "203.0.113.9")
        .header("x-bv-fresh-guest", "1")
        .header("X-BV-Anything", "root")
        .header("x-mine", "kept")
        .send()
        .await
        .expect(200);
    let value = answer.value();
    let headers = value["headers"].as_object().unwrap();
    assert!(!headers.keys().any(|name| name.starts_with("x-bv-")), "{headers:?}");
    assert_eq!(headers["x-mine"], "kept");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn a_trace_goes_through_and_a_wrong_one_is_started_anew() {
    let house = house("");
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (sent, same) in [(given, true), ("nonsense", false)] {
        let answer = house
            .client
            .get("/api/v1/products")
            .header("traceparent", sent)
            .send()
            .await
            .expect(200);
        let seen = answer.value()["headers"]["traceparent"].as_str().unwrap().to_owned();
        assert_eq!(seen.contains("0af7651916cd43dd8448eb211c80319c"), same, "{seen}");
        assert_eq!(answer.header("traceparent").len(), 55, "{}", answer.header("traceparent"));
    }
}
