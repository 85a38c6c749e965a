//! What /metrics promises to whoever builds dashboards and alerts on it.

use e2e::api::Api;
use e2e::shop::Shop;
use serde_json::json;

use crate::{card, fresh_key, new_sku, order_of};

/// Names that operators were promised, as they are exposed.
const PROMISED: &[&str] = &[
    "orders_created_total",
    "order_creation_latency_ms_bucket",
    "inventory_reservation_failures_total",
    "outbox_oldest_age_seconds",
    "outbox_pending",
    "outbox_dead",
    "outbox_published_total",
    "consumer_lag",
    "consumer_attempts_total",
    "consumer_parked",
    "breaker_open",
    "breaker_state",
    "payment_attempts_total",
    "payment_fallback_share",
    "payments_settled_total",
    "payments_unknown",
    "payments_unknown_oldest_seconds",
    "db_pool_connections",
    "saga_age_seconds",
    "saga_stuck",
    "http_request_duration_seconds_count",
];

#[tokio::test]
async fn the_promised_metrics_are_there() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let nobody = Api::new(port);
    let merchant = nobody.demo("merchant").await?;
    let sku = new_sku(&merchant, 1).await?;
    let mut order = order_of(&sku, 1);
    order["paymentMethod"] = card("tok_ok")["paymentMethod"].clone();
    nobody.post_once("/api/v1/orders", &fresh_key(), &order).await?.expect(201);
    let short = nobody.post_once("/api/v1/orders", &fresh_key(), &order_of(&sku, 5)).await?;
    assert_eq!(short.code(), "orders.stock_short");
    let internal = Api::new(port + 10);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let page = internal.get("/metrics").await?.expect(200).body;
        let has = |name: &str| page.lines().any(|line| line.starts_with(name));
        let missing: Vec<_> = PROMISED.iter().filter(|name| !has(name)).collect();
        if missing.is_empty() {
            let route = r#"route="/api/v1/orders""#;
            let by_route = page.lines().any(|line| line.contains(route) && line.contains("status"));
            assert!(by_route, "requests are counted by route and status");
            return Ok(());
        }
        // Gauges of lag and pools are set every few seconds.
        let late = std::time::Instant::now() > deadline;
        assert!(!late, "missing: {missing:?}; order: {}", json!(order));
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
