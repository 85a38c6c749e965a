//! The gRPC port of a process: its services, with health and reflection.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::CALL_TIMEOUT;
use crate::telemetry::{self, Span, SpanKind};
use crate::trace::{self, TraceContext};

/// Services being mounted.
pub struct Routes {
    routes: RoutesBuilder,
    reporter: HealthReporter,
    names: Vec<&'static str>,
}

/// A call may outlive its caller's patience by this much, for writing it down.
const SERVER_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_CONCURRENT_STREAMS: u32 = 1_024;

impl Routes {
    /// `descriptors` is the file descriptor set that reflection answers from.
    pub fn new(descriptors: &'static [u8]) -> anyhow::Result<Self> {
        let mut routes = RoutesBuilder::default();
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // Many clients, Python's for one, ask for the older name of the same protocol only.
        let v1 = reflection().build_v1().context("gRPC reflection")?;
        let v1alpha = reflection().build_v1alpha().context("gRPC reflection v1alpha")?;
        routes.add_service(health).add_service(v1).add_service(v1alpha);
        Ok(Routes { routes, reporter, names: Vec::new() })
    }

    pub fn mount(&mut self, name: &'static str, mount: impl FnOnce(&mut RoutesBuilder)) {
        mount(&mut self.routes);
        self.names.push(name);
    }

    /// Whether nothing was mounted besides health and reflection.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Serves until `soft` is cancelled, then finishes what runs.
    pub async fn serve(self, listener: TcpListener, soft: CancellationToken) -> anyhow::Result<()> {
        for name in &self.names {
            self.reporter.set_service_status(name, ServingStatus::Serving).await;
        }
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let reporter = self.reporter.clone();
        let names = self.names.clone();
        Server::builder()
            .timeout(SERVER_TIMEOUT.max(CALL_TIMEOUT))
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .tcp_nodelay(true)
            .add_routes(self.routes.routes().into_axum_router().layer(from_fn(traced)).into())
            .serve_with_incoming_shutdown(incoming, async move {
                soft.cancelled().await;
                for name in names {
                    reporter.set_service_status(name, ServingStatus::NotServing).await;
                }
            })
            .await?;
        Ok(())
    }
}

/// Every call under its trace, in a span of the service that answers it.
async fn traced(request: Request, next: Next) -> Response {
    let context = TraceContext::from_headers(request.headers());
    let began = SystemTime::now();
    // `/bellavista.inventory.v1.Inventory/ReserveStock`
    let path = telemetry::is_on().then(|| request.uri().path().to_owned());
    let response = trace::within(context.clone(), next.run(request)).await;
    if let Some(path) = path {
        let status = response.headers().get("grpc-status").and_then(|v| v.to_str().ok());
        telemetry::record(Span {
            service: path.split('.').nth(1).unwrap_or("grpc").to_owned().into(),
            name: path.trim_start_matches('/').to_owned(),
            kind: SpanKind::Server,
            context,
            began,
            failed: status.is_some_and(|code| code != "0"),
            attributes: vec![("rpc.system", "grpc".to_owned())],
        });
    }
    response
}
