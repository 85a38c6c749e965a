//! The shop's public REST API, as far as the console needs it.

use std::time::Duration;

use desktop_bridge::{Refusal, RefusalKind};
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect::Policy};
use serde::de::DeserializeOwned;
use shared_types::{
    Page, Problem,
    identity::{Login, Refresh, Tokens},
    orders::OrderSummary,
};

use crate::shop_url::ShopUrl;

const CONNECT_WAIT: Duration = Duration::from_secs(5);
const ANSWER_WAIT: Duration = Duration::from_secs(15);
const BODY_LIMIT: usize = 4 << 20;
/// Orders per page.
pub const PAGE: u32 = 50;

/// One shop's API.
#[derive(Clone, Debug)]
pub struct ShopApi {
    pub url: ShopUrl,
    http: Client,
}

/// Why a call gave nothing. Never contains a token or password.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{0}")]
    Unreachable(String),
    #[error("{}: {}", .0.code, .0.title)]
    Refused(Box<Problem>),
    #[error("unexpected answer: {0}")]
    NotAShop(String),
}

impl ApiError {
    pub fn status(&self) -> Option<u16> {
        match self {
            ApiError::Refused(problem) => Some(problem.status),
            _ => None,
        }
    }

    /// In words for the person.
    pub fn refusal(&self, shop: &ShopUrl) -> Refusal {
        let shop = shop.text();
        let (kind, message) = match self {
            ApiError::Unreachable(why) => {
                (RefusalKind::Unreachable, format!("Nobody answers at {shop}: {why}."))
            }
            ApiError::NotAShop(why) => (
                RefusalKind::NotAShop,
                format!("{shop} answers, but not like a Bellavista shop: {why}."),
            ),
            ApiError::Refused(problem) => match problem.status {
                401 => (RefusalKind::SignedOut, "Your session has ended. Sign in again.".into()),
                403 => (RefusalKind::NotStaff, NOT_STAFF.into()),
                429 => (
                    RefusalKind::Limited,
                    "Too many attempts for now. Wait a minute, then try again.".into(),
                ),
                400 | 422 => (RefusalKind::Fields, said(problem)),
                500.. => (
                    RefusalKind::Failed,
                    format!("The shop could not answer ({}). {}", problem.status, problem.title),
                ),
                _ => (RefusalKind::Failed, said(problem)),
            },
        };
        Refusal { kind, message }
    }
}

/// Shown to an account that has none of the staff roles.
pub const NOT_STAFF: &str =
    "This account may not use the console: it needs the role Support, Merchant or Admin.";

fn said(problem: &Problem) -> String {
    let fields: Vec<_> =
        problem.errors.iter().map(|e| format!("{} {}", e.field, e.message)).collect();
    match (fields.is_empty(), problem.detail.is_empty()) {
        (false, _) => fields.join("; "),
        (true, false) => problem.detail.clone(),
        (true, true) => problem.title.clone(),
    }
}

impl ShopApi {
    /// # Errors
    /// The system's certificates cannot be read.
    pub fn new(url: ShopUrl) -> Result<Self, ApiError> {
        let http = Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .timeout(ANSWER_WAIT)
            // A redirect would carry the password or token somewhere else.
            .redirect(Policy::none())
            .user_agent(concat!("bellavista-console/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|why| ApiError::Unreachable(reason(&why)))?;
        Ok(ShopApi { url, http })
    }

    /// # Errors
    /// 401 for wrong credentials, 422 for bad fields, 429 when throttled.
    pub async fn login(&self, email: &str, password: &str) -> Result<Tokens, ApiError> {
        let login = Login { email: email.into(), password: password.into() };
        self.answer(self.http.post(self.url.api("/users/login")).json(&login)).await
    }

    /// # Errors
    /// 401 when the session has ended.
    pub async fn refresh(&self, refresh_token: &str) -> Result<Tokens, ApiError> {
        let body = Refresh { refresh_token: refresh_token.into() };
        self.answer(self.http.post(self.url.api("/users/refresh")).json(&body)).await
    }

    /// # Errors
    /// The shop did not hear it; the session then ends by itself.
    pub async fn logout(&self, refresh_token: &str) -> Result<(), ApiError> {
        let body = Refresh { refresh_token: refresh_token.into() };
        self.send(self.http.post(self.url.api("/users/logout")).json(&body)).await.map(|_| ())
    }

    /// Newest first.
    ///
    /// # Errors
    /// 401 when the access token has ended, 403 without a staff role.
    pub async fn orders(
        &self,
        access_token: &str,
        after: Option<&str>,
    ) -> Result<Page<OrderSummary>, ApiError> {
        let mut request = self
            .http
            .get(self.url.api("/orders"))
            .bearer_auth(access_token)
            .query(&[("first", PAGE.to_string())]);
        if let Some(after) = after {
            request = request.query(&[("after", after)]);
        }
        self.answer(request).await
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ApiError> {
        let response = self.send(request).await?;
        let body = read(response).await?;
        // Serde's message may quote the body, and the body may hold tokens.
        serde_json::from_slice(&body)
            .map_err(|why| ApiError::NotAShop(format!("its answer breaks off at {}", why.column())))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ApiError> {
        let response = request.send().await.map_err(|why| ApiError::Unreachable(reason(&why)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = read(response).await?;
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => {
                let problem = Problem { status: status.as_u16(), ..problem };
                Err(ApiError::Refused(Box::new(problem)))
            }
            Err(_) if is_gateway_trouble(status) => {
                Err(ApiError::Unreachable(format!("the way to it answers {status}")))
            }
            Err(_) => Err(ApiError::NotAShop(format!("it says {status}"))),
        }
    }
}

/// What a proxy in front of a shop that is away answers.
fn is_gateway_trouble(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

async fn read(mut response: Response) -> Result<Vec<u8>, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) =
        response.chunk().await.map_err(|why| ApiError::Unreachable(reason(&why)))?
    {
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(ApiError::NotAShop("its answer is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The innermost cause without the address, which the person typed and knows.
fn reason(why: &reqwest::Error) -> String {
    if why.is_timeout() {
        return "it takes too long".into();
    }
    let mut cause: &dyn std::error::Error = why;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    match text.split_once(" (os error") {
        Some((plain, _)) => plain.to_lowercase(),
        None => text,
    }
}
