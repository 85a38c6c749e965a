//! What the order page's island asks for: how the order stands, and the token
//! by which it may listen. Cookies stay closed to scripts; this page's own
//! script gets the one token it needs, and no other site can read the answer.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};
use shared_types::OrderId;
use shared_types::orders::OrderStatusView;

use super::checkout::ORDER_COOKIE;
use crate::api::{ApiError, Credential};
use crate::visit::Visit;

/// GET /orders/{id}/status.json.
pub async fn status(visit: Visit, Path(id): Path<String>) -> Response {
    match ask(&visit, &id).await {
        Ok((view, _)) => match serde_json::to_value(view) {
            Ok(view) => answer(StatusCode::OK, &view),
            Err(_) => refused(StatusCode::INTERNAL_SERVER_ERROR),
        },
        Err(status) => refused(status),
    }
}

/// GET /orders/{id}/live-token: the order's own token, else the shopper's, for
/// those who may see the order.
pub async fn token(visit: Visit, Path(id): Path<String>) -> Response {
    let token = match ask(&visit, &id).await {
        Ok((_, Credential::Order(token))) => Some(token.to_owned()),
        Ok(_) => visit.session().access().or_else(|| visit.session().guest()),
        Err(status) => return refused(status),
    };
    match token {
        Some(token) => answer(StatusCode::OK, &json!({"token": token})),
        None => refused(StatusCode::NOT_FOUND),
    }
}

/// The order's status and by which credential it was told; a token the API no
/// longer takes gives way to the shopper.
async fn ask<'a>(
    visit: &'a Visit,
    id: &str,
) -> Result<(OrderStatusView, Credential<'a>), StatusCode> {
    let id = id.parse::<OrderId>().map_err(|_| StatusCode::NOT_FOUND)?.to_string();
    if let Some(token) = visit.cookie(ORDER_COOKIE) {
        let who = Credential::Order(token);
        match visit.api().order_status(&id, who).await {
            Ok(view) => return Ok((view, who)),
            Err(ApiError::Refused(r)) if r.status != StatusCode::TOO_MANY_REQUESTS => {}
            Err(error) => return Err(status_of(&error)),
        }
    }
    let view = visit.api().order_status(&id, Credential::Shopper).await;
    view.map(|view| (view, Credential::Shopper)).map_err(|error| status_of(&error))
}

fn status_of(error: &ApiError) -> StatusCode {
    match error.refusal().map(|r| r.status) {
        Some(StatusCode::TOO_MANY_REQUESTS) => StatusCode::TOO_MANY_REQUESTS,
        Some(_) => StatusCode::NOT_FOUND,
        None => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn refused(status: StatusCode) -> Response {
    answer(status, &json!({"status": status.as_u16()}))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body.to_string()).into_response()
}
