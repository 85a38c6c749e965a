//! One request of one browser: its cookies, its nonce, its API session, and the
//! headers every page leaves with.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use shared_types::catalog::Category;
use uuid::Uuid;

use crate::StorefrontConfig;
use crate::api::{ApiError, Forwarded, ShopApi, Transport};
use crate::cookies::{self, Cookies};
use crate::drafts::{Draft, Drafts, Flash, FlashKind};
use crate::refresh::Refresher;
use crate::session::Session;

const CSRF: &str = "bv_csrf";
const SESSION: &str = "bv_session";
/// How long the navigation's categories are reused.
const CATEGORIES_KEPT: Duration = Duration::from_secs(15);

/// Shared by all requests.
#[derive(Clone)]
pub struct Shop(Arc<ShopInner>);

struct ShopInner {
    transport: Arc<dyn Transport>,
    config: StorefrontConfig,
    drafts: Drafts,
    refresher: Arc<Refresher>,
    categories: Mutex<Option<(Instant, Arc<Vec<Category>>)>>,
}

impl Shop {
    pub fn new(transport: Arc<dyn Transport>, config: StorefrontConfig) -> Self {
        Shop(Arc::new(ShopInner {
            transport,
            config,
            drafts: Drafts::default(),
            refresher: Arc::default(),
            categories: Mutex::default(),
        }))
    }

    pub fn config(&self) -> &StorefrontConfig {
        &self.0.config
    }

    fn is_secure(&self) -> bool {
        self.0.config.public_url.starts_with("https:")
    }

    /// The API for a request without a browser session (sitemap).
    pub fn anonymous_api(&self) -> ShopApi {
        self.api(&Cookies::default(), Forwarded::default())
    }

    fn api(&self, cookies: &Cookies, forwarded: Forwarded) -> ShopApi {
        let refresher = self.0.refresher.clone();
        let session = Session::new(cookies, forwarded, self.is_secure(), refresher);
        ShopApi { transport: self.0.transport.clone(), session: Arc::new(session) }
    }
}

/// One request of one browser.
#[derive(Clone)]
pub struct Visit(Arc<VisitInner>);

struct VisitInner {
    shop: Shop,
    api: ShopApi,
    cookies: Cookies,
    nonce: String,
    csrf: String,
    path: String,
}

impl Visit {
    pub fn api(&self) -> &ShopApi {
        &self.0.api
    }

    pub fn config(&self) -> &StorefrontConfig {
        self.0.shop.config()
    }

    /// For `<script nonce>`; the only inline scripts a page may have.
    pub fn nonce(&self) -> &str {
        &self.0.nonce
    }

    /// The value of the hidden field in every form.
    pub fn csrf(&self) -> &str {
        &self.0.csrf
    }

    /// The path asked for, without query.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    pub fn is_signed_in(&self) -> bool {
        self.session().is_signed_in()
    }

    pub fn session(&self) -> &Session {
        &self.0.api.session
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.0.cookies.get(name)
    }

    /// Queues a cookie that scripts cannot read.
    pub fn set_cookie(&self, name: &str, value: &str, path: &str, max_age_seconds: u64) {
        let cookie = cookies::set(name, value, path).max_age(max_age_seconds);
        self.session().set_cookie(cookie.secure(self.0.shop.is_secure()).to_string());
    }

    /// Compares in constant time; false when the browser sent no cookie.
    pub fn csrf_matches(&self, given: &str) -> bool {
        let Some(kept) = self.cookie(CSRF) else { return false };
        let same_length = kept.len() == given.len() && kept.len() >= 32;
        let difference = kept.bytes().zip(given.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b));
        same_length && difference == 0
    }

    /// Categories for the navigation; none when the API is away and was never there.
    pub async fn categories(&self) -> Arc<Vec<Category>> {
        let kept = self.kept_categories();
        if let Some((since, list)) = &kept
            && since.elapsed() < CATEGORIES_KEPT
        {
            return list.clone();
        }
        match self.api().categories().await {
            Ok(list) => {
                let list = Arc::new(list);
                let slot = &self.0.shop.0.categories;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((Instant::now(), list.clone()));
                list
            }
            Err(_) => kept.map(|(_, list)| list).unwrap_or_default(),
        }
    }

    fn kept_categories(&self) -> Option<(Instant, Arc<Vec<Category>>)> {
        self.0.shop.0.categories.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Units in the cart; 0 without asking when the browser cannot have one.
    pub async fn cart_units(&self) -> i64 {
        if !self.is_signed_in() && self.session().guest().is_none() {
            return 0;
        }
        match self.api().cart(None).await {
            Ok(cart) => cart.items.iter().map(|item| item.qty).sum(),
            Err(_) => 0,
        }
    }

    /// Reads or changes what this browser session holds, if it has one.
    pub fn peek_draft<R>(&self, look: impl FnOnce(&mut Draft) -> R) -> Option<R> {
        let id = self.cookie(SESSION)?;
        Some(self.0.shop.0.drafts.with(id, look))
    }

    /// Changes what this browser session holds; starts one when needed.
    pub fn change_draft(&self, change: impl FnOnce(&mut Draft)) {
        let fresh;
        let id = match self.cookie(SESSION) {
            Some(id) => id,
            None => {
                fresh = random_token();
                let cookie = cookies::set(SESSION, &fresh, "/").secure(self.0.shop.is_secure());
                self.session().set_cookie(cookie.to_string());
                &fresh
            }
        };
        self.0.shop.0.drafts.with(id, change);
    }

    /// Says something on the page the browser is sent to next.
    pub fn flash(&self, kind: FlashKind, message: impl Into<String>) {
        let message = message.into();
        self.change_draft(|draft| draft.flash = Some(Flash { kind, message }));
    }

    pub fn take_flash(&self) -> Option<Flash> {
        self.peek_draft(|draft| draft.flash.take()).flatten()
    }
}

