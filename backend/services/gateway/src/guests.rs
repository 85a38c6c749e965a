//! Everybody is somebody: a visitor without credentials becomes a guest.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use platform::ApiError;
use platform::auth::{FRESH_GUEST, Subject};
use shared_types::{GuestId, Role};

use crate::Deps;

pub const COOKIE: &str = "bv_guest";

/// What a guest may do.
const SCOPES: &str = "order:read order:write";

/// A guest token is renewed when less than this share of its life is left.
const RENEW_BELOW: u64 = 2;

/// Puts a verified token on the request: the caller's own, the guest's from the
/// cookie, or a new guest's. A wrong token of the caller is refused here.
pub async fn identify(State(deps): State<Deps>, mut request: Request, next: Next) -> Response {
    // A text that cannot be read is a wrong token, not none.
    let given = request.headers().get(header::AUTHORIZATION);
    if let Some(value) = given.map(|v| v.to_str().unwrap_or_default().to_owned()) {
        return match deps.inner.verifier.principal(&value).await {
            Ok(principal) => {
                request.extensions_mut().insert(principal);
                next.run(request).await
            }
            Err(error) => error.into_response(),
        };
    }
    match guest(&deps, request.headers()).await {
        Ok(guest) => {
            if let Err(error) = carry(&deps, &mut request, &guest.token).await {
                return error.into_response();
            }
            if guest.fresh {
                request.headers_mut().insert(FRESH_GUEST, HeaderValue::from_static("1"));
            }
            let mut response = next.run(request).await;
            if let Some(cookie) = guest.cookie {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Err(error) => error.into_response(),
    }
}

async fn carry(deps: &Deps, request: &mut Request, token: &str) -> Result<(), ApiError> {
    let value = format!("Bearer {token}");
    let principal = deps.inner.verifier.principal(&value).await?;
    request.extensions_mut().insert(principal);
    let header = HeaderValue::from_str(&value).map_err(ApiError::internal)?;
    request.headers_mut().insert(header::AUTHORIZATION, header);
    Ok(())
}

struct Guest {
    token: String,
    /// Made for this request.
    fresh: bool,
    /// To be the same guest next time; absent when the browser's is still good.
    cookie: Option<HeaderValue>,
}

async fn guest(deps: &Deps, headers: &HeaderMap) -> Result<Guest, ApiError> {
    if let Some(token) = cookie(headers, COOKIE)
        && let Ok(known) = deps.inner.verifier.principal(&format!("Bearer {token}")).await
        && let Subject::Guest(id) = known.subject
    {
        let left = known.expires_at() - deps.inner.clock.now().unix();
        let ttl = deps.inner.config.guest_ttl().as_secs();
        let fresh_enough = u64::try_from(left).unwrap_or(0) > ttl / RENEW_BELOW;
        let cookie = match fresh_enough {
            true => None,
            false => Some(cookie_of(deps, &token_for(deps, id)?)?),
        };
        return Ok(Guest { token: token.to_owned(), fresh: false, cookie });
    }
    let token = token_for(deps, deps.inner.ids.next())?;
    let cookie = Some(cookie_of(deps, &token)?);
    Ok(Guest { token, fresh: true, cookie })
}

fn token_for(deps: &Deps, id: GuestId) -> Result<String, ApiError> {
    let (now, ttl) = (deps.inner.clock.now(), deps.inner.config.guest_ttl());
    deps.inner.issuer.token(format!("guest:{id}"), now, ttl, |claims| {
        claims.roles = vec![Role::Guest];
        claims.scope = SCOPES.to_owned();
    })
}

fn cookie_of(deps: &Deps, token: &str) -> Result<HeaderValue, ApiError> {
    let secure = if deps.inner.config.secure_cookies { "; Secure" } else { "" };
    let age = deps.inner.config.guest_ttl().as_secs();
    let text = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
    HeaderValue::from_str(&text).map_err(ApiError::internal)
}

/// The value of a cookie of the request.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
