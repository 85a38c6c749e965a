//! Handing a request to its service: in the process, or over HTTP.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use contracts::graph::SUBGRAPHS_PATH;
use http::{HeaderMap, StatusCode, Uri, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use platform::http::MAX_BODY_BYTES;
use platform::lifecycle::Lifecycle;
use platform::{ApiError, Kind};
use tower::ServiceExt;

use crate::routes;

/// Where services are. Cheap to clone.
#[derive(Clone)]
pub struct Upstreams {
    local: Arc<HashMap<String, Router>>,
    /// By service, every instance of it.
    remote: Arc<HashMap<String, Vec<String>>>,
    /// Counts requests, so that instances take turns.
    turn: Arc<AtomicUsize>,
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
        let instances = |list: String| {
            list.split(',').map(|one| one.trim().trim_end_matches('/').to_owned()).collect()
        };
        let remote = remote.into_iter().map(|(name, list)| (name, instances(list))).collect();
        Upstreams {
            local: Arc::new(local),
            remote: Arc::new(remote),
            turn: Arc::default(),
            client,
            timeout,
            lifecycle,
        }
    }

    /// The answer of the service that owns the request's path.
    pub async fn call(&self, request: Request) -> Response {
        let Some(service) = routes::owner(request.uri().path()) else {
            return ApiError::not_found("request.no_route").into_response();
        };
        self.hand(service, request).await
    }

    /// The answer of `service`, whatever the path.
    pub async fn hand(&self, service: &str, request: Request) -> Response {
        if let Some(router) = self.local.get(service) {
            return match router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
        }
        match self.remote.get(service) {
            Some(instances) => self.to_any(request, instances).await.unwrap_or_else(|error| {
                tracing::warn!(service, %error, "a service is away");
                away().into_response()
            }),
            None => away().into_response(),
        }
    }

    /// Instances take turns. One that cannot be reached is passed over; one that
    /// dies with a request in its hands is, too, when doing it again is safe.
    async fn to_any(&self, request: Request, instances: &[String]) -> anyhow::Result<Response> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let others = instances.iter().cycle().skip(first % instances.len()).take(instances.len());
        let mut others = others.peekable();
        let upgrading = request.headers().contains_key(header::UPGRADE);
        if instances.len() == 1 || upgrading {
            let base = others.next().context("no instance")?;
            return self.forward(request, base).await;
        }
        let (parts, body) = request.into_parts();
        let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
            return Ok(ApiError::new(
                Kind::TooLarge,
                "request.too_large",
                "The body is too large.",
            )
            .into_response());
        };
        let repeatable = parts.method.is_safe()
            || parts.headers.contains_key("idempotency-key")
            || parts.uri.path().starts_with(SUBGRAPHS_PATH) && only_reads(&body);
        while let Some(base) = others.next() {
            let again = Request::from_parts(parts.clone(), Body::from(body.clone()));
            match self.forward(again, base).await {
                Err(error) if others.peek().is_some() && may_go_on(&error, repeatable) => {
                    tracing::debug!(base, %error, "an instance is away, asking another");
                }
                answer => return answer,
            }
        }
        anyhow::bail!("no instance answered")
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

/// Whether a request to a subgraph changes nothing there.
fn only_reads(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Asked<'a> {
        #[serde(borrow)]
        query: std::borrow::Cow<'a, str>,
    }
    let asked: Result<Asked<'_>, _> = serde_json::from_slice(body);
    asked.is_ok_and(|asked| !asked.query.trim_start().starts_with("mutation"))
}

/// Whether another instance may be asked after this failure.
fn may_go_on(error: &anyhow::Error, repeatable: bool) -> bool {
    let failed = error.downcast_ref::<hyper_util::client::legacy::Error>();
    failed.is_some_and(|failed| failed.is_connect() || repeatable)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_document_that_certainly_changes_nothing_is_asked_again() {
        for (body, reads) in [
            (r#"{"query":"{a}"}"#, true),
            (r#"{"query":"query A{a}","variables":{"q":"mutation"}}"#, true),
            (r#"{"query":" mutation{a}"}"#, false),
            (r#"{"query":"mutation\u007ba}"}"#, false),
            ("{}", false),
            ("", false),
        ] {
            assert_eq!(only_reads(body.as_bytes()), reads, "{body}");
        }
    }
}
