//! What providers call: signed, so that no token is needed.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use platform::ApiError;
use platform::http::Json;
use serde::Serialize;
use shared_types::Problem;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::house::House;
use crate::notifications::{self, Heard};

pub fn router() -> OpenApiRouter<House> {
    OpenApiRouter::new().routes(routes!(stripe)).routes(routes!(adyen))
}

/// What became of a notification.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Received {
    received: bool,
    /// `settled`, `known`, `ignored`, `repeated`.
    outcome: &'static str,
}

/// Stripe's webhook: one event, signed in `Stripe-Signature`.
///
/// A repeat of an event answers 200 and changes nothing.
#[utoipa::path(
    post, path = "/payments/webhooks/stripe", tag = "payments", operation_id = "stripeWebhook",
    params(("Stripe-Signature" = String, Header, description = "`t=<unix>,v1=<hex>`")),
    request_body(content = String, description = "The event as the provider sends it", content_type = "application/json"),
    responses(
        (status = 200, description = "Taken in", body = Received),
        (status = 400, description = "`payments.webhook_signature`, `payments.webhook_stale`, `payments.webhook_malformed`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`payments.webhook_unknown`: about no payment of this shop; or the provider is switched off", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`payments.webhook_conflict`: it contradicts what is settled", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`payments.webhook_mismatch`: another amount, currency or provider", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn stripe(
    State(house): State<House>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Received>, ApiError> {
    let heard = notifications::stripe(&house, &headers, &body).await?;
    Ok(Json(Received { received: true, outcome: heard.word() }))
}

/// Adyen's standard webhook: a batch, each item signed in `hmacSignature`.
///
/// Nothing of a batch is taken in unless every item is rightly signed.
#[utoipa::path(
    post, path = "/payments/webhooks/adyen", tag = "payments", operation_id = "adyenWebhook",
    request_body(content = String, description = "The notification items as the provider sends them", content_type = "application/json"),
    responses(
        (status = 200, description = "`[accepted]`", body = String, content_type = "text/plain"),
        (status = 400, description = "`payments.webhook_signature`, `payments.webhook_malformed`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "`payments.webhook_unknown`: about no payment of this shop; or the provider is switched off", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`payments.webhook_conflict`: it contradicts what is settled", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "`payments.webhook_mismatch`: another amount, currency, account or provider", body = Problem, content_type = "application/problem+json"),
    )
)]
async fn adyen(State(house): State<House>, body: Bytes) -> Result<Response, ApiError> {
    notifications::adyen(&house, &body).await?;
    Ok("[accepted]".into_response())
}

impl Heard {
    fn word(self) -> &'static str {
        match self {
            Heard::Settled => "settled",
            Heard::Known => "known",
            Heard::Ignored => "ignored",
            Heard::Repeated => "repeated",
        }
    }
}
