//! Reading a request as GraphQL over HTTP has it.

use axum::body::{Body, Bytes};
use axum::extract::{Query, Request};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::LengthLimitError;
use platform::{ApiError, Kind};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared_types::sse;

/// How the caller wants the answer. GraphQL's own media type tells by the status
/// whether the document was executed; plain JSON is 200 whenever it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Response,
    Json,
    /// Events, as GraphQL over SSE has them; what is refused before is as
    /// [`Form::Response`].
    Events,
}

pub const RESPONSE: &str = "application/graphql-response+json";
pub const JSON: &str = "application/json";

impl Form {
    /// The first acceptable form; without a preference GraphQL's own.
    pub fn wanted(headers: &HeaderMap) -> Result<Self, ApiError> {
        let mut ranges = ranges(headers).peekable();
        if ranges.peek().is_none() {
            return Ok(Form::Response);
        }
        let mut best: Option<(u16, Form)> = None;
        for (media, weight) in ranges.filter(|(_, weight)| *weight > 0) {
            let form = match media.as_str() {
                RESPONSE | "application/*" | "*/*" => Form::Response,
                JSON => Form::Json,
                sse::MEDIA_TYPE => Form::Events,
                _ => continue,
            };
            if best.is_none_or(|(other, _)| weight > other) {
                best = Some((weight, form));
            }
        }
        best.map(|(_, form)| form).ok_or_else(|| {
            let detail = format!("Answers are {RESPONSE} or {JSON}.");
            ApiError::new(Kind::NotAcceptable, "request.not_acceptable", detail)
        })
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Form::Response | Form::Events => "application/graphql-response+json; charset=utf-8",
            Form::Json => "application/json; charset=utf-8",
        }
    }

    /// The status of an answer without data.
    pub fn unexecuted(self) -> StatusCode {
        match self {
            Form::Response | Form::Events => StatusCode::BAD_REQUEST,
            Form::Json => StatusCode::OK,
        }
    }
}

/// Whether a stream of events is among what the caller takes, however much it
/// would rather have something else.
pub fn takes_events(headers: &HeaderMap) -> bool {
    ranges(headers).any(|(media, weight)| media == sse::MEDIA_TYPE && weight > 0)
}

/// What the caller takes, with weights.
fn ranges(headers: &HeaderMap) -> impl Iterator<Item = (String, u16)> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    accepted.flat_map(|v| v.split(',')).filter_map(range)
}

/// A media range and its weight in thousandths.
fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().filter(|media| !media.is_empty())?.to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let thousandths = match weight {
        None => 1_000,
        Some(weight) => thousandths(weight)?,
    };
    Some((media, thousandths))
}

/// `0.25` as 250; at most 1.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    let (whole, fraction): (u16, u16) = (whole.parse().ok()?, fraction.parse().ok()?);
    Some(whole.checked_mul(1_000)?.checked_add(fraction)?.min(1_000))
}

/// One GraphQL request.
#[derive(Debug, Default)]
pub struct Asked {
    /// The document; absent when a known one is meant by its hash.
    pub query: Option<String>,
    /// SHA-256 of a known document in lower-case hex.
    pub hash: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Map<String, Value>,
}

/// The body of a request; further members are for others.
#[derive(Debug, Default, Deserialize)]
struct Envelope {
    query: Option<String>,
    #[serde(rename = "operationName")]
    operation_name: Option<String>,
    variables: Option<Map<String, Value>>,
    extensions: Option<Map<String, Value>>,
    #[serde(rename = "documentId")]
    document_id: Option<String>,
}

/// What the router is sent.
#[derive(Serialize)]
struct Forwarded<'a> {
    query: &'a str,
    #[serde(rename = "operationName", skip_serializing_if = "Option::is_none")]
    operation_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    variables: &'a Map<String, Value>,
}

impl Asked {
    pub async fn read(request: Request, limit: usize) -> Result<(HeaderMap, Self), ApiError> {
        let (parts, body) = request.into_parts();
        let envelope = match parts.method {
            Method::GET => from_query(&parts.uri, limit)?,
            Method::POST => {
                if !is_json(&parts.headers) {
                    let detail = "Send the document as application/json.";
                    return Err(ApiError::new(
                        Kind::UnsupportedMediaType,
                        "request.media_type",
                        detail,
                    ));
                }
                from_body(&whole(body, limit).await?)?
            }
            _ => {
                let detail = "Ask with GET or POST.";
                return Err(ApiError::new(Kind::MethodNotAllowed, "request.method", detail));
            }
        };
        Ok((parts.headers, envelope.into_asked()?))
    }

