//! The one public port.
//!
//! Owns nothing: it gives guests a token, checks every other token, limits what
//! one caller may ask, and hands each request to the service that owns the
//! path: in the same process directly, otherwise over HTTP. Documents for the
//! graph are measured here and go to the federation router.
//!
//! Invariants: behind the gateway every request carries a verified JWT; headers
//! that only the house may set are taken off what comes from outside; a service
//! that is away is 503 with `Retry-After`, never a hang.
//!
//! Start with [`api`], then `routes`, `guests` and `graphql`.

mod config;
mod graphql;
mod guests;
mod limits;
mod proxy;
mod routes;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use contracts::graph::SUBGRAPHS_PATH;
use http::{HeaderValue, header};
use platform::auth::{Issuer, KeyRing, PublicKeys, Verifier};
use platform::config::Config;
use platform::lifecycle::Lifecycle;
use platform::telemetry::{self, SpanKind};
use platform::trace::{self, TraceContext};
use platform::{ApiError, Clock, Ids};
use tower::ServiceExt;
use tower_http::compression::CompressionLayer;

use crate::config::GatewayConfig;
use crate::graphql::Graph;
use crate::limits::Limits;
use crate::proxy::Upstreams;

/// What the gateway stands on. Cheap to clone.
#[derive(Clone)]
pub struct Deps {
    inner: Arc<Inner>,
}

struct Inner {
    config: GatewayConfig,
    issuer: Issuer,
    verifier: Verifier,
    clock: Clock,
    ids: Ids,
    upstreams: Upstreams,
    limits: Limits,
    graph: Graph,
    docs: Router,
}

impl Deps {
    /// `local` holds the routers of the services in this process by name; the
    /// others are reached at `gateway.upstreams`. `docs` serves the API document.
    pub fn new(
        config: Config,
        lifecycle: Lifecycle,
        local: HashMap<String, Router>,
        docs: Router,
    ) -> anyhow::Result<Self> {
        let settings: GatewayConfig = config.section("gateway")?;
        let auth = &config.ground.auth;
        let clock = Clock::System;
        let ring = Arc::new(KeyRing::load_or_create(&auth.signing_key_file)?);
        let keys = match &auth.jwks_url {
            Some(url) => PublicKeys::remote(url)?,
            None => PublicKeys::local(&ring),
        };
        Ok(Deps {
            inner: Arc::new(Inner {
                issuer: Issuer::new(ring, &auth.issuer),
                verifier: Verifier::new(keys, &auth.issuer, clock.clone()),
                ids: Ids::random(),
                upstreams: Upstreams::new(
                    local,
                    settings.upstreams.clone(),
                    settings.timeout(),
                    lifecycle.clone(),
                ),
                limits: Limits::new(&settings)?,
                graph: Graph::new(&config, settings.graphql.clone(), lifecycle)?,
                config: settings,
                clock,
                docs,
            }),
        })
    }
}

/// REST, the graph, sockets and well-known documents.
pub fn api(deps: Deps) -> Router {
    let dispatched = Router::new().fallback(dispatch).with_state(deps.clone());
    deps.inner
        .docs
        .clone()
        .route(graphql::PATH, any(graphql::handle).with_state(deps.clone()))
        .fallback_service(dispatched)
        .layer(from_fn_with_state(deps.clone(), guests::identify))
        .layer(from_fn_with_state(deps, limits::per_caller))
        .layer(from_fn(graphql::in_its_own_words))
        .layer(from_fn(traced))
}

/// Everything the public port serves: `api` on its paths, `pages` elsewhere.
pub fn public(deps: Deps, api: Router, pages: Router) -> Router {
    let split = move |request: Request| {
        let chosen = if routes::is_api(request.uri().path()) { api.clone() } else { pages.clone() };
        async move {
            match chosen.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
    };
    Router::new()
        .fallback(split)
        .layer(from_fn_with_state(deps, limits::per_address))
        .layer(from_fn(graphql::in_its_own_words))
        .layer(from_fn(house_headers))
        .layer(CompressionLayer::new())
}

/// The port of a process without a gateway: the same paths, no guests, no limits.
pub fn without_front(services: Vec<(&'static str, Router)>, lifecycle: Lifecycle) -> Router {
    let local = services.into_iter().map(|(name, router)| (name.to_owned(), router)).collect();
    let upstreams =
        Upstreams::new(local, HashMap::new(), std::time::Duration::from_secs(30), lifecycle);
    let handle = move |request: Request| {
        let upstreams = upstreams.clone();
        async move { upstreams.call(request).await }
    };
    Router::new().fallback(handle)
}

/// The subgraphs of other processes, where this one would have its own: the
/// federation router knows one address of each, and here their instances take turns.
pub fn remote_subgraphs(config: &Config, lifecycle: &Lifecycle) -> anyhow::Result<Router> {
    let settings: GatewayConfig = config.section("gateway")?;
    let names: Vec<String> = settings.subgraphs.keys().cloned().collect();
    let upstreams = Upstreams::new(
        HashMap::new(),
        settings.subgraphs.clone(),
        settings.timeout(),
        lifecycle.clone(),
    );
    let all = names.into_iter().fold(Router::new(), |all, name| {
        let upstreams = upstreams.clone();
        let path = format!("{SUBGRAPHS_PATH}/{name}");
        let hand = async move |request: Request| upstreams.hand(&name, request).await;
        all.route(&path, any(hand))
    });
    Ok(all)
}

async fn dispatch(State(deps): State<Deps>, request: Request) -> Response {
    deps.inner.upstreams.call(request).await
}

/// One trace from here on: the services continue what this writes.
async fn traced(mut request: Request, next: Next) -> Response {
    let context = TraceContext::from_headers(request.headers());
    context.write_to(request.headers_mut());
    let span = telemetry::begin("gateway", SpanKind::Server, &context, || {
        let path = request.uri().path();
        let owner =
            if path == graphql::PATH { "graph" } else { routes::owner(path).unwrap_or("pages") };
        format!("{} {owner}", request.method())
    });
    let mut response = trace::within(context.clone(), next.run(request)).await;
    span.end(response.status().is_server_error());
    if !response.headers().contains_key("traceparent") {
        context.write_to(response.headers_mut());
    }
    response
}

/// Who is on the other end of the line, for services that slow guessers down.
const CLIENT_ADDRESS: &str = "x-bv-client-address";

/// Takes off what only the house may say, adds what every answer should say.
async fn house_headers(mut request: Request, next: Next) -> Response {
    let inner: Vec<_> = request
        .headers()
        .keys()
        .filter(|name| name.as_str().starts_with("x-bv-"))
        .cloned()
        .collect();
    for name in inner {
        request.headers_mut().remove(name);
    }
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>()
        && let Ok(address) = HeaderValue::from_str(&peer.ip().to_string())
    {
        request.headers_mut().insert(CLIENT_ADDRESS, address);
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(nosniff);
    response
}

/// A refusal of the gateway itself.
fn refuse(error: ApiError) -> Response {
    error.into_response()
}
