//! The credentials of one browser request: who it is to the API, refreshed
//! once when the access token has run out, and the cookies that follow from it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, StatusCode, header};
use shared_types::identity::Tokens;

use crate::api::{Answer, ApiError, Call, Credential, Forwarded, Transport, refresh_tokens, send};
use crate::cookies::{self, Cookies};
use crate::refresh::Refresher;

pub const ACCESS: &str = "bv_access";
pub const REFRESH: &str = "bv_refresh";
pub const GUEST: &str = "bv_guest";
/// How long a browser keeps the refresh token; the API may end it sooner.
const REFRESH_SECONDS: u64 = 30 * 24 * 3_600;

struct State {
    access: Option<String>,
    refresh: Option<String>,
    guest: Option<String>,
    set_cookies: Vec<String>,
}

/// Shared by every API call of one browser request.
pub struct Session {
    forwarded: Forwarded,
    secure: bool,
    refresher: Arc<Refresher>,
    state: Mutex<State>,
}

impl Session {
    pub fn new(
        cookies: &Cookies,
        forwarded: Forwarded,
        secure: bool,
        refresher: Arc<Refresher>,
    ) -> Self {
        let of = |name| cookies.get(name).map(str::to_owned);
        let state = State {
            access: of(ACCESS),
            refresh: of(REFRESH),
            guest: of(GUEST),
            set_cookies: Vec::new(),
        };
        Session { forwarded, secure, refresher, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_signed_in(&self) -> bool {
        let state = self.state();
        state.access.is_some() || state.refresh.is_some()
    }

    pub fn guest(&self) -> Option<String> {
        self.state().guest.clone()
    }

    pub fn access(&self) -> Option<String> {
        self.state().access.clone()
    }

    pub fn refresh_token(&self) -> Option<String> {
        self.state().refresh.clone()
    }

    /// Queues a `Set-Cookie` for the answer to the browser.
    pub fn set_cookie(&self, cookie: String) {
        self.state().set_cookies.push(cookie);
    }

    pub fn take_cookies(&self) -> Vec<String> {
        std::mem::take(&mut self.state().set_cookies)
    }

    /// From here on the browser is signed in.
    pub fn sign_in(&self, tokens: Tokens) {
        let mut state = self.state();
        let access = cookies::set(ACCESS, &tokens.access_token, "/")
            .max_age(tokens.expires_in)
            .secure(self.secure);
        let refresh = cookies::set(REFRESH, &tokens.refresh_token, "/")
            .max_age(REFRESH_SECONDS)
            .secure(self.secure);
        state.set_cookies.push(access.to_string());
        state.set_cookies.push(refresh.to_string());
        state.access = Some(tokens.access_token);
        state.refresh = Some(tokens.refresh_token);
    }

    pub fn sign_out(&self) {
        let mut state = self.state();
        state.access = None;
        state.refresh = None;
        state.set_cookies.push(cookies::clear(ACCESS, "/"));
        state.set_cookies.push(cookies::clear(REFRESH, "/"));
    }

    /// The guest's cart has been merged: the next guest starts afresh.
    pub fn forget_guest(&self) {
        let mut state = self.state();
        state.guest = None;
        state.set_cookies.push(cookies::clear(GUEST, "/"));
    }

    /// Makes the call as whoever it is for. An access token that has run out is
    /// refreshed once; a session that is over goes on as a guest.
    pub async fn perform(
        &self,
        transport: &dyn Transport,
        call: &Call<'_>,
    ) -> Result<Answer, ApiError> {
        match call.credential {
            Credential::Nobody => send(transport, &self.forwarded, call, None, None).await,
            Credential::Order(token) => {
                let authorization = Some(format!("Order {token}"));
                send(transport, &self.forwarded, call, authorization, None).await
            }
            Credential::Shopper => self.perform_as_shopper(transport, call).await,
        }
    }

    async fn perform_as_shopper(
        &self,
        transport: &dyn Transport,
        call: &Call<'_>,
    ) -> Result<Answer, ApiError> {
        if self.access().is_none() && self.refresh_token().is_some() {
            self.renew(transport).await?;
        }
        let answer = self.attempt(transport, call).await?;
        if answer.status == StatusCode::UNAUTHORIZED && self.is_signed_in() {
            self.renew(transport).await?;
            return self.attempt(transport, call).await;
        }
        Ok(answer)
    }

    async fn attempt(
        &self,
        transport: &dyn Transport,
        call: &Call<'_>,
    ) -> Result<Answer, ApiError> {
        let (access, guest) = (self.access(), self.guest());
        let authorization = access.map(|token| format!("Bearer {token}"));
        let answer =
            send(transport, &self.forwarded, call, authorization, guest.as_deref()).await?;
        self.keep_guest_cookie(&answer.headers);
        Ok(answer)
    }

    /// Exchanges the refresh token, or ends the session when the API refuses it.
    async fn renew(&self, transport: &dyn Transport) -> Result<(), ApiError> {
        let Some(token) = self.refresh_token() else {
            self.sign_out();
            return Ok(());
        };
        let exchange = async {
            match refresh_tokens(transport, &self.forwarded, &token).await {
                Ok(tokens) => Ok(Some(tokens)),
                // Too many at once is no verdict about the session.
                Err(error) if error.is_status(StatusCode::TOO_MANY_REQUESTS) => {
                    Err(ApiError::Unavailable)
                }
                Err(ApiError::Refused(_)) => Ok(None),
                Err(error) => Err(error),
            }
        };
        match self.refresher.once(&token, exchange).await? {
            Some(tokens) => self.sign_in(tokens),
            None => self.sign_out(),
        }
        Ok(())
    }

    /// The gateway made a guest: later calls of this request and the browser
    /// must both use it.
    fn keep_guest_cookie(&self, headers: &HeaderMap) {
        for value in headers.get_all(header::SET_COOKIE) {
            let Ok(line) = value.to_str() else { continue };
            let Some(rest) = line.strip_prefix("bv_guest=") else { continue };
            let token = rest.split(';').next().unwrap_or_default();
            let mut state = self.state();
            state.guest = Some(token.to_owned()).filter(|t| !t.is_empty());
            state.set_cookies.retain(|c| !c.starts_with("bv_guest="));
            state.set_cookies.push(line.to_owned());
        }
    }
}
