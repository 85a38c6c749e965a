//! The gRPC port of a process: its services, with health and reflection.

use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::CALL_TIMEOUT;

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
            .add_routes(self.routes.routes())
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
