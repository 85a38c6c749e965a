//! Clients over a channel, for callees in another process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use platform::auth::Issuer;
use platform::{Clock, grpc};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::{CartClient, CatalogClient, PaymentsClient, SetAsideClient, StockClient};
use crate::generated::bellavista::{cart, catalog, inventory, payments};

/// Speaks in the name of one service account.
#[derive(Clone)]
pub struct Remote {
    /// One per instance of the callee.
    channels: Vec<Channel>,
    /// Counts calls, so that instances take turns.
    turn: Arc<AtomicUsize>,
    issuer: Issuer,
    clock: Clock,
    service: &'static str,
}

const TOKEN_TTL: Duration = Duration::from_secs(300);
/// Payments answers within 8 s with what it knows then.
const MONEY_DEADLINE: Duration = Duration::from_secs(10);

impl Remote {
    /// `addresses` such as `http://127.0.0.1:8081`, several separated by commas;
    /// `service` is the caller.
    pub fn new(
        addresses: &str,
        issuer: Issuer,
        clock: Clock,
        service: &'static str,
    ) -> anyhow::Result<Self> {
        let channels = addresses.split(',').map(|one| grpc::channel(one.trim()));
        let channels = channels.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Remote { channels, turn: Arc::default(), issuer, clock, service })
    }

    /// Every instance once, a different one first each time.
    fn instances(&self) -> impl Iterator<Item = Channel> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.channels.len().max(1);
        let count = self.channels.len();
        self.channels.iter().cycle().skip(first).take(count).cloned()
    }

    fn request<T>(&self, message: T, deadline: Duration) -> Result<Request<T>, Status> {
        let token = self.issuer.service(self.service, self.clock.now(), TOKEN_TTL)?;
        grpc::request_within(message, &token, deadline)
    }
}

macro_rules! forward {
    ($trait:ident within $deadline:expr, $client:path { $($method:ident => $rpc:ident($in:path) -> $out:path),+ $(,)? }) => {
        #[async_trait]
        impl $trait for Remote {
            $(async fn $method(&self, request: $in) -> Result<$out, Status> {
                let mut instances = self.instances().peekable();
                while let Some(channel) = instances.next() {
                    let message = self.request(request.clone(), $deadline)?;
                    match <$client>::new(channel).$rpc(message).await {
                        // Every call may be repeated, so another instance is asked.
                        Err(status) if status.code() == Code::Unavailable && instances.peek().is_some() => {}
                        answer => return answer.map(Response::into_inner),
                    }
                }
                Err(Status::unavailable("no instance is known"))
            })+
        }
    };
}

forward!(StockClient within grpc::CALL_TIMEOUT, inventory::v1::inventory_client::InventoryClient<Channel> {
    reserve => reserve_stock(inventory::v1::ReserveRequest) -> inventory::v1::ReserveResponse,
    release => release_stock(inventory::v1::ReleaseRequest) -> inventory::v1::ReleaseResponse,
    confirm => confirm_stock(inventory::v1::ConfirmRequest) -> inventory::v1::ConfirmResponse,
    query => query_stock(inventory::v1::StockQuery) -> inventory::v1::StockStatus,
    open_stock => open_stock(inventory::v1::OpenStockRequest) -> inventory::v1::OpenStockResponse,
    pin_hold => pin_hold(inventory::v1::PinHoldRequest) -> inventory::v1::PinHoldResponse,
    return_stock => return_stock(inventory::v1::ReturnStockRequest) -> inventory::v1::ReturnStockResponse,
});

forward!(SetAsideClient within grpc::CALL_TIMEOUT, inventory::v1::inventory_client::InventoryClient<Channel> {
    set_aside => set_aside(inventory::v1::SetAsideRequest) -> inventory::v1::SetAsideResponse,
    return_set_aside => return_set_aside(inventory::v1::ReturnSetAsideRequest) -> inventory::v1::ReturnSetAsideResponse,
});

forward!(PaymentsClient within MONEY_DEADLINE, payments::v1::payments_client::PaymentsClient<Channel> {
    capture => capture(payments::v1::CaptureRequest) -> payments::v1::CaptureResponse,
    get_attempt => get_attempt(payments::v1::GetAttemptRequest) -> payments::v1::CaptureResponse,
    refund => refund(payments::v1::RefundRequest) -> payments::v1::RefundResponse,
});

forward!(CatalogClient within grpc::CALL_TIMEOUT, catalog::v1::catalog_client::CatalogClient<Channel> {
    find_variants => find_variants(catalog::v1::FindVariantsRequest) -> catalog::v1::FindVariantsResponse,
});

forward!(CartClient within grpc::CALL_TIMEOUT, cart::v1::carts_client::CartsClient<Channel> {
    get_lines => get_lines(cart::v1::GetLinesRequest) -> cart::v1::GetLinesResponse,
});