impl FromRequestParts<Shop> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Shop) -> Result<Self, Response> {
        // `enter` runs before every page; without it there is nothing to show.
        let visit = parts.extensions.get::<Visit>().cloned();
        visit.ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// 122 random bits as 32 hex digits.
pub fn random_token() -> String {
    Uuid::new_v4().simple().to_string()
}

/// A page the API could not serve: not found, not reachable, not readable.
pub enum Failure {
    NotFound,
    SignIn,
    Away,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error.refusal().map(|r| r.status) {
            Some(StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST) => Failure::NotFound,
            Some(StatusCode::UNAUTHORIZED) => Failure::SignIn,
            _ => Failure::Away,
        }
    }
}

/// Middleware around every page: makes the visit, and afterwards adds cookies
/// and the security headers.
pub async fn enter(State(shop): State<Shop>, mut request: Request, next: Next) -> Response {
    let cookies = Cookies::read(request.headers());
    let forwarded = Forwarded {
        headers: forwarded_headers(request.headers()),
        peer: request.extensions().get::<ConnectInfo<std::net::SocketAddr>>().map(|c| c.0),
    };
    let api = shop.api(&cookies, forwarded);
    let csrf = match cookies.get(CSRF) {
        Some(token) if token.len() == 32 && token.bytes().all(|b| b.is_ascii_hexdigit()) => {
            token.to_owned()
        }
        _ => {
            let token = random_token();
            let cookie = cookies::set(CSRF, &token, "/").secure(shop.is_secure());
            api.session.set_cookie(cookie.to_string());
            token
        }
    };
    let path = request.uri().path().to_owned();
    let secure = shop.is_secure();
    let visit =
        Visit(Arc::new(VisitInner { shop, api, cookies, nonce: random_token(), csrf, path }));
    request.extensions_mut().insert(visit.clone());
    let mut response = next.run(request).await;
    for cookie in visit.session().take_cookies() {
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    secure_headers(response.headers_mut(), visit.nonce(), secure);
    response
}

/// The headers of the browser that the API may see.
fn forwarded_headers(headers: &HeaderMap) -> HeaderMap {
    const PASSED: [&str; 5] =
        ["x-forwarded-for", "user-agent", "traceparent", "correlation-id", "x-correlation-id"];
    let pick = |name: &'static str| {
        headers.get(name).map(|value| (HeaderName::from_static(name), value.clone()))
    };
    PASSED.into_iter().filter_map(pick).collect()
}

fn secure_headers(headers: &mut HeaderMap, nonce: &str, secure: bool) {
    let csp = format!(
        "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; \
         img-src 'self' data:; style-src 'self'; form-action 'self'; frame-ancestors 'none'; \
         base-uri 'none'"
    );
    if let Ok(value) = HeaderValue::from_str(&csp) {
        headers.insert(header::CONTENT_SECURITY_POLICY, value);
    }
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=()",
        ),
    ];
    // Pages show this browser's cart; going back must still find what was typed.
    let kept = HeaderValue::from_static("private, no-cache");
    headers.entry(header::CACHE_CONTROL).or_insert(kept);
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if secure {
        let value = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
    }
}
