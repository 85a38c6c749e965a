//! The router behind the gateway.

use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use platform::ApiError;
use platform::auth::FRESH_GUEST;
use shared_types::sse;

use super::config::GraphqlConfig;
use super::request::RESPONSE;

/// What of a request the router is told, and sends on to subgraphs.
const SENT_ON: [HeaderName; 6] = [
    header::AUTHORIZATION,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("x-bv-client-address"),
    HeaderName::from_static(FRESH_GUEST),
];
/// Asks the router for its plan.
const PLAN: HeaderName = HeaderName::from_static("hive-expose-query-plan");
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
const IDLE_CONNECTIONS: usize = 128;
/// How long a caller waits before the next try; a killed router is back by then.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The router's address and the connections to it.
pub struct Upstream {
    client: Client<HttpConnector, Full<Bytes>>,
    address: Uri,
    timeout: Duration,
    max_answer_bytes: usize,
}

/// What the router said.
pub struct Said {
    pub status: StatusCode,
    pub body: Bytes,
}

/// What the router says to a subscription.
pub enum Opened {
    /// Events, until one side ends them.
    Events(Incoming),
    /// It is not to be: an answer with errors.
    Refused(Said),
}

impl Upstream {
    pub fn new(address: &str, settings: &GraphqlConfig) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .build(connector);
        let address = address.parse().with_context(|| format!("federation.url: {address:?}"))?;
        Ok(Upstream {
            client,
            address,
            timeout: settings.timeout(),
            max_answer_bytes: settings.max_answer_bytes,
        })
    }

    /// Sends a document. What only reads is sent once more when the router dies
    /// with it in its hands.
    pub async fn ask(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        repeatable: bool,
        explorable: bool,
    ) -> Result<Said, ApiError> {
        let asked = async {
            match self.once(headers, body.clone(), explorable).await {
                Err(Lost::Answer(_)) if repeatable => self.once(headers, body, explorable).await,
                answer => answer,
            }
        };
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(Ok(said)) if said.status.is_server_error() => {
                tracing::warn!(status = said.status.as_u16(), "the federation router failed");
                Err(away())
            }
            Ok(Ok(said)) => Ok(said),
            Ok(Err(Lost::TooLarge)) => {
                let detail = "The answer would be too large; ask for shorter lists.";
                Err(ApiError::new(platform::Kind::Refused, "graph.answer_too_large", detail))
            }
            Ok(Err(Lost::Answer(error))) => {
                tracing::warn!(%error, "the federation router is away");
                Err(away())
            }
            Err(_) => Err(ApiError::unavailable("graph.timeout", "This took too long.")),
        }
    }

    /// Sends a subscription.
    pub async fn subscribe(&self, headers: &HeaderMap, body: Bytes) -> Result<Opened, ApiError> {
        let request = self.request(headers, body, sse::MEDIA_TYPE, false);
        let opened = async {
            let answer = self.client.request(request).await.map_err(Lost::answer)?;
            let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
            let events = kind.is_some_and(|kind| kind.starts_with(sse::MEDIA_TYPE));
            let status = answer.status();
            if events && status.is_success() {
                return Ok(Opened::Events(answer.into_body()));
            }
            let mut body = self.whole(answer.into_body()).await?;
            if events {
                body = first_data(&body);
            }
            Ok(Opened::Refused(Said { status, body }))
        };
        match tokio::time::timeout(self.timeout, opened).await {
            Ok(Ok(Opened::Refused(said))) if said.status.is_server_error() => {
                tracing::warn!(status = said.status.as_u16(), "the federation router failed");
                Err(away())
            }
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(Lost::Answer(error))) => {
                tracing::warn!(%error, "the federation router is away");
                Err(away())
            }
            Ok(Err(Lost::TooLarge)) => Err(away()),
            Err(_) => Err(ApiError::unavailable("graph.timeout", "This took too long.")),
        }
    }

    async fn once(&self, headers: &HeaderMap, body: Bytes, explorable: bool) -> Result<Said, Lost> {
        let request = self.request(headers, body, RESPONSE, explorable);
        let answer = self.client.request(request).await.map_err(Lost::answer)?;
        let status = answer.status();
        Ok(Said { status, body: self.whole(answer.into_body()).await? })
    }

    async fn whole(&self, body: Incoming) -> Result<Bytes, Lost> {
        let body = Limited::new(body, self.max_answer_bytes).collect().await;
        let body = body.map_err(|error| {
            let too_large = error.is::<http_body_util::LengthLimitError>();
            if too_large { Lost::TooLarge } else { Lost::Answer(error.to_string()) }
        })?;
        Ok(body.to_bytes())
    }

    fn request(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        accept: &'static str,
        explorable: bool,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.address.clone();
        let plan = explorable.then_some(PLAN);
        for name in SENT_ON.into_iter().chain(plan) {
            if let Some(value) = headers.get(&name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        let own = request.headers_mut();
        own.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        own.insert(header::ACCEPT, HeaderValue::from_static(accept));
        request
    }
}

/// The data of the first event of a stream that was refused.
fn first_data(body: &[u8]) -> Bytes {
    let events = sse::Reader::new(body.len()).push(body).unwrap_or_default();
    events.into_iter().next().map_or(Bytes::new(), |event| Bytes::from(event.data))
}

/// Why there is no answer.
enum Lost {
    Answer(String),
    TooLarge,
}

impl Lost {
    fn answer(error: impl std::fmt::Display) -> Self {
        Lost::Answer(error.to_string())
    }
}

/// Nobody answers, or nothing that could be read.
pub fn away() -> ApiError {
    let detail = "The graph is away for a moment; everything else works.";
    ApiError::unavailable("graph.away", detail).retry_after(AGAIN_AFTER)
}
