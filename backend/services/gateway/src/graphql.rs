//! `/graphql`: one graph over all services, at the router behind it.
//!
//! Every document is read and measured here before the router sees it; what the
//! router or a subgraph says of a failure is looked through before a caller does.
//! Start with [`handle`].
#![allow(clippy::result_large_err, reason = "a request is refused once")]

mod answer;
mod config;
mod cost;
mod document;
mod live;
mod numbers;
mod request;
mod upstream;

use std::time::Duration;

use async_graphql_parser::types::OperationType;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, header};
use platform::auth::{Principal, Verifier, invalid_token};
use platform::config::Config;
use platform::lifecycle::Lifecycle;
use platform::{ApiError, Kind};

pub use self::config::GraphqlConfig;
use self::cost::Schema;
use self::document::Documents;
use self::live::Streams;
use self::request::{Asked, Form};
use self::upstream::{Opened, Upstream};
use crate::{CLIENT_ADDRESS, Deps};

/// The one path of the graph.
pub const PATH: &str = "/graphql";

/// Draws the schema and sends documents, without a byte from elsewhere.
const PAGE: &str = include_str!("graphql/page.html");
/// The page's own script and style; requests and its icon from where it came from.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What `/graphql` stands on.
pub struct Graph {
    config: GraphqlConfig,
    /// Whether the schema may be asked for: where the settings or the demo say so.
    explorable: bool,
    schema: Schema,
    documents: Documents,
    upstream: Upstream,
    streams: Streams,
}

impl Graph {
    pub fn new(
        config: &Config,
        settings: GraphqlConfig,
        lifecycle: Lifecycle,
    ) -> anyhow::Result<Self> {
        let demo: bool = config.section("demo.enabled")?;
        Ok(Graph {
            explorable: settings.introspection || demo,
            schema: Schema::parse(contracts::graph::SCHEMA)?,
            documents: Documents::new(&settings)?,
            streams: Streams::new(settings.subscriptions.clone(), lifecycle)?,
            upstream: Upstream::new(&config.ground.federation.endpoint(), &settings)?,
            config: settings,
        })
    }
}

/// A refusal, and whether it is about the document rather than the request.
pub struct Refusal {
    error: ApiError,
    of_document: bool,
}

impl Refusal {
    /// The document was read and will not be executed.
    fn document(code: &'static str, detail: impl Into<String>) -> Self {
        let error = ApiError::new(Kind::Unparseable, code, detail);
        Refusal { error, of_document: true }
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Refusal { error, of_document: false }
    }
}

/// Answers one request to the graph.
pub async fn handle(State(deps): State<Deps>, request: Request) -> Response {
    let graph = &deps.inner.graph;
    if graph.explorable && request.method() == Method::GET && wants_page(request.headers()) {
        return page();
    }
    let form = match Form::wanted(request.headers()) {
        Ok(form) => form,
        Err(error) => return answer::refused(Form::Response, &error.into()),
    };
    match execute(graph, &deps.inner.verifier, form, request).await {
        Ok(response) => response,
        Err(refusal) => {
            metrics::counter!("gateway_graphql_refused_total", "code" => refusal.error.code)
                .increment(1);
            answer::refused(form, &refusal)
        }
    }
}

async fn execute(
    graph: &Graph,
    verifier: &Verifier,
    form: Form,
    request: Request,
) -> Result<Response, Refusal> {
    let reads_only = request.method() == Method::GET;
    let caller = request.extensions().get::<Principal>().cloned();
    let (headers, asked) = Asked::read(request, graph.config.max_body_bytes).await?;
    let text = graph.documents.text(&asked)?;
    let document = graph.documents.parsed(text)?;
    let operation = document.operation(asked.operation_name.as_deref())?;
    if operation.ty == OperationType::Mutation && reads_only {
        let detail = "Send mutations with POST.";
        return Err(ApiError::new(Kind::MethodNotAllowed, "request.method", detail).into());
    }
    let limits = &graph.config;
    let size = graph.schema.measure(&document, operation, &asked.variables, limits)?;
    if size.asks_for_the_schema && !graph.explorable {
        let detail = "The schema is not told here.";
        return Err(Refusal::document("graph.no_introspection", detail));
    }
    let body = asked.forwarded(text)?;
    if operation.ty == OperationType::Subscription {
        let caller = caller.ok_or_else(invalid_token)?;
        let time_left = verifier.time_left(&caller);
        return subscribe(graph, &caller, time_left, &headers, body).await;
    }
    let repeatable = operation.ty == OperationType::Query;
    let said = graph.upstream.ask(&headers, body, repeatable, graph.explorable).await?;
    answer::shaped(form, said, graph.explorable)
}

/// Opens a stream of events for `caller`.
async fn subscribe(
    graph: &Graph,
    caller: &Principal,
    time_left: Duration,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    if !request::takes_events(headers) {
        let detail = "A subscription is a stream of events: accept text/event-stream.";
        return Err(ApiError::new(Kind::NotAcceptable, "graph.accept_events", detail).into());
    }
    let address = headers.get(CLIENT_ADDRESS).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let place = graph.streams.place(&caller.actor(), address)?;
    match graph.upstream.subscribe(headers, body).await? {
        Opened::Events(events) => {
            Ok(graph.streams.serve(place, events, time_left, graph.explorable))
        }
        Opened::Refused(said) => answer::shaped(Form::Response, said, graph.explorable),
    }
}

/// Turns the problem documents of the layers around the graph (tokens, limits)
/// into what GraphQL clients read.
pub async fn in_its_own_words(request: Request, next: Next) -> Response {
    if request.uri().path() != PATH {
        return next.run(request).await;
    }
    let form = Form::wanted(request.headers()).unwrap_or(Form::Response);
    answer::translated(form, next.run(request).await).await
}

fn wants_page(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    accepted.is_some_and(|v| v.contains("text/html"))
}

fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, PAGE).into_response()
}
