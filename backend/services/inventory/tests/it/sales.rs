//! Units of flash sales.

use contracts::generated::bellavista::inventory::v1 as proto;
use proto::{ReserveOutcome, SetAsideOutcome};
use shared_types::OrderId;
use uuid::Uuid;

use crate::shop::{Shop, code, shop};

async fn carve(shop: &Shop, sale: Uuid, sku: &str, qty: i64) -> Result<(bool, i64), tonic::Status> {
    let request = proto::SetAsideRequest { sale_id: sale.to_string(), sku: sku.to_owned(), qty };
    let answer = shop.set_asides.set_aside(request).await?;
    Ok((answer.outcome() == SetAsideOutcome::SetAside, answer.available))
}

async fn end(shop: &Shop, sale: Uuid) -> Result<i64, tonic::Status> {
    let request = proto::ReturnSetAsideRequest { sale_id: sale.to_string(), sku: String::new() };
    Ok(shop.set_asides.return_set_aside(request).await?.returned)
}

async fn buy(
    shop: &Shop,
    order: OrderId,
    sale: Uuid,
    lines: &[(&str, i64, bool)],
) -> Result<proto::ReserveResponse, tonic::Status> {
    let line = |(sku, qty, of_sale): &(&str, i64, bool)| proto::Line {
        sku: (*sku).to_owned(),
        qty: *qty,
        sale_id: if *of_sale { sale.to_string() } else { String::new() },
    };
    let request = proto::ReserveRequest {
        order_id: order.to_string(),
        lines: lines.iter().map(line).collect(),
        ttl_seconds: 0,
        accept_backorder: false,
    };
    shop.stock.reserve(request).await
}

async fn set_aside(shop: &Shop, sku: &str) -> i64 {
    let query = proto::StockQuery { skus: vec![sku.to_owned()] };
    shop.stock.query(query).await.unwrap().levels[0].set_aside
}

#[tokio::test]
async fn a_sale_sells_what_was_set_aside_for_it_and_nothing_else() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let sale: Uuid = shop.bench.id();
    assert_eq!(carve(&shop, sale, "A", 11).await.unwrap(), (false, 10));
    assert_eq!(carve(&shop, sale, "A", 4).await.unwrap(), (true, 6));
    assert_eq!(carve(&shop, sale, "A", 4).await.unwrap(), (true, 6), "sent twice");
    assert_eq!(code(&carve(&shop, sale, "A", 5).await.unwrap_err()), "inventory.sale_differs");
    let order: OrderId = shop.bench.id();
    let both = [("A", 3, true), ("a", 2, false)];
    let held = buy(&shop, order, sale, &both).await.unwrap();
    assert_eq!(held.outcome(), ReserveOutcome::Held);
    assert_eq!(buy(&shop, order, sale, &both).await.unwrap(), held);
    assert_eq!((shop.level("A").await, set_aside(&shop, "A").await), ([10, 5, 0, 4], 1));
    let late = buy(&shop, shop.bench.id(), sale, &[("A", 2, true)]).await.unwrap();
    assert_eq!((late.outcome(), late.short[0].available), (ReserveOutcome::Short, 1));
    let strange = buy(&shop, shop.bench.id(), shop.bench.id(), &[("A", 1, true)]).await;
    assert_eq!(code(&strange.unwrap_err()), "inventory.unknown_sale");
    shop.prove().await;
}

#[tokio::test]
async fn released_units_return_to_their_sale_while_it_lives_and_to_everybody_after() {
    let shop = shop().await;
    shop.open("A", 10).await;
    let sale: Uuid = shop.bench.id();
    carve(&shop, sale, "A", 5).await.unwrap();
    let (one, two): (OrderId, OrderId) = (shop.bench.id(), shop.bench.id());
    buy(&shop, one, sale, &[("A", 2, true)]).await.unwrap();
    buy(&shop, two, sale, &[("A", 3, true)]).await.unwrap();
    shop.confirm(two).await;
    assert!(shop.release(one).await);
    assert_eq!((shop.level("A").await, set_aside(&shop, "A").await), ([10, 0, 3, 5], 2));
    assert_eq!(end(&shop, sale).await.unwrap(), 2);
    assert_eq!(end(&shop, sale).await.unwrap(), 0);
    assert!(shop.release(two).await, "a cancellation after the sale");
    assert_eq!((shop.level("A").await, set_aside(&shop, "A").await), ([10, 0, 0, 10], 0));
    let late = buy(&shop, shop.bench.id(), sale, &[("A", 1, true)]).await.unwrap();
    assert_eq!(late.outcome(), ReserveOutcome::Short);
    assert_eq!(code(&carve(&shop, sale, "A", 5).await.unwrap_err()), "inventory.sale_ended");
    assert_eq!(code(&end(&shop, shop.bench.id()).await.unwrap_err()), "inventory.unknown_sale");
    shop.prove().await;
}

#[tokio::test]
async fn an_expired_hold_gives_its_units_back_to_the_sale() {
    let shop = shop().await;
    shop.open("A", 3).await;
    let sale: Uuid = shop.bench.id();
    carve(&shop, sale, "A", 3).await.unwrap();
    buy(&shop, shop.bench.id(), sale, &[("A", 3, true)]).await.unwrap();
    shop.bench.advance(std::time::Duration::from_secs(601));
    shop.run_tasks();
    shop.until("A", [3, 0, 0, 0]).await;
    assert_eq!(set_aside(&shop, "A").await, 3);
    shop.prove().await;
    shop.bench.ctx.lifecycle.stop(std::time::Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn wrong_set_asides_are_refused_by_field() {
    let shop = shop().await;
    let request = proto::SetAsideRequest { sale_id: "x".to_owned(), sku: String::new(), qty: 0 };
    let refused = shop.set_asides.set_aside(request).await.unwrap_err();
    for field in ["sale_id", "sku", "qty"] {
        assert!(refused.message().contains(field), "{refused}");
    }
    let unknown = carve(&shop, shop.bench.id(), "nope", 1).await.unwrap_err();
    assert_eq!(code(&unknown), "inventory.unknown_sku");
}
