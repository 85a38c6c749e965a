//! Any gRPC client: reflection, health, and stock for orders.

use e2e::api::Api;
use e2e::shop::{self, Shop};
use tonic::Request;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use self::generated::bellavista::inventory::v1 as stock;
use self::generated::bellavista::inventory::v1::inventory_client::InventoryClient;
use crate::{fresh_key, new_sku};

/// What any client generates from the public proto files.
#[path = "../../../backend/contracts/src/generated/packages.rs"]
#[allow(dead_code, clippy::all)]
mod generated;

#[tokio::test]
async fn reflection_names_the_services() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let address = format!("http://127.0.0.1:{}", port + 1);
    let channel = tonic::transport::Endpoint::from_shared(address)?.connect().await?;
    let mut client = ServerReflectionClient::new(channel);
    let ask = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = client.server_reflection_info(tokio_stream::iter([ask])).await?.into_inner();
    let answer = answers.message().await?.and_then(|a| a.message_response);
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
    for wanted in ["bellavista.inventory.v1.Inventory", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|n| n == wanted), "{wanted} not in {names:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_service_account_reserves_confirms_and_releases() -> anyhow::Result<()> {
    let port = Shop::shared().await?;
    let sku = new_sku(&Api::new(port).demo("merchant").await?, 3).await?;
    let home = Shop::shared_home().await?;
    let program = shop::program()?;
    let token = shop::lines_of(&program, &["token", "--service", "tools"], &home).await?.remove(0);
    let mut client = InventoryClient::connect(format!("http://127.0.0.1:{}", port + 1)).await?;
    let order_id = fresh_key();
    let reserve = |qty| stock::ReserveRequest {
        order_id: order_id.clone(),
        lines: vec![stock::Line { sku: sku.clone(), qty, sale_id: String::new() }],
        ttl_seconds: 0,
        accept_backorder: false,
    };
    let refused = client.reserve_stock(reserve(2)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    let mine = format!("Bearer {token}").parse::<tonic::metadata::MetadataValue<_>>()?;
    fn with<T>(
        message: T,
        mine: &tonic::metadata::MetadataValue<tonic::metadata::Ascii>,
    ) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", mine.clone());
        request
    }
    for _ in 0..2 {
        let held = client.reserve_stock(with(reserve(2), &mine)).await?.into_inner();
        assert_eq!(held.outcome(), stock::ReserveOutcome::Held);
    }
    let mut other = reserve(2);
    other.order_id = fresh_key();
    let short = client.reserve_stock(with(other, &mine)).await?.into_inner();
    assert_eq!(short.outcome(), stock::ReserveOutcome::Short);
    assert_eq!((short.short[0].requested, short.short[0].available), (2, 1));
    let confirm = stock::ConfirmRequest { order_id: order_id.clone() };
    let confirmed = client.confirm_stock(with(confirm, &mine)).await?.into_inner();
    assert_eq!(confirmed.outcome(), stock::ConfirmOutcome::Confirmed);
    let release = stock::ReleaseRequest { order_id: order_id.clone() };
    assert!(client.release_stock(with(release, &mine)).await?.into_inner().released);
    let query = stock::StockQuery { skus: vec![sku.clone()] };
    let level = client.query_stock(with(query, &mine)).await?.into_inner().levels.remove(0);
    assert_eq!((level.on_hand, level.held, level.allocated, level.available), (3, 0, 0, 3));
    Ok(())
}
