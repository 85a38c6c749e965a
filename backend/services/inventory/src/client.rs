//! The client for callers in this process: the callee itself.

use async_trait::async_trait;
use contracts::clients::fault::FaultSwitch;
use contracts::clients::{SetAsideClient, StockClient};
use contracts::generated::bellavista::inventory::v1 as proto;
use platform::{ApiError, grpc};
use tonic::Status;

use crate::calls;
use crate::commands::Stockroom;

/// Behaves like a channel: with a deadline, and away when the drill says so.
pub struct LocalStock {
    pub room: Stockroom,
    pub fault: FaultSwitch,
}

/// In whose name callers of this process act.
const ACTOR: &str = "service:local";

impl LocalStock {
    async fn call<T>(&self, work: impl Future<Output = Result<T, ApiError>>) -> Result<T, Status> {
        self.fault.check()?;
        match tokio::time::timeout(grpc::CALL_TIMEOUT, work).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }
}

#[async_trait]
impl StockClient for LocalStock {
    async fn reserve(
        &self,
        request: proto::ReserveRequest,
    ) -> Result<proto::ReserveResponse, Status> {
        self.call(calls::reserve_stock(&self.room, request)).await
    }

    async fn release(
        &self,
        request: proto::ReleaseRequest,
    ) -> Result<proto::ReleaseResponse, Status> {
        self.call(calls::release_stock(&self.room, request)).await
    }

    async fn confirm(
        &self,
        request: proto::ConfirmRequest,
    ) -> Result<proto::ConfirmResponse, Status> {
        self.call(calls::confirm_stock(&self.room, request)).await
    }

    async fn query(&self, request: proto::StockQuery) -> Result<proto::StockStatus, Status> {
        self.call(calls::query_stock(&self.room, request)).await
    }

    async fn open_stock(
        &self,
        request: proto::OpenStockRequest,
    ) -> Result<proto::OpenStockResponse, Status> {
        self.call(calls::open_stock(&self.room, request, ACTOR)).await
    }

    async fn pin_hold(
        &self,
        request: proto::PinHoldRequest,
    ) -> Result<proto::PinHoldResponse, Status> {
        self.call(calls::pin_hold(&self.room, request)).await
    }

    async fn return_stock(
        &self,
        request: proto::ReturnStockRequest,
    ) -> Result<proto::ReturnStockResponse, Status> {
        self.call(calls::return_stock(&self.room, request, ACTOR)).await
    }
}

#[async_trait]
impl SetAsideClient for LocalStock {
    async fn set_aside(
        &self,
        request: proto::SetAsideRequest,
    ) -> Result<proto::SetAsideResponse, Status> {
        self.call(calls::set_aside(&self.room, request)).await
    }

    async fn return_set_aside(
        &self,
        request: proto::ReturnSetAsideRequest,
    ) -> Result<proto::ReturnSetAsideResponse, Status> {
        self.call(calls::return_set_aside(&self.room, request)).await
    }
}
