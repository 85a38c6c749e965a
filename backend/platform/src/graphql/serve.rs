//! A schema behind an HTTP route.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use async_graphql::{
    ObjectType, Request, Response as Answer, SDLExportOptions, Schema, SchemaBuilder,
    SubscriptionType, Value,
};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::auth::Verifier;
use crate::error::{ApiError, Kind};
use crate::http::{MAX_BODY_BYTES, surround};
use crate::service::Context;

use super::stream::{self, Streams};

/// A service's part of the graph, ready to be mounted. Cheap to clone.
#[derive(Clone)]
pub struct Subgraph {
    /// The service's name; also the subgraph's.
    pub name: &'static str,
    /// The schema with its federation directives.
    pub sdl: String,
    /// Answers `POST /`, with the common layers around it.
    pub router: Router,
}

/// Levels of selections in one document.
const MAX_DEPTH: usize = 24;
/// Selections within selections, fragments followed, of a document that was parsed.
const MAX_RECURSION: usize = 48;
/// Objects and fields that a document may ask for, lists counted in full.
const MAX_COMPLEXITY: usize = 60_000;
const MAX_DIRECTIVES: usize = 8;
/// One document is answered within this time, or not at all; a payment may wait
/// ten seconds for its outcome.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// The limits of every subgraph, and federation.
pub fn limited<Q, M, S>(builder: SchemaBuilder<Q, M, S>) -> SchemaBuilder<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    builder
        .enable_federation()
        .enable_subscription_in_federation()
        .limit_depth(MAX_DEPTH)
        .limit_recursive_depth(MAX_RECURSION)
        .limit_complexity(MAX_COMPLEXITY)
        .limit_directives(MAX_DIRECTIVES)
}

/// The schema as text, as composition takes it and `_service` tells it.
pub fn sdl<Q, M, S>(schema: &Schema<Q, M, S>) -> String
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    let text = schema.sdl_with_options(SDLExportOptions::new().federation().compose_directive());
    let mut text = text.replace('\t', "  ").trim().to_owned();
    text.push('\n');
    text
}

/// The code of an error that the document's author has to mend.
const BAD_USER_INPUT: &str = "BAD_USER_INPUT";

type Prepare = Arc<dyn Fn(Request) -> Request + Send + Sync>;
type Execute = Arc<dyn Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync>;

#[derive(Clone)]
struct Endpoint {
    verifier: Verifier,
    execute: Execute,
    streams: Option<Streams>,
}

impl Subgraph {
    /// Serves `schema`. `prepare` gives a request what its resolvers use: the
    /// batches above all, which are of one request each.
    pub fn new<Q, M, S>(
        name: &'static str,
        schema: Schema<Q, M, S>,
        verifier: Verifier,
        prepare: impl Fn(Request) -> Request + Send + Sync + 'static,
    ) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        Subgraph::build(name, schema, verifier, Arc::new(prepare), |_, _| None)
    }

    /// The same with subscriptions, which are served as streams of events.
    pub fn live<Q, M, S>(
        ctx: &Context,
        schema: Schema<Q, M, S>,
        prepare: impl Fn(Request) -> Request + Send + Sync + 'static,
    ) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        let lifecycle = ctx.lifecycle.clone();
        let prepare: Prepare = Arc::new(prepare);
        Subgraph::build(ctx.service, schema, ctx.verifier.clone(), prepare, |schema, prepare| {
            let open = move |request| schema.execute_stream(prepare(request));
            Some(Streams::new(lifecycle, open))
        })
    }

    fn build<Q, M, S>(
        name: &'static str,
        schema: Schema<Q, M, S>,
        verifier: Verifier,
        prepare: Prepare,
        streams: impl FnOnce(Schema<Q, M, S>, Prepare) -> Option<Streams>,
    ) -> Self
    where
        Q: ObjectType + 'static,
        M: ObjectType + 'static,
        S: SubscriptionType + 'static,
    {
        let text = sdl(&schema);
        let streams = streams(schema.clone(), prepare.clone());
        let execute: Execute = Arc::new(move |request| {
            let (schema, request) = (schema.clone(), prepare(request));
            Box::pin(async move { schema.execute(request).await })
        });
        let router = Router::new()
            .route("/", post(answer))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(Endpoint { verifier, execute, streams });
        Subgraph { name, sdl: text, router: surround(router, name) }
    }
}

async fn answer(
    State(endpoint): State<Endpoint>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let form = Form::wanted(&headers);
    let streams = endpoint.streams.as_ref().filter(|_| stream::accepted(&headers));
    let (mut request, time_left) = match read(&endpoint, &headers, body).await {
        Ok(read) => read,
        Err(error) if streams.is_some() => return stream::refused(&error),
        Err(error) => return form.refuse(&error),
    };
    if let Some(streams) = streams
        && subscribes(&mut request)
    {
        return streams.serve(request, time_left);
    }
    match tokio::time::timeout(TIME_LIMIT, (endpoint.execute)(request)).await {
        Ok(answer) => form.write(named(answer)),
        Err(_) => form.refuse(&ApiError::unavailable("request.timeout", "This took too long.")),
    }
}

