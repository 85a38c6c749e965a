//! Variants for other services: in process and over gRPC.

use async_trait::async_trait;
use contracts::clients::CatalogClient;
use contracts::generated::bellavista::catalog::v1::catalog_server::Catalog;
use contracts::generated::bellavista::catalog::v1::{FindVariantsRequest, FindVariantsResponse};
use platform::{grpc, trace};
use tonic::{Request, Response, Status};

use crate::App;
use crate::queries;

/// Skus asked for at once.
const MAX_SKUS: usize = 1_000;

/// Answers in the same process.
pub struct Lookup {
    app: App,
}

impl Lookup {
    pub fn new(app: App) -> Self {
        Lookup { app }
    }
}

#[async_trait]
impl CatalogClient for Lookup {
    async fn find_variants(
        &self,
        request: FindVariantsRequest,
    ) -> Result<FindVariantsResponse, Status> {
        find(&self.app, request).await
    }
}

/// Answers over gRPC, to service accounts.
pub struct Server {
    app: App,
}

impl Server {
    pub fn new(app: App) -> Self {
        Server { app }
    }
}

#[async_trait]
impl Catalog for Server {
    async fn find_variants(
        &self,
        request: Request<FindVariantsRequest>,
    ) -> Result<Response<FindVariantsResponse>, Status> {
        grpc::service_caller(&self.app.ctx.verifier, request.metadata()).await?;
        let context = grpc::trace_of(request.metadata());
        let work = find(&self.app, request.into_inner());
        trace::within(context, work).await.map(Response::new)
    }
}

async fn find(app: &App, request: FindVariantsRequest) -> Result<FindVariantsResponse, Status> {
    if request.skus.len() > MAX_SKUS {
        return Err(Status::invalid_argument(format!("at most {MAX_SKUS} skus at once")));
    }
    let variants = queries::variants(app, &request.skus).await?;
    Ok(FindVariantsResponse { variants })
}
