//! Extractors whose refusals are problem documents.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared_types::FieldError;

use crate::auth::Principal;
use crate::error::{ApiError, Kind};
use crate::idempotency::{self, IdempotencyKey};

/// A JSON body, in and out.
///
/// As an extractor it names every field of a wrong type at once, not only the
/// first; 415 without `application/json`, 400 when it is no JSON at all.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = json_bytes(request, state).await?;
        parse(&bytes).map(Json)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let mut response = body.into_response();
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response
            }
            Err(error) => ApiError::internal(error).into_response(),
        }
    }
}

/// The JSON body of a POST that creates or pays, with its `Idempotency-Key`.
#[derive(Debug)]
pub struct Idempotent<T> {
    pub input: T,
    pub key: IdempotencyKey,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Idempotent<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let caller = Principal::from_request_parts(&mut parts, state).await?;
        let text = idempotency::header_value(&parts.headers)?;
        let route = route_of(&parts);
        let target = parts.uri.path().to_owned();
        let method = parts.method.clone();
        let bytes = json_bytes(Request::from_parts(parts, body), state).await?;
        let input = parse(&bytes)?;
        let key = IdempotencyKey::new(&route, &caller, &text, &method, &target, &bytes)?;
        Ok(Idempotent { input, key })
    }
}

/// The JSON body of a POST whose `Idempotency-Key` is optional.
#[derive(Debug)]
pub struct Posted<T> {
    pub input: T,
    pub key: Option<IdempotencyKey>,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Posted<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if request.headers().contains_key("idempotency-key") {
            let Idempotent { input, key } = Idempotent::from_request(request, state).await?;
            return Ok(Posted { input, key: Some(key) });
        }
        let Json(input) = Json::from_request(request, state).await?;
        Ok(Posted { input, key: None })
    }
}

fn route_of(parts: &Parts) -> String {
    let matched = parts.extensions.get::<axum::extract::MatchedPath>();
    format!("{} {}", parts.method, matched.map_or(parts.uri.path(), |m| m.as_str()))
}

async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    if !is_json(request.headers()) {
        let detail = "Send the body as application/json.";
        return Err(ApiError::new(Kind::UnsupportedMediaType, "request.media_type", detail));
    }
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
            ApiError::new(Kind::TooLarge, "request.too_large", "The body is too large.")
        } else {
            unparseable("The body could not be read.")
        }
    })
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn unparseable(detail: impl Into<String>) -> ApiError {
    ApiError::new(Kind::Unparseable, "request.unparseable", detail)
}

/// After so many wrong fields the rest is not looked at.
const MAX_TYPE_ERRORS: usize = 50;

/// Parses `bytes`, or says which fields have the wrong type: all of them.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // Checked first: a list would pass for a structure whose members all have defaults.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        json_value(bytes)?;
        let message = "invalid type: sequence, expected an object".to_owned();
        return Err(ApiError::invalid(vec![type_error(".", message)]));
    }
    let (path, message) = match attempt::<T>(bytes) {
        Ok(value) => return Ok(value),
        Err(wrong) => wrong,
    };
    let mut rest = json_value(bytes)?;
    let mut errors = vec![type_error(&path, message)];
    // Take each wrong field out and look again, so that all are named at once.
    let mut last = path;
    while errors.len() < MAX_TYPE_ERRORS && remove(&mut rest, &last) {
        let bytes = serde_json::to_vec(&rest).map_err(ApiError::internal)?;
        match attempt::<T>(&bytes) {
            Ok(_) => break,
            Err((path, message)) => {
                // A parent that now misses what was taken out is no error of its own.
                let ours = path == last || is_within(&last, &path);
                if !ours {
                    errors.push(type_error(&path, message));
                }
                last = path;
            }
        }
    }
    Err(ApiError::invalid(errors))
}

fn json_value(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|e| unparseable(format!("The body is not JSON: {e}")))
}

/// `lines[1].qty` is within `lines[1]` and within `lines`.
fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn attempt<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, (String, String)> {
    let mut source = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut source)
        .map_err(|e| (e.path().to_string(), without_position(&e.inner().to_string())))?;
    source.end().map_err(|e| (".".to_owned(), e.to_string()))?;
    Ok(value)
}

fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

fn type_error(path: &str, message: String) -> FieldError {
    let field = if path == "." { "(body)" } else { path };
    FieldError { field: field.to_owned(), code: "type".to_owned(), message }
}

/// Removes what `path` (`lines[2].qty`) names; false when there is nothing to remove.
fn remove(value: &mut Value, path: &str) -> bool {
    let pointer = path.replace('[', ".").replace(']', "");
    let mut steps: Vec<&str> = pointer.split('.').filter(|s| !s.is_empty()).collect();
    let Some(last) = steps.pop() else { return false };
    let mut here = value;
    for step in steps {
        let next = match here {
            Value::Object(members) => members.get_mut(step),
            Value::Array(items) => step.parse::<usize>().ok().and_then(|i| items.get_mut(i)),
            _ => None,
        };
        match next {
            Some(next) => here = next,
            None => return false,
        }
    }
    match here {
        Value::Object(members) => members.remove(last).is_some(),
        Value::Array(items) => match last.parse::<usize>() {
            Ok(i) if i < items.len() => {
                items.remove(i);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// Query parameters; a wrong one is 400 with its name.
#[derive(Debug)]
pub struct QueryOf<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for QueryOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(value)| QueryOf(value))
            .map_err(|e| ApiError::new(Kind::Unparseable, "request.query", e.body_text()))
    }
}

/// A path parameter; what cannot be an id names nothing: 404.
#[derive(Debug)]
pub struct PathOf<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathOf<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| PathOf(value)).map_err(|_| ApiError::not_found("request.path"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    struct Line {
        #[allow(dead_code)]
        qty: i64,
    }

    #[derive(serde::Deserialize, Debug, Default)]
    #[serde(default)]
    struct Input {
        #[allow(dead_code)]
        name: String,
        #[allow(dead_code)]
        age: i64,
        #[allow(dead_code)]
        lines: Vec<Line>,
    }

    fn fields(body: &str) -> (Kind, Vec<String>) {
        let error = parse::<Input>(body.as_bytes()).unwrap_err();
        (error.kind, error.fields.into_iter().map(|f| f.field).collect())
    }

    #[test]
    fn every_field_of_a_wrong_type_is_named() {
        let body = r#"{"name":5,"age":"x","lines":[{"qty":1},{"qty":"many"}]}"#;
        let (kind, named) = fields(body);
        assert_eq!(kind, Kind::Invalid);
        assert_eq!(named, ["name", "age", "lines[1].qty"]);
    }

    #[test]
    fn what_is_no_json_is_unparseable() {
        for body in ["", "{", "nope", "{\"name\":}", "\u{0}"] {
            assert_eq!(fields(body).0, Kind::Unparseable, "{body}");
        }
        assert_eq!(fields("[]").0, Kind::Invalid);
        assert_eq!(fields("null").0, Kind::Invalid);
    }
}
