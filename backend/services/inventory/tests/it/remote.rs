//! The same through a real channel.

use contracts::clients::StockClient;
use contracts::clients::remote::Remote;
use contracts::generated::DESCRIPTORS;
use contracts::generated::bellavista::inventory::v1 as proto;
use contracts::generated::bellavista::inventory::v1::inventory_client::InventoryClient;
use platform::grpc::server::Routes;
use platform::testing::outbox;
use shared_types::{OrderId, Role, UserId};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request};

use crate::shop::{Shop, code, reserve_request, shop};

async fn serve(shop: &Shop) -> (String, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let mut routes = Routes::new(DESCRIPTORS).unwrap();
    for mount in std::mem::take(&mut shop.service.lock().unwrap().grpc) {
        routes.mount("bellavista.inventory.v1.Inventory", mount);
    }
    let end = CancellationToken::new();
    shop.bench.ctx.lifecycle.spawn("grpc", routes.serve(listener, end.clone()));
    (address, end)
}

#[tokio::test]
async fn stock_is_commanded_over_the_wire_by_services_only() {
    let shop = shop().await;
    shop.open("A", 5).await;
    let (address, end) = serve(&shop).await;
    let (issuer, clock) = (shop.bench.ctx.issuer.clone(), shop.bench.ctx.clock.clone());
    let remote = Remote::new(&address, issuer, clock, "orders").unwrap();
    let order: OrderId = shop.bench.id();
    let held = remote.reserve(reserve_request(order, &[("A", 2)])).await.unwrap();
    assert_eq!(held.outcome(), proto::ReserveOutcome::Held);
    let order_id = order.to_string();
    let pin = proto::PinHoldRequest { order_id: order_id.clone(), pinned: true, extend: true };
    assert!(remote.pin_hold(pin).await.unwrap().held);
    let confirm = proto::ConfirmRequest { order_id: order_id.clone() };
    let confirmed = remote.confirm(confirm).await.unwrap();
    assert_eq!(confirmed.outcome(), proto::ConfirmOutcome::Confirmed);
    let query = proto::StockQuery { skus: vec!["a".to_owned(), "zz".to_owned()] };
    let levels = remote.query(query).await.unwrap().levels;
    assert_eq!((levels[0].allocated, levels[0].available, levels[1].known), (2, 3, false));
    assert!(remote.release(proto::ReleaseRequest { order_id }).await.unwrap().released);
    let refusal = remote.reserve(reserve_request(order, &[("A", 2)])).await.unwrap_err();
    assert_eq!(code(&refusal), "inventory.order_ended");

    let mut bare = InventoryClient::connect(address).await.unwrap();
    let query = || proto::StockQuery { skus: vec!["a".to_owned()] };
    let nobody = bare.query_stock(query()).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    let user: UserId = shop.bench.id();
    let admin = shop.bench.token_for_user(user, &[Role::Admin]);
    for (token, wanted) in
        [(admin.as_str(), Code::PermissionDenied), ("junk", Code::Unauthenticated)]
    {
        let mut request = Request::new(query());
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        assert_eq!(bare.query_stock(request).await.unwrap_err().code(), wanted);
    }
    end.cancel();
}

#[tokio::test]
async fn the_trace_of_the_caller_reaches_its_events() {
    let shop = shop().await;
    shop.open("A", 5).await;
    let (address, end) = serve(&shop).await;
    let mut client = InventoryClient::connect(address).await.unwrap();
    let mut request = Request::new(reserve_request(shop.bench.id(), &[("A", 1)]));
    let token = format!("Bearer {}", shop.bench.service_token("orders"));
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    request.metadata_mut().insert("x-correlation-id", "till-7".parse().unwrap());
    client.reserve_stock(request).await.unwrap();
    let rows = outbox(shop.bench.pool()).await;
    let told: Vec<_> =
        rows.iter().filter(|r| r.correlation_id == "till-7").map(|r| &r.event_type).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    end.cancel();
}
