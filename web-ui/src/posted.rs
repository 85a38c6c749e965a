//! A form that was sent: read whole, and refused unless it comes from a page of
//! this shop in this browser.

use axum::Form;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::forms::Typed;
use crate::pages::errors;
use crate::visit::{Shop, Visit};

/// The hidden field that repeats the CSRF cookie.
pub const CSRF_FIELD: &str = "csrf";

/// A POST whose CSRF token has been checked. Handlers of POST take this and
/// nothing else, so none can forget the check.
pub struct Posted {
    pub visit: Visit,
    pub typed: Typed,
}

impl FromRequest<Shop> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, shop: &Shop) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::from_request_parts(&mut parts, shop).await?;
        let cross_site = parts.headers.get("sec-fetch-site").is_some_and(|v| v == "cross-site");
        let request = Request::from_parts(parts, body);
        let form = Form::<Vec<(String, String)>>::from_request(request, shop).await;
        let typed = match form {
            Ok(Form(pairs)) => Typed::new(pairs),
            Err(rejection) => {
                let status = match rejection.into_response().status() {
                    StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
                    _ => StatusCode::BAD_REQUEST,
                };
                return Err(errors::unreadable(&visit, status).await);
            }
        };
        if cross_site || !visit.csrf_matches(typed.text(CSRF_FIELD)) {
            return Err(errors::stale_form(&visit).await);
        }
        let typed = typed.without(&[CSRF_FIELD]);
        Ok(Posted { visit, typed })
    }
}
