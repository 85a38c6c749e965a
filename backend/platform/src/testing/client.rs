//! An HTTP client that calls a router in process.

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::ServiceExt;

use crate::Service;
use crate::http::{REST_PREFIX, finish};

/// Calls a router as the gateway would. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    router: Router,
    prefix: &'static str,
}

impl Client {
    /// Over a service's routers with the common layers around them. Paths
    /// below `/api/v1` are given without it; a path that starts with `//` is
    /// taken from the root.
    pub fn of(service: &Service) -> Self {
        let (rest, _) = service.rest.clone().split_for_parts();
        let whole = Router::new().nest(REST_PREFIX, rest).merge(service.root.clone());
        let router = finish(whole, service.name, service.ctx.verifier.clone());
        Client { router, prefix: REST_PREFIX }
    }

    /// Over any finished router; paths are taken as they are.
    pub fn over(router: Router) -> Self {
        Client { router, prefix: "" }
    }

    pub fn get(&self, path: &str) -> TestRequest {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> TestRequest {
        self.request(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> TestRequest {
        self.request(Method::PUT, path)
    }

    pub fn patch(&self, path: &str) -> TestRequest {
        self.request(Method::PATCH, path)
    }

    pub fn delete(&self, path: &str) -> TestRequest {
        self.request(Method::DELETE, path)
    }

    pub fn request(&self, method: Method, path: &str) -> TestRequest {
        let uri = match path.strip_prefix("//") {
            Some(root) => format!("/{root}"),
            None => format!("{}{path}", self.prefix),
        };
        TestRequest {
            router: self.router.clone(),
            method,
            uri,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }
}

/// A request being put together.
#[must_use = "call send()"]
pub struct TestRequest {
    router: Router,
    method: Method,
    uri: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl TestRequest {
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// A token for one order, as placements return it.
    pub fn order_token(self, token: &str) -> Self {
        self.header("authorization", format!("Order {token}"))
    }

    /// The `Idempotency-Key`.
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// The `If-Match` of an entity tag, quotes included.
    pub fn if_match(self, etag: &str) -> Self {
        self.header("if-match", etag)
    }

    pub fn json<T: Serialize + ?Sized>(self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => self.body("application/json", bytes),
            Err(error) => panic!("a body that is no JSON: {error}"),
        }
    }

    pub fn body(mut self, content_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into();
        self.header("content-type", content_type)
    }

    pub async fn send(self) -> TestAnswer {
        let uri = self.uri.clone();
        let (parts, body) = self.open().await.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes().to_vec(),
            Err(error) => panic!("the body of {uri} broke off: {error}"),
        };
        TestAnswer { status: parts.status, headers: parts.headers, body }
    }

    /// Sends it without waiting for the answer's body.
    pub async fn open(self) -> Response {
        let mut request = Request::builder().method(self.method).uri(&self.uri);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = match request.body(Body::from(self.body)) {
            Ok(request) => request,
            Err(error) => panic!("a request that cannot be sent to {}: {error}", self.uri),
        };
        let Ok(response) = self.router.oneshot(request).await;
        response
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct TestAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl TestAnswer {
    /// The body as `T`; a failed test shows status and body.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error} in {} {}", self.status, self.text()),
        }
    }

    #[track_caller]
    pub fn value(&self) -> Value {
        self.json()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The `code` of a problem document, empty when it is none.
    pub fn code(&self) -> String {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        value["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The fields that a problem document names, in its order.
    pub fn fields(&self) -> Vec<String> {
        let value: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let errors = value["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().filter_map(|e| e["field"].as_str().map(str::to_owned)).collect()
    }

    /// A header as text, empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    pub fn etag(&self) -> &str {
        self.header(header::ETAG.as_str())
    }

    /// Fails the test unless the status is `wanted`, showing the body.
    #[track_caller]
    pub fn expect(self, wanted: u16) -> Self {
        assert_eq!(self.status.as_u16(), wanted, "{}", self.text());
        self
    }

    /// Fails the test unless it is a problem with this status and code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status.as_u16(), self.code().as_str()), (status, code), "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        self
    }
}
