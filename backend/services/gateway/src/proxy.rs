//! Handing a request to its service: in the process, or over HTTP.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, Uri, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use platform::ApiError;
use platform::lifecycle::Lifecycle;
use tower::ServiceExt;

use crate::routes;

/// Where services are. Cheap to clone.
#[derive(Clone)]
pub struct Upstreams {
    local: Arc<HashMap<String, Router>>,
    remote: Arc<HashMap<String, String>>,
    client: Client<HttpConnector, Body>,
    timeout: Duration,
    lifecycle: Lifecycle,
}

const IDLE_CONNECTIONS: usize = 64;

impl Upstreams {
    pub fn new(
        local: HashMap<String, Router>,
        remote: HashMap<String, String>,
        timeout: Duration,
        lifecycle: Lifecycle,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(Duration::from_secs(1)));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        Upstreams { local: Arc::new(local), remote: Arc::new(remote), client, timeout, lifecycle }
    }

    /// The answer of the service that owns the request's path.
    pub async fn call(&self, request: Request) -> Response {
        let Some(service) = routes::owner(request.uri().path()) else {
            return ApiError::not_found("request.no_route").into_response();
        };
        if let Some(router) = self.local.get(service) {
            return match router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
        }
        match self.remote.get(service) {
            Some(base) => self.forward(request, base).await.unwrap_or_else(|error| {
                tracing::warn!(service, %error, "a service is away");
                away().into_response()
            }),
            None => away().into_response(),
        }
    }

    async fn forward(&self, mut request: Request, base: &str) -> anyhow::Result<Response> {
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        *request.uri_mut() = format!("{}{path}", base.trim_end_matches('/')).parse::<Uri>()?;
        *request.version_mut() = Version::HTTP_11;
        let upgrading = request.headers().contains_key(header::UPGRADE);
        let ours = upgrading.then(|| hyper::upgrade::on(&mut request));
        if !upgrading {
            drop_hop_headers(request.headers_mut());
        }
        let answer = tokio::time::timeout(self.timeout, self.client.request(request)).await??;
        let mut response = answer.map(Body::new);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(ours) = ours
        {
            let theirs = hyper::upgrade::on(&mut response);
            self.join(ours, theirs);
        } else {
            drop_hop_headers(response.headers_mut());
        }
        Ok(response)
    }

    /// Copies between two upgraded connections until either side ends, or the
    /// process drains.
    fn join(&self, ours: OnUpgrade, theirs: OnUpgrade) {
        let house = self.lifecycle.clone();
        let copy = async move {
            let (ours, theirs) = tokio::try_join!(ours, theirs)?;
            let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
            tokio::io::copy_bidirectional(&mut ours, &mut theirs).await?;
            anyhow::Ok(())
        };
        self.lifecycle.spawn("forwarded socket", async move {
            tokio::select! {
                () = house.draining() => {}
                ended = copy => if let Err(error) = ended {
                    tracing::debug!(%error, "a forwarded socket ended");
                },
            }
            Ok(())
        });
    }
}

/// Headers that belong to one connection only (RFC 9110, 7.6.1), the ones that
/// `Connection` names among them.
fn drop_hop_headers(headers: &mut HeaderMap) {
    const HOP: [&str; 7] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let listed = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let named: Vec<String> =
        listed.flat_map(|v| v.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    for name in HOP.into_iter().chain(named.iter().map(String::as_str)) {
        headers.remove(name);
    }
}

fn away() -> ApiError {
    ApiError::unavailable("gateway.service_away", "This part of the shop is away for a moment.")
}
