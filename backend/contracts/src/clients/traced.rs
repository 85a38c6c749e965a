//! Calls as spans of their caller, whether they leave the process or not.

use std::sync::Arc;

use async_trait::async_trait;
use platform::telemetry::{self, SpanKind};
use tonic::Status;

use super::{CartClient, CatalogClient, PaymentsClient, SetAsideClient, StockClient};
use crate::generated::bellavista::{cart, catalog, inventory, payments};

/// A client whose calls show in traces under the name of `caller`.
pub struct Traced<C: ?Sized> {
    client: Arc<C>,
    caller: &'static str,
}

impl<C: ?Sized> Traced<C> {
    pub fn new(client: Arc<C>, caller: &'static str) -> Self {
        Traced { client, caller }
    }
}

macro_rules! traced {
    ($trait:ident { $($method:ident as $name:literal ($in:path) -> $out:path),+ $(,)? }) => {
        #[async_trait]
        impl<C: $trait + ?Sized> $trait for Traced<C> {
            $(async fn $method(&self, request: $in) -> Result<$out, Status> {
                let call = self.client.$method(request);
                telemetry::within(self.caller, SpanKind::Client, $name, call).await
            })+
        }
    };
}

traced!(StockClient {
    reserve as "ReserveStock" (inventory::v1::ReserveRequest) -> inventory::v1::ReserveResponse,
    release as "ReleaseStock" (inventory::v1::ReleaseRequest) -> inventory::v1::ReleaseResponse,
    confirm as "ConfirmStock" (inventory::v1::ConfirmRequest) -> inventory::v1::ConfirmResponse,
    query as "QueryStock" (inventory::v1::StockQuery) -> inventory::v1::StockStatus,
    open_stock as "OpenStock" (inventory::v1::OpenStockRequest) -> inventory::v1::OpenStockResponse,
    pin_hold as "PinHold" (inventory::v1::PinHoldRequest) -> inventory::v1::PinHoldResponse,
    return_stock as "ReturnStock" (inventory::v1::ReturnStockRequest) -> inventory::v1::ReturnStockResponse,
});

traced!(SetAsideClient {
    set_aside as "SetAside" (inventory::v1::SetAsideRequest) -> inventory::v1::SetAsideResponse,
    return_set_aside as "ReturnSetAside" (inventory::v1::ReturnSetAsideRequest) -> inventory::v1::ReturnSetAsideResponse,
});

traced!(PaymentsClient {
    capture as "Capture" (payments::v1::CaptureRequest) -> payments::v1::CaptureResponse,
    get_attempt as "GetAttempt" (payments::v1::GetAttemptRequest) -> payments::v1::CaptureResponse,
    refund as "Refund" (payments::v1::RefundRequest) -> payments::v1::RefundResponse,
});

traced!(CatalogClient {
    find_variants as "FindVariants" (catalog::v1::FindVariantsRequest) -> catalog::v1::FindVariantsResponse,
});

traced!(CartClient {
    get_lines as "GetLines" (cart::v1::GetLinesRequest) -> cart::v1::GetLinesResponse,
});
