//! The typed client of the public REST API, as one request of one browser.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_types::cart::{AddItem, Cart, ChangeItem, MergeCart};
use shared_types::catalog::{Category, Product};
use shared_types::identity::{Login, Refresh, Registration, Tokens, User};
use shared_types::orders::{
    CancelOrder, Order, OrderStatusView, OrderSummary, PayAnswer, PayOrder, PlaceOrder,
};
use shared_types::{Page, Problem};

use crate::session::Session;
use crate::text::encode;

/// The largest answer the storefront reads.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Carries a request to the public API and brings its answer. In one process
/// this is the gateway's router, otherwise an HTTP client.
#[async_trait]
pub trait Transport: Send + Sync {
    async fn call(&self, request: http::Request<Body>) -> http::Response<Body>;
}

/// Why the API gave no answer of the kind asked for.
#[derive(Debug)]
pub enum ApiError {
    /// 4xx: the API says no, and why.
    Refused(Box<Refusal>),
    /// 503 or another 5xx: worth another try later.
    Unavailable,
    /// The answer cannot be read.
    Broken(String),
}

/// A 4xx answer.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub problem: Problem,
    /// The whole problem document; some codes carry more members.
    pub document: serde_json::Value,
    /// Seconds to wait before another try, when the API says so.
    pub retry_after: Option<u64>,
}

impl ApiError {
    /// The refusal, when it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            ApiError::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    pub fn is_status(&self, status: StatusCode) -> bool {
        self.refusal().is_some_and(|r| r.status == status)
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// The signed-in shopper, else the guest of the browser's cookie.
    Shopper,
    /// The token of one order.
    Order(&'a str),
    /// Nobody: sign-in, registration, refreshing.
    Nobody,
}

/// One request to the API; `path` starts behind `/api/v1`.
#[derive(Clone)]
pub struct Call<'a> {
    pub method: Method,
    pub path: String,
    pub body: Option<Bytes>,
    pub idempotency_key: Option<&'a str>,
    pub credential: Credential<'a>,
}

impl Call<'_> {
    fn get(path: impl Into<String>) -> Self {
        Call {
            method: Method::GET,
            path: path.into(),
            body: None,
            idempotency_key: None,
            credential: Credential::Shopper,
        }
    }

    fn with_body(method: Method, path: impl Into<String>, body: &impl Serialize) -> Self {
        // Our own request shapes always serialise; an empty body would be refused by name.
        let bytes = serde_json::to_vec(body).unwrap_or_default();
        Call { method, body: Some(bytes.into()), ..Call::get(path) }
    }
}

/// A whole answer, read.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Sends one call as it stands and reads the whole answer.
pub async fn send(
    transport: &dyn Transport,
    forwarded: &Forwarded,
    call: &Call<'_>,
    authorization: Option<String>,
    guest: Option<&str>,
) -> Result<Answer, ApiError> {
    let mut request = http::Request::builder()
        .method(call.method.clone())
        .uri(format!("/api/v1{}", call.path))
        .header(header::ACCEPT, "application/json");
    for (name, value) in &forwarded.headers {
        request = request.header(name, value);
    }
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    } else if let Some(guest) = guest {
        request = request.header(header::COOKIE, format!("bv_guest={guest}"));
    }
    if let Some(key) = call.idempotency_key {
        request = request.header("idempotency-key", key);
    }
    let body = match &call.body {
        Some(bytes) => {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(bytes.clone())
        }
        None => Body::empty(),
    };
    let mut request = request.body(body).map_err(|e| ApiError::Broken(e.to_string()))?;
    if let Some(peer) = forwarded.peer {
        request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    }
    let (parts, body) = transport.call(request).await.into_parts();
    let body = axum::body::to_bytes(body, MAX_ANSWER_BYTES)
        .await
        .map_err(|e| ApiError::Broken(e.to_string()))?;
    Ok(Answer { status: parts.status, headers: parts.headers, body })
}

/// What of the browser's request travels on, so that limits and traces see the
/// browser and not the storefront.
#[derive(Clone, Default)]
pub struct Forwarded {
    pub headers: HeaderMap,
    pub peer: Option<std::net::SocketAddr>,
}

/// Reads an answer as `T`, or as the refusal it is.
pub fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, ApiError> {
    if answer.status.is_success() {
        let body: &[u8] = if answer.body.is_empty() { b"null" } else { &answer.body };
        return serde_json::from_slice(body).map_err(|e| ApiError::Broken(e.to_string()));
    }
    if !answer.status.is_client_error() {
        return Err(ApiError::Unavailable);
    }
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let problem = serde_json::from_slice(&answer.body).unwrap_or_else(|_| Problem {
        type_uri: "about:blank".to_owned(),
        title: answer.status.canonical_reason().unwrap_or("Refused").to_owned(),
        status: answer.status.as_u16(),
        detail: String::new(),
        instance: String::new(),
        code: String::new(),
        errors: Vec::new(),
    });
    let retry_after = answer.headers.get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|v| v.to_str().ok()?.parse().ok());
    let refusal = Refusal { status: answer.status, problem, document, retry_after };
    Err(ApiError::Refused(Box::new(refusal)))
}

/// How a product list is asked for.
#[derive(Default)]
pub struct ProductQuery<'a> {
    pub first: u32,
    pub after: Option<&'a str>,
    pub category: Option<&'a str>,
    pub text: Option<&'a str>,
    pub sort: Option<&'a str>,
}

/// The API as one browser request uses it.
#[derive(Clone)]
pub struct ShopApi {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) session: Arc<Session>,
}