    pub fn forwarded(&self, text: &str) -> Result<Bytes, ApiError> {
        let forwarded = Forwarded {
            query: text,
            operation_name: self.operation_name.as_deref(),
            variables: &self.variables,
        };
        serde_json::to_vec(&forwarded).map(Bytes::from).map_err(ApiError::internal)
    }
}

impl Envelope {
    fn into_asked(self) -> Result<Asked, ApiError> {
        let persisted = self.extensions.as_ref().and_then(|all| all.get("persistedQuery"));
        let hash = persisted.and_then(|one| one.get("sha256Hash")).and_then(Value::as_str);
        let hash = hash.map(str::to_owned).or(self.document_id);
        let hash = hash.map(|hash| hash.trim_start_matches("sha256:").to_ascii_lowercase());
        if self.query.is_none() && hash.is_none() {
            return Err(unparseable("There is no document: send a member \"query\"."));
        }
        Ok(Asked {
            query: self.query,
            hash,
            operation_name: self.operation_name.filter(|name| !name.is_empty()),
            variables: self.variables.unwrap_or_default(),
        })
    }
}

fn from_body(body: &[u8]) -> Result<Envelope, ApiError> {
    if body.trim_ascii_start().first() == Some(&b'[') {
        let detail = "One document at a time; a batch is a document with several fields.";
        return Err(ApiError::new(Kind::Unparseable, "graph.batch", detail));
    }
    serde_json::from_slice(body).map_err(|_| {
        unparseable("The body is no GraphQL request: {\"query\": \"…\", \"variables\": {…}}.")
    })
}

fn from_query(uri: &Uri, limit: usize) -> Result<Envelope, ApiError> {
    if uri.query().unwrap_or_default().len() > limit {
        return Err(too_large());
    }
    let mut envelope = Envelope::default();
    let object = |name: &str, text: &str| -> Result<Option<Map<String, Value>>, ApiError> {
        serde_json::from_str(text)
            .map_err(|_| unparseable(&format!("The parameter {name} is no JSON object.")))
    };
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| unparseable("The parameters could not be read."))?;
    for (name, value) in pairs {
        match name.as_str() {
            "query" => envelope.query = Some(value),
            "operationName" => envelope.operation_name = Some(value),
            "documentId" => envelope.document_id = Some(value),
            "variables" => envelope.variables = object("variables", &value)?,
            "extensions" => envelope.extensions = object("extensions", &value)?,
            _ => {}
        }
    }
    Ok(envelope)
}

async fn whole(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let too_long =
            std::error::Error::source(&error).is_some_and(|source| source.is::<LengthLimitError>());
        if too_long { too_large() } else { unparseable("The body could not be read.") }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(JSON))
}

fn unparseable(detail: &str) -> ApiError {
    ApiError::new(Kind::Unparseable, "request.unparseable", detail)
}

fn too_large() -> ApiError {
    ApiError::new(Kind::TooLarge, "request.too_large", "The document is too large.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &[&str]) -> Option<Form> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(header::ACCEPT, value.parse().unwrap());
        }
        Form::wanted(&headers).ok()
    }

    #[test]
    fn the_accepted_form_of_greatest_weight_is_chosen() {
        for (accept, wanted) in [
            (&[][..], Some(Form::Response)),
            (&["*/*"], Some(Form::Response)),
            (&["application/json"], Some(Form::Json)),
            (&["application/json;q=0.5, application/graphql-response+json"], Some(Form::Response)),
            (&["application/graphql-response+json;q=0.4", "application/json"], Some(Form::Json)),
            (&["application/graphql-response+json; q=0, application/json"], Some(Form::Json)),
            (&["text/html, application/json;q=0.1"], Some(Form::Json)),
            (&["text/event-stream"], Some(Form::Events)),
            (&["application/json, text/event-stream;q=0.9"], Some(Form::Json)),
            (&["text/html"], None),
            (&["application/json;q=0"], None),
        ] {
            assert_eq!(form(accept), wanted, "{accept:?}");
        }
    }

    #[test]
    fn a_hash_comes_in_both_ways_and_a_request_without_a_document_is_none() {
        let asked = |text: &str| from_body(text.as_bytes()).and_then(Envelope::into_asked);
        let apollo = r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"AB"}}}"#;
        assert_eq!(asked(apollo).unwrap().hash.as_deref(), Some("ab"));
        assert_eq!(asked(r#"{"documentId":"sha256:ab"}"#).unwrap().hash.as_deref(), Some("ab"));
        for (wrong, code) in [
            ("", "request.unparseable"),
            ("{}", "request.unparseable"),
            (r#"{"query":7}"#, "request.unparseable"),
            (r#"{"query":"{a}","variables":[]}"#, "request.unparseable"),
            (r#"[{"query":"{a}"}]"#, "graph.batch"),
        ] {
            assert_eq!(asked(wrong).unwrap_err().code, code, "{wrong}");
        }
    }
}
