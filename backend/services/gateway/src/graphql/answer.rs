//! What a caller is told: the router's answer without what is nobody's business.

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use platform::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use shared_types::{Problem, sse};

use super::Refusal;
use super::request::Form;
use super::upstream::{self, Said};

/// What an error of a service may carry outside.
const TOLD: [&str; 5] = ["code", "status", "traceId", "errors", "retryAfterSeconds"];
/// The router's own codes whose messages speak of the document alone.
const OF_DOCUMENTS: [&str; 5] = [
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
    "OPERATION_RESOLUTION_FAILURE",
    "BAD_USER_INPUT",
    "BAD_REQUEST",
];
/// Errors of one answer that are told.
const MAX_ERRORS: usize = 50;
/// Characters of what is told of a document.
const MAX_MESSAGE: usize = 300;
const MAX_PROBLEM_BYTES: usize = 64 << 10;

/// An answer as the router writes it; the data stays as it is.
#[derive(Deserialize, Serialize)]
struct Answer<'a> {
    #[serde(
        borrow,
        default,
        deserialize_with = "even_null",
        skip_serializing_if = "Option::is_none"
    )]
    data: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Entry>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    extensions: Option<&'a RawValue>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
struct Entry {
    #[serde(default)]
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    locations: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    extensions: Map<String, Value>,
}

/// `"data": null` is there.
fn even_null<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    from: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// The router's answer in the form the caller wants.
pub fn shaped(form: Form, said: Said, explorable: bool) -> Result<Response, Refusal> {
    if said.status != StatusCode::OK || !only_data(&said.body) {
        let (body, executed) = passable(&said.body, explorable)?;
        let status = if executed { StatusCode::OK } else { form.unexecuted() };
        return Ok(written(form, status, body));
    }
    // Nearly every answer is data alone and goes through as it is.
    Ok(written(form, StatusCode::OK, said.body))
}

/// One answer of a subscription as it leaves the house.
pub fn event(said: &str, explorable: bool) -> Result<String, Refusal> {
    if only_data(said.as_bytes()) {
        return Ok(sse::write("next", said));
    }
    let (body, _) = passable(said.as_bytes(), explorable)?;
    Ok(sse::write("next", &String::from_utf8_lossy(&body)))
}

/// How a stream ends that the gateway ends.
pub fn last_words(error: &ApiError) -> String {
    let body = problem_body(&error.problem());
    sse::write("next", &body) + &sse::write("complete", "")
}

/// An answer without what is nobody's business, and whether it has data.
fn passable(said: &[u8], explorable: bool) -> Result<(Bytes, bool), Refusal> {
    let unreadable = |error: serde_json::Error| {
        tracing::warn!(%error, "the federation router's answer cannot be read");
        upstream::away()
    };
    let mut answer: Answer = serde_json::from_slice(said).map_err(unreadable)?;
    answer.errors = told(std::mem::take(&mut answer.errors));
    if !explorable {
        answer.extensions = None;
    }
    let body = serde_json::to_vec(&answer).map_err(unreadable)?;
    Ok((Bytes::from(body), answer.data.is_some()))
}

/// Whether an answer certainly is data without errors and extensions.
fn only_data(body: &[u8]) -> bool {
    const ERRORS: &[u8] = b"\"errors\"";
    const EXTENSIONS: &[u8] = b"\"extensions\"";
    let has = |wanted: &[u8]| body.windows(wanted.len()).any(|part| part == wanted);
    body.starts_with(b"{\"data\":") && body.ends_with(b"}") && !has(ERRORS) && !has(EXTENSIONS)
}

/// A refusal of the gateway.
pub fn refused(form: Form, refusal: &Refusal) -> Response {
    let error = &refusal.error;
    let status = if refusal.of_document { form.unexecuted() } else { error.status() };
    let mut response = problem(form, status, &error.problem());
    if let Some(after) = error.retry_after {
        let seconds = HeaderValue::from(after.as_secs().max(1));
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    }
    response
}