/// Gives a code to what the engine itself says: of a document beyond the limits, of a
/// value that a scalar cannot be read from. A failure of ours has a code, and one that
/// forgot to has a source; it stays without, so that nobody is told what it says.
fn named(mut answer: Answer) -> Answer {
    for error in answer.errors.iter_mut().filter(|error| error.source.is_none()) {
        let extensions = error.extensions.get_or_insert_default();
        if extensions.get("code").is_none() {
            extensions.set("code", BAD_USER_INPUT);
        }
    }
    answer
}

/// Whether a subscription is among the document's operations.
fn subscribes(request: &mut Request) -> bool {
    let document = request.parsed_query();
    let subscription = |ty| ty == OperationType::Subscription;
    document.is_ok_and(|d| d.operations.iter().any(|(_, one)| subscription(one.node.ty)))
}

/// The request, and how long its caller's token is still good.
async fn read(
    endpoint: &Endpoint,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(Request, Option<Duration>), ApiError> {
    if !crate::http::is_json(headers) {
        let detail = "Send the document as application/json.";
        return Err(ApiError::new(Kind::UnsupportedMediaType, "request.media_type", detail));
    }
    let caller = endpoint.verifier.caller(headers).await?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::new(Kind::TooLarge, "request.too_large", "The document is too large.")
        }
        _ => unparseable("The body could not be read."),
    })?;
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(unparseable("One document at a time."));
    }
    let request: Request = serde_json::from_slice(&body).map_err(|_| {
        unparseable("The body is no GraphQL request: {\"query\": …, \"variables\": …}.")
    })?;
    Ok(match caller {
        Some(caller) => {
            let left = endpoint.verifier.time_left(&caller);
            (request.data(caller), Some(left))
        }
        None => (request, None),
    })
}

fn unparseable(detail: &str) -> ApiError {
    ApiError::new(Kind::Unparseable, "request.unparseable", detail)
}

const RESPONSE: &str = "application/graphql-response+json";

/// How the caller wants the answer: GraphQL-over-HTTP's own media type says by
/// its status whether there is data; plain JSON is 200 whenever the document
/// could be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Response,
    Json,
}

/// An answer whose `data` is left out when the document was never executed.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [async_graphql::ServerError],
}

impl Form {
    fn wanted(headers: &HeaderMap) -> Self {
        let accepts = |wanted: &str| {
            headers
                .get_all(header::ACCEPT)
                .iter()
                .filter_map(|v| v.to_str().ok())
                .any(|v| v.to_ascii_lowercase().contains(wanted))
        };
        if accepts(RESPONSE) { Form::Response } else { Form::Json }
    }

    fn write(self, answer: Answer) -> Response {
        // Without a path an error is about the document, not about a field of it.
        let refused = answer.data == Value::Null
            && !answer.errors.is_empty()
            && answer.errors.iter().all(|e| e.path.is_empty());
        let data = (!refused).then_some(&answer.data);
        let status = match self {
            Form::Response if refused => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        self.body(status, &Body { data, errors: &answer.errors })
    }

    /// The request was not executed.
    fn refuse(self, error: &ApiError) -> Response {
        let entry = error.as_graphql().into_server_error(async_graphql::Pos::default());
        let entry = async_graphql::ServerError { locations: Vec::new(), ..entry };
        let mut response = self.body(error.status(), &Body { data: None, errors: &[entry] });
        if let Some(after) = error.retry_after {
            let seconds = HeaderValue::from(after.as_secs().max(1));
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }

    fn body(self, status: StatusCode, body: &Body<'_>) -> Response {
        let bytes = match serde_json::to_vec(body) {
            Ok(bytes) => bytes,
            Err(error) => return ApiError::internal(error).into_response(),
        };
        let mut response = (status, bytes).into_response();
        let media = if self == Form::Response { RESPONSE } else { "application/json" };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{EmptyMutation, EmptySubscription, Object};

    use super::*;
    use crate::graphql::Decimal;

    struct Query;

    #[Object]
    impl Query {
        async fn half(&self, of: Decimal) -> async_graphql::Result<Decimal> {
            Ok(of)
        }

        async fn forgotten(&self) -> async_graphql::Result<bool> {
            let failure = std::io::Error::other("no such table");
            Err(async_graphql::Error::new_with_source(failure))
        }

        async fn refused(&self) -> async_graphql::Result<bool> {
            Err(ApiError::not_found("sample.nowhere").into())
        }
    }

    #[tokio::test]
    async fn a_value_that_cannot_be_read_is_the_callers_fault_and_a_forgotten_failure_is_not() {
        let schema = limited(Schema::build(Query, EmptyMutation, EmptySubscription)).finish();
        for (document, code) in [
            ("{ half(of: \"a lot\") }", Some(BAD_USER_INPUT)),
            ("{ nothing }", Some(BAD_USER_INPUT)),
            ("{ refused }", Some("sample.nowhere")),
            ("{ forgotten }", None),
        ] {
            let answer = named(schema.execute(document).await);
            let said = answer.errors[0].extensions.as_ref().and_then(|all| all.get("code"));
            assert_eq!(said, code.map(Value::from).as_ref(), "{document}");
        }
    }
}