impl ShopApi {
    async fn ask<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, ApiError> {
        let answer = self.session.perform(self.transport.as_ref(), &call).await?;
        let result = read(&answer);
        if let Err(ApiError::Broken(why)) = &result {
            tracing::error!(path = %call.path, %why, "the API's answer cannot be read");
        }
        result
    }

    pub async fn products(&self, query: ProductQuery<'_>) -> Result<Page<Product>, ApiError> {
        let mut path = format!("/products?first={}", query.first.clamp(1, 200));
        let parts = [
            ("after", query.after),
            ("category", query.category),
            ("text", query.text),
            ("sort", query.sort),
        ];
        for (name, value) in parts {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                path.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        self.ask(Call::get(path)).await
    }

    /// A product by id or slug.
    pub async fn product(&self, key: &str) -> Result<Product, ApiError> {
        self.ask(Call::get(format!("/products/{}", encode(key)))).await
    }

    pub async fn categories(&self) -> Result<Vec<Category>, ApiError> {
        let page: Page<Category> = self.ask(Call::get("/categories?first=50")).await?;
        Ok(page.items)
    }

    /// The cart; sums are an estimate for `country` when one is given.
    pub async fn cart(&self, country: Option<&str>) -> Result<Cart, ApiError> {
        let path = match country {
            Some(country) => format!("/cart?country={}", encode(country)),
            None => "/cart".to_owned(),
        };
        self.ask(Call::get(path)).await
    }

    pub async fn add_item(&self, sku: &str, qty: i64) -> Result<Cart, ApiError> {
        let body = AddItem { sku: sku.to_owned(), qty: Some(qty) };
        self.ask(Call::with_body(Method::POST, "/cart/items", &body)).await
    }

    pub async fn change_item(&self, item: &str, qty: i64) -> Result<Cart, ApiError> {
        let path = format!("/cart/items/{}", encode(item));
        self.ask(Call::with_body(Method::PUT, path, &ChangeItem { qty: Some(qty) })).await
    }

    pub async fn remove_item(&self, item: &str) -> Result<(), ApiError> {
        let path = format!("/cart/items/{}", encode(item));
        let call = Call { method: Method::DELETE, ..Call::get(path) };
        self.ask::<serde_json::Value>(call).await.map(drop)
    }

    pub async fn merge_cart(&self, guest_token: String) -> Result<(), ApiError> {
        let call = Call::with_body(Method::POST, "/cart/merge", &MergeCart { guest_token });
        self.ask::<serde_json::Value>(call).await.map(drop)
    }

    pub async fn place_order(&self, order: &PlaceOrder, key: &str) -> Result<Order, ApiError> {
        let call = Call::with_body(Method::POST, "/orders", order);
        self.ask(Call { idempotency_key: Some(key), ..call }).await
    }

    pub async fn orders(
        &self,
        first: u32,
        after: Option<&str>,
    ) -> Result<Page<OrderSummary>, ApiError> {
        let after = after.map(|a| format!("&after={}", encode(a))).unwrap_or_default();
        self.ask(Call::get(format!("/orders?first={first}{after}"))).await
    }

    pub async fn order(&self, id: &str, who: Credential<'_>) -> Result<Order, ApiError> {
        self.ask(Call { credential: who, ..Call::get(format!("/orders/{}", encode(id))) }).await
    }

    pub async fn order_status(
        &self,
        id: &str,
        who: Credential<'_>,
    ) -> Result<OrderStatusView, ApiError> {
        let path = format!("/orders/{}/status", encode(id));
        self.ask(Call { credential: who, ..Call::get(path) }).await
    }

    pub async fn pay(
        &self,
        id: &str,
        who: Credential<'_>,
        pay: &PayOrder,
        key: &str,
    ) -> Result<PayAnswer, ApiError> {
        let call = Call::with_body(Method::POST, format!("/orders/{}/pay", encode(id)), pay);
        self.ask(Call { credential: who, idempotency_key: Some(key), ..call }).await
    }

    pub async fn cancel(&self, id: &str, who: Credential<'_>) -> Result<Order, ApiError> {
        let body = CancelOrder { reason: "canceled by the buyer".to_owned() };
        let call = Call::with_body(Method::POST, format!("/orders/{}/cancel", encode(id)), &body);
        self.ask(Call { credential: who, ..call }).await
    }

    pub async fn register(&self, registration: &Registration) -> Result<User, ApiError> {
        let call = Call::with_body(Method::POST, "/users/register", registration);
        self.ask(Call { credential: Credential::Nobody, ..call }).await
    }

    pub async fn login(&self, login: &Login) -> Result<Tokens, ApiError> {
        let call = Call::with_body(Method::POST, "/users/login", login);
        self.ask(Call { credential: Credential::Nobody, ..call }).await
    }

    pub async fn logout(&self, refresh_token: String) -> Result<(), ApiError> {
        let call = Call::with_body(Method::POST, "/users/logout", &Refresh { refresh_token });
        self.ask::<serde_json::Value>(call).await.map(drop)
    }

    pub async fn user(&self, id: &str) -> Result<User, ApiError> {
        self.ask(Call::get(format!("/users/{}", encode(id)))).await
    }
}

/// Exchanges a refresh token; the only call made on behalf of the session itself.
pub async fn refresh_tokens(
    transport: &dyn Transport,
    forwarded: &Forwarded,
    refresh_token: &str,
) -> Result<Tokens, ApiError> {
    let body = Refresh { refresh_token: refresh_token.to_owned() };
    let call = Call {
        credential: Credential::Nobody,
        ..Call::with_body(Method::POST, "/users/refresh", &body)
    };
    read(&send(transport, forwarded, &call, None, None).await?)
}