/// A problem document of the layers around the graph as a GraphQL answer;
/// everything else as it is.
pub async fn translated(form: Form, response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if kind.is_none_or(|kind| !kind.starts_with("application/problem+json")) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let said = axum::body::to_bytes(body, MAX_PROBLEM_BYTES).await.unwrap_or_default();
    let Ok(said) = serde_json::from_slice::<Problem>(&said) else {
        return ApiError::internal(anyhow::anyhow!("a problem document that is none"))
            .into_response();
    };
    let mut translated = problem(form, parts.status, &said);
    for name in [header::RETRY_AFTER, header::SET_COOKIE, header::WWW_AUTHENTICATE] {
        for value in parts.headers.get_all(&name) {
            translated.headers_mut().append(&name, value.clone());
        }
    }
    translated
}

fn problem(form: Form, status: StatusCode, problem: &Problem) -> Response {
    written(form, status, Bytes::from(problem_body(problem)))
}

fn problem_body(problem: &Problem) -> String {
    let message = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    let entry = json!({
        "message": message,
        "extensions":
            { "code": problem.code, "status": problem.status, "traceId": problem.instance },
    });
    json!({ "errors": [entry] }).to_string()
}

fn written(form: Form, status: StatusCode, body: Bytes) -> Response {
    if form == Form::Events && status == StatusCode::OK {
        let said = String::from_utf8_lossy(&body);
        return streamed(Body::from(sse::write("next", &said) + &sse::write("complete", "")));
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(form.media_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A stream of events.
pub fn streamed(events: Body) -> Response {
    let mut response = Response::new(events);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(sse::MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would keep events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The errors that a caller is told, each once.
fn told(entries: Vec<Entry>) -> Vec<Entry> {
    // A subgraph that refuses a caller says why, and the router adds that it did
    // not like the status.
    let explained: Vec<Option<Value>> = entries
        .iter()
        .filter(|e| is_ours(e))
        .map(|e| e.extensions.get("service").cloned())
        .collect();
    let (mut told, mut hidden) = (Vec::<Entry>::new(), 0);
    for entry in entries {
        let status = entry.extensions.get("http").and_then(|http| http.get("status"));
        let refused = status.and_then(Value::as_u64).is_some_and(|s| (400..500).contains(&s));
        if refused && explained.contains(&entry.extensions.get("service").cloned()) {
            continue;
        }
        let entry = match public(entry) {
            Ok(entry) => entry,
            Err(entry) => {
                if hidden == 0 {
                    // Not its message: the router repeats values of variables.
                    let service = entry.extensions.get("service").and_then(Value::as_str);
                    tracing::warn!(code = code(&entry), service, "an error of the graph");
                }
                hidden += 1;
                in_our_words(entry)
            }
        };
        if told.len() < MAX_ERRORS && !told.contains(&entry) {
            told.push(entry);
        }
    }
    told
}

fn code(entry: &Entry) -> &str {
    entry.extensions.get("code").and_then(Value::as_str).unwrap_or_default()
}

/// Errors of our services have codes such as `orders.not_found` and a status.
fn is_ours(entry: &Entry) -> bool {
    let named = code(entry).contains('.') || code(entry) == "internal";
    named && entry.extensions.get("status").is_some_and(Value::is_u64)
}

/// Rules of validation have names such as `FieldsOnCorrectType`, and no field that
/// was being resolved.
fn is_rule(entry: &Entry) -> bool {
    let code = code(entry);
    code.starts_with(|c: char| c.is_ascii_uppercase())
        && code.contains(|c: char| c.is_ascii_lowercase())
        && !code.contains('_')
        && entry.path.is_none()
        && !entry.extensions.contains_key("service")
}

/// What of an error the caller may see; the error itself where that is nothing.
fn public(mut entry: Entry) -> Result<Entry, Entry> {
    if is_ours(&entry) {
        entry.extensions.retain(|name, _| TOLD.contains(&name.as_str()));
        return Ok(entry);
    }
    let code = code(&entry).to_owned();
    if is_rule(&entry) || OF_DOCUMENTS.contains(&code.as_str()) {
        // A service speaks of a value that the router could not know; the router
        // adds the value as its own language writes it.
        if code == "BAD_USER_INPUT" && !entry.extensions.contains_key("service") {
            let cut = entry.message.find(": ").unwrap_or(entry.message.len());
            entry.message.truncate(cut);
            entry.message.push('.');
        }
        shorten(&mut entry.message);
        entry.extensions.retain(|name, _| name == "code");
        return Ok(entry);
    }
    Err(entry)
}

fn shorten(message: &mut String) {
    if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
        message.truncate(end);
    }
}

/// What is said in place of an error that is nobody's business outside.
fn in_our_words(mut entry: Entry) -> Entry {
    let code = code(&entry);
    let away = code.starts_with("SUBREQUEST_") || code.starts_with("SUBGRAPH_");
    let (message, code, status) = if away {
        ("This part of the shop is away for a moment.", "graph.part_away", 503)
    } else {
        ("Something went wrong here.", "graph.failed", 500)
    };
    let mut extensions = Map::new();
    extensions.insert("code".into(), json!(code));
    extensions.insert("status".into(), json!(status));
    if let Some(place) = entry.extensions.remove("affectedPath") {
        extensions.insert("affectedPath".into(), place);
    }
    Entry { message: message.to_owned(), locations: None, path: entry.path, extensions }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(errors: Value) -> Value {
        let body = json!({ "data": null, "errors": errors, "extensions": { "queryPlan": 1 } });
        let said = Said { status: StatusCode::OK, body: Bytes::from(body.to_string()) };
        let response = shaped(Form::Response, said, false).ok().unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let body = futures_util::FutureExt::now_or_never(axum::body::to_bytes(
            response.into_body(),
            1 << 20,
        ));
        serde_json::from_slice(&body.unwrap().unwrap()).unwrap()
    }

    #[test]
    fn a_service_speaks_for_itself_and_says_nothing_of_its_inside() {
        let told = answer(json!([
            { "message": "Sign in first.", "path": ["me"], "extensions":
                { "code": "auth.invalid_token", "status": 401, "service": "orders", "secret": 1 } },
            { "message": "Subgraph 'orders' responded with 401", "extensions":
                { "code": "SUBREQUEST_HTTP_ERROR", "service": "orders", "http": { "status": 401 } } },
        ]));
        assert_eq!(
            told,
            json!({ "data": null, "errors": [{ "message": "Sign in first.", "path": ["me"],
                "extensions": { "code": "auth.invalid_token", "status": 401 } }] })
        );
    }

    #[test]
    fn what_the_router_says_of_a_part_is_kept_from_the_caller() {
        for (code, told_as) in [
            (json!("SUBREQUEST_MALFORMED_RESPONSE"), "graph.part_away"),
            (json!("SUBREQUEST_HTTP_ERROR"), "graph.part_away"),
            (json!("SOMETHING_NEW"), "graph.failed"),
            (Value::Null, "graph.failed"),
        ] {
            let entry = json!({ "message": "relation \"orders\" does not exist at 10.0.0.7",
                "path": ["a"], "extensions": { "code": code, "service": "orders" } });
            let told = answer(json!([entry, entry]));
            assert_eq!(told["errors"].as_array().unwrap().len(), 1);
            let text = told["errors"][0].to_string();
            assert!(!text.contains("relation") && !text.contains("10.0.0.7"), "{text}");
            assert_eq!(told["errors"][0]["extensions"]["code"], told_as);
            assert_eq!(told["errors"][0]["path"], json!(["a"]));
        }
    }

    #[test]
    fn a_wrong_variable_is_named_without_its_value() {
        let told = answer(json!([{ "message": "ID cannot represent value: Object(x@y.test).",
            "extensions": { "code": "BAD_USER_INPUT" } }]));
        assert_eq!(told["errors"][0]["message"], "ID cannot represent value.");
    }

    #[test]
    fn a_value_that_a_service_cannot_read_is_the_callers_to_mend() {
        let message = "Failed to parse \"Decimal\": must be a plain decimal number";
        let extensions = json!({ "code": "BAD_USER_INPUT", "service": "catalog" });
        let entry = json!({ "message": message, "path": ["a"], "extensions": extensions });
        let told = answer(json!([entry]));
        let extensions = json!({ "code": "BAD_USER_INPUT" });
        let wanted = json!({ "message": message, "path": ["a"], "extensions": extensions });
        assert_eq!(told["errors"], json!([wanted]));
    }

    #[test]
    fn an_answer_without_data_is_400_only_in_graphqls_own_form() {
        let body = json!({ "errors": [{ "message": "Cannot query field \"x\".",
            "extensions": { "code": "FieldsOnCorrectType" } }] });
        for (form, status) in [(Form::Response, 400), (Form::Json, 200)] {
            let body = Bytes::from(body.to_string());
            let said = Said { status: StatusCode::BAD_REQUEST, body };
            assert_eq!(shaped(form, said, false).ok().unwrap().status(), status);
        }
    }
}
