//! `bellavista.cart.v1.Carts` for service accounts, and the same in process.

use async_trait::async_trait;
use contracts::clients::CartClient;
use contracts::generated::bellavista::cart::v1::carts_server::Carts;
use contracts::generated::bellavista::cart::v1::{CartLine, GetLinesRequest, GetLinesResponse};
use platform::auth::Verifier;
use platform::{ApiError, Kind, grpc, trace};
use shared_types::{CartId, FieldError};
use tonic::{Request, Response, Status};

use crate::commands::App;
use crate::domain::owner::Owner;
use crate::queries;

async fn get_lines(app: &App, request: GetLinesRequest) -> Result<GetLinesResponse, ApiError> {
    let wrong = |field: &str, message: &str| {
        let (field, code) = (field.to_owned(), "invalid".to_owned());
        let detail = format!("{field}: {message}");
        let fields = vec![FieldError { field, code, message: message.to_owned() }];
        ApiError::new(Kind::Invalid, "request.invalid", detail).with_fields(fields)
    };
    let cart: CartId = request.cart_id.parse().map_err(|_| wrong("cart_id", "must be a UUID"))?;
    let owner = Owner::parse(&request.owner)
        .ok_or_else(|| wrong("owner", "must be user:<uuid> or guest:<uuid>"))?;
    if owner.cart_id() != cart {
        return Ok(GetLinesResponse { found: false, lines: Vec::new() });
    }
    let basket = queries::basket(app, cart).await?;
    let line = |l: &crate::domain::basket::Line| CartLine { sku: l.sku.to_string(), qty: l.qty };
    Ok(GetLinesResponse { found: true, lines: basket.lines.iter().map(line).collect() })
}

/// The client for callers in this process.
pub struct LocalCarts {
    pub app: App,
}

#[async_trait]
impl CartClient for LocalCarts {
    async fn get_lines(&self, request: GetLinesRequest) -> Result<GetLinesResponse, Status> {
        match tokio::time::timeout(grpc::CALL_TIMEOUT, get_lines(&self.app, request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }
}

/// The server; mount it with `CartsServer::new`.
pub struct CartService {
    pub app: App,
    pub verifier: Verifier,
}

#[tonic::async_trait]
impl Carts for CartService {
    async fn get_lines(
        &self,
        request: Request<GetLinesRequest>,
    ) -> Result<Response<GetLinesResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        grpc::service_caller(&self.verifier, &metadata).await?;
        let work = get_lines(&self.app, message);
        Ok(Response::new(trace::within(grpc::trace_of(&metadata), work).await?))
    }
}
