//! REST: translation only. Paths are below `/api/v1`.

mod admin;
mod webhooks;

use axum::extract::State;
use platform::ApiError;
use platform::auth::Principal;
use platform::http::{Idempotent, Json, PathOf};
use platform::idempotency::Answer;
use shared_types::payments::{
    CaptureInput, ConfirmInput, IntentInput, IntentRefundInput, Payment, PaymentAttempts, Refund,
    VoidInput,
};
use shared_types::{PaymentId, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::house::House;
use crate::intents;

pub fn router(house: House) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(create_intent))
        .routes(routes!(confirm))
        .routes(routes!(get_payment))
        .routes(routes!(list_attempts))
        .routes(routes!(capture))
        .routes(routes!(void))
        .routes(routes!(refund))
        .merge(webhooks::router())
        .merge(admin::router())
        .with_state(house)
}

/// Make a payment intent.
///
/// For money that belongs to no order; orders are paid at `/orders/{id}/pay`.
/// Nothing is sent to a provider yet.
#[utoipa::path(
    post, path = "/payments/intent", tag = "payments", operation_id = "createPaymentIntent",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters; at least 16 without a credential")),
    request_body = IntentInput,
    responses(
        (status = 201, description = "The intent, `CREATED`", body = Payment,
            headers(("Location" = String, description = "Of the payment"))),
        (status = 400, description = "No JSON, or no good `Idempotency-Key`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`idempotency.in_flight`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong; `payments.not_accepted`, `idempotency.mismatch`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn create_intent(
    State(house): State<House>,
    caller: Principal,
    request: Idempotent<IntentInput>,
) -> Result<Answer, ApiError> {
    intents::create(&house, &caller, request).await
}

/// Confirm a payment intent: its creator, `SUPPORT` and above, service accounts.
///
/// With a method it is charged, or authorised when the capture is manual. When
/// the answer says `REQUIRES_ACTION`, send the buyer to `nextAction.url`, then
/// confirm again without a method and under a new key.
#[utoipa::path(
    post, path = "/payments/confirm", tag = "payments", operation_id = "confirmPaymentIntent",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible characters")),
    request_body = ConfirmInput,
    responses(
        (status = 200, description = "`CAPTURED`, `AUTHORIZED` or `REQUIRES_ACTION`", body = Payment),
        (status = 202, description = "Still being decided; ask again with the same key, or read the payment", body = Payment),
        (status = 400, description = "No JSON, or no good `Idempotency-Key`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 402, description = "`payments.declined` with `declineCode`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such payment of the caller", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`payments.wrong_state`, `payments.in_progress`, `payments.action_required`, `payments.action_refused`, `payments.of_an_order`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong; `idempotency.mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`payments.unavailable`: nothing could be sent, no money moved", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn confirm(
    State(house): State<House>,
    caller: Principal,
    request: Idempotent<ConfirmInput>,
) -> Result<Answer, ApiError> {
    intents::confirm(&house, &caller, request).await
}

/// One payment.
///
/// For its creator, the holder of its order's token, `SUPPORT` and above, and
/// service accounts.
#[utoipa::path(
    get,
    path = "/payments/{id}",
    tag = "payments",
    operation_id = "getPayment",
    params(("id" = PaymentId, Path, description = "Payment id")),
    responses(
        (status = 200, description = "The payment", body = Payment),
        (status = 401, description = "No or a wrong token", body = Problem),
        (status = 403, description = "Needs the role SUPPORT or a service account", body = Problem),
        (status = 404, description = "No such payment", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn get_payment(
    State(house): State<House>,
    caller: Principal,
    PathOf(id): PathOf<PaymentId>,
) -> Result<Json<Payment>, ApiError> {
    intents::get(&house, &caller, id).await.map(Json)
}

/// Its attempts, oldest first; what was said to and by providers for staff only.
#[utoipa::path(
    get, path = "/payments/{id}/attempts", tag = "payments", operation_id = "listPaymentAttempts",
    params(("id" = PaymentId, Path, description = "Payment id")),
    responses(
        (status = 200, description = "At most 200 attempts", body = PaymentAttempts),
        (status = 401, description = "No or a wrong token", body = Problem),
        (status = 403, description = "Needs the role SUPPORT or a service account", body = Problem),
        (status = 404, description = "No such payment", body = Problem),
    ),
    security(("bearer" = []))
)]
async fn list_attempts(
    State(house): State<House>,
    caller: Principal,
    PathOf(id): PathOf<PaymentId>,
) -> Result<Json<PaymentAttempts>, ApiError> {
    intents::list_attempts(&house, &caller, id).await.map(Json)
}

/// Capture what was authorised, all or a part; the rest is released.
///
/// `SUPPORT` and above, and service accounts.
#[utoipa::path(
    post, path = "/payments/{id}/capture", tag = "payments", operation_id = "capturePayment",
    params(
        ("id" = PaymentId, Path, description = "Payment id"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters"),
    ),
    request_body = CaptureInput,
    responses(
        (status = 200, description = "`CAPTURED`", body = Payment),
        (status = 202, description = "Still being decided", body = Payment),
        (status = 400, description = "No JSON, or no good `Idempotency-Key`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs `SUPPORT`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such payment", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`payments.wrong_state`, `payments.capture_too_much`, `payments.capture_refused`, `payments.of_an_order`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong; `idempotency.mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`payments.unavailable`: nothing could be sent", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn capture(
    State(house): State<House>,
    caller: Principal,
    PathOf(id): PathOf<PaymentId>,
    request: Idempotent<CaptureInput>,
) -> Result<Answer, ApiError> {
    intents::capture_intent(&house, &caller, id, request).await
}

/// Give up a payment before any money moved.
///
/// `SUPPORT` and above, and service accounts.
#[utoipa::path(
    post, path = "/payments/{id}/void", tag = "payments", operation_id = "voidPayment",
    params(
        ("id" = PaymentId, Path, description = "Payment id"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters"),
    ),
    request_body = VoidInput,
    responses(
        (status = 200, description = "`CANCELED`", body = Payment),
        (status = 202, description = "Still being decided", body = Payment),
        (status = 400, description = "No JSON, or no good `Idempotency-Key`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs `SUPPORT`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such payment", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`payments.wrong_state`, `payments.void_refused`, `payments.of_an_order`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong; `idempotency.mismatch`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`payments.unavailable`: nothing could be sent", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn void(
    State(house): State<House>,
    caller: Principal,
    PathOf(id): PathOf<PaymentId>,
    request: Idempotent<VoidInput>,
) -> Result<Answer, ApiError> {
    intents::void_intent(&house, &caller, id, request).await
}

/// Give money of an intent back, whole or in part; never more than was captured.
///
/// `SUPPORT` and above, and service accounts. Orders: `/payments/refund`.
#[utoipa::path(
    post, path = "/payments/{id}/refunds", tag = "payments", operation_id = "refundPayment",
    params(
        ("id" = PaymentId, Path, description = "Payment id"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible characters"),
    ),
    request_body = IntentRefundInput,
    responses(
        (status = 201, description = "The refund; `PENDING` while the provider decides", body = Refund),
        (status = 400, description = "No JSON, or no good `Idempotency-Key`", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No good token", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs `SUPPORT`", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such payment", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "`payments.refund_too_much` with `refundable`, `payments.nothing_captured`, `payments.of_an_order`", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Fields are wrong; `payments.refund_refused`, `idempotency.mismatch`", body = Problem, content_type = "application/problem+json"),
    ),
    security(("bearer" = []))
)]
async fn refund(
    State(house): State<House>,
    caller: Principal,
    PathOf(id): PathOf<PaymentId>,
    request: Idempotent<IntentRefundInput>,
) -> Result<Answer, ApiError> {
    intents::refund_intent(&house, &caller, id, request).await
}
