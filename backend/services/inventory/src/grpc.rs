//! `bellavista.inventory.v1.Inventory` for service accounts.

use contracts::generated::bellavista::inventory::v1 as proto;
use contracts::generated::bellavista::inventory::v1::inventory_server::Inventory;
use platform::auth::Verifier;
use platform::{ApiError, grpc, trace};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use crate::calls;
use crate::commands::Stockroom;

/// The server; mount it with `InventoryServer::new`.
pub struct StockService {
    pub room: Stockroom,
    pub verifier: Verifier,
}

impl StockService {
    /// The caller's name for the ledger.
    async fn admit(&self, metadata: &MetadataMap) -> Result<String, Status> {
        Ok(grpc::service_caller(&self.verifier, metadata).await?.actor())
    }
}

async fn answer<T>(
    metadata: &MetadataMap,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<Response<T>, Status> {
    Ok(Response::new(trace::within(grpc::trace_of(metadata), work).await?))
}

#[tonic::async_trait]
impl Inventory for StockService {
    async fn reserve_stock(
        &self,
        request: Request<proto::ReserveRequest>,
    ) -> Result<Response<proto::ReserveResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.admit(&metadata).await?;
        answer(&metadata, calls::reserve_stock(&self.room, message)).await
    }

    async fn release_stock(
        &self,
        request: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.admit(&metadata).await?;
        answer(&metadata, calls::release_stock(&self.room, message)).await
    }

    async fn confirm_stock(
        &self,
        request: Request<proto::ConfirmRequest>,
    ) -> Result<Response<proto::ConfirmResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.admit(&metadata).await?;
        answer(&metadata, calls::confirm_stock(&self.room, message)).await
    }

    async fn query_stock(
        &self,
        request: Request<proto::StockQuery>,
    ) -> Result<Response<proto::StockStatus>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.admit(&metadata).await?;
        answer(&metadata, calls::query_stock(&self.room, message)).await
    }

    async fn open_stock(
        &self,
        request: Request<proto::OpenStockRequest>,
    ) -> Result<Response<proto::OpenStockResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let actor = self.admit(&metadata).await?;
        answer(&metadata, calls::open_stock(&self.room, message, &actor)).await
    }

    async fn pin_hold(
        &self,
        request: Request<proto::PinHoldRequest>,
    ) -> Result<Response<proto::PinHoldResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.admit(&metadata).await?;
        answer(&metadata, calls::pin_hold(&self.room, message)).await
    }

    async fn return_stock(
        &self,
        request: Request<proto::ReturnStockRequest>,
    ) -> Result<Response<proto::ReturnStockResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let actor = self.admit(&metadata).await?;
        answer(&metadata, calls::return_stock(&self.room, message, &actor)).await
    }

    async fn set_aside(
        &self,
        request: Request<proto::SetAsideRequest>,
    ) -> Result<Response<proto::SetAsideResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.admit(&metadata).await?;
        answer(&metadata, calls::set_aside(&self.room, message)).await
    }

    async fn return_set_aside(
        &self,
        request: Request<proto::ReturnSetAsideRequest>,
    ) -> Result<Response<proto::ReturnSetAsideResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.admit(&metadata).await?;
        answer(&metadata, calls::return_set_aside(&self.room, message)).await
    }
}
