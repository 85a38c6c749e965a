//! How a service calls another.
//!
//! Each trait is the gRPC interface of the callee in prost types. In one
//! process the callee implements it directly; otherwise [`remote`] does, over a
//! channel, with the caller's service token. A status of
//! [`platform::grpc::is_away`] means "away", everything else is an answer.

pub mod fault;
pub mod remote;
pub mod traced;

use async_trait::async_trait;
use tonic::Status;

use crate::generated::bellavista::{cart, catalog, inventory, payments};

/// Stock for orders. All calls are idempotent.
#[async_trait]
pub trait StockClient: Send + Sync {
    async fn reserve(
        &self,
        request: inventory::v1::ReserveRequest,
    ) -> Result<inventory::v1::ReserveResponse, Status>;
    async fn release(
        &self,
        request: inventory::v1::ReleaseRequest,
    ) -> Result<inventory::v1::ReleaseResponse, Status>;
    async fn confirm(
        &self,
        request: inventory::v1::ConfirmRequest,
    ) -> Result<inventory::v1::ConfirmResponse, Status>;
    async fn query(
        &self,
        request: inventory::v1::StockQuery,
    ) -> Result<inventory::v1::StockStatus, Status>;
    async fn open_stock(
        &self,
        request: inventory::v1::OpenStockRequest,
    ) -> Result<inventory::v1::OpenStockResponse, Status>;
    async fn pin_hold(
        &self,
        request: inventory::v1::PinHoldRequest,
    ) -> Result<inventory::v1::PinHoldResponse, Status>;
    async fn return_stock(
        &self,
        request: inventory::v1::ReturnStockRequest,
    ) -> Result<inventory::v1::ReturnStockResponse, Status>;
}

/// Stock for flash sales. All calls are idempotent.
#[async_trait]
pub trait SetAsideClient: Send + Sync {
    async fn set_aside(
        &self,
        request: inventory::v1::SetAsideRequest,
    ) -> Result<inventory::v1::SetAsideResponse, Status>;
    async fn return_set_aside(
        &self,
        request: inventory::v1::ReturnSetAsideRequest,
    ) -> Result<inventory::v1::ReturnSetAsideResponse, Status>;
}

/// Money for orders.
#[async_trait]
pub trait PaymentsClient: Send + Sync {
    async fn capture(
        &self,
        request: payments::v1::CaptureRequest,
    ) -> Result<payments::v1::CaptureResponse, Status>;
    async fn get_attempt(
        &self,
        request: payments::v1::GetAttemptRequest,
    ) -> Result<payments::v1::CaptureResponse, Status>;
    async fn refund(
        &self,
        request: payments::v1::RefundRequest,
    ) -> Result<payments::v1::RefundResponse, Status>;
}

/// Variants for whoever's read model does not know a sku yet.
#[async_trait]
pub trait CatalogClient: Send + Sync {
    async fn find_variants(
        &self,
        request: catalog::v1::FindVariantsRequest,
    ) -> Result<catalog::v1::FindVariantsResponse, Status>;
}

/// Cart lines for placing an order from a cart.
#[async_trait]
pub trait CartClient: Send + Sync {
    async fn get_lines(
        &self,
        request: cart::v1::GetLinesRequest,
    ) -> Result<cart::v1::GetLinesResponse, Status>;
}
