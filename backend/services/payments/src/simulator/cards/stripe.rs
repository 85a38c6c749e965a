//! The Stripe-like endpoint: PaymentIntents and refunds as form posts.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use shared_types::{Currency, Money};

use super::{Answered, Ask, Call, CardPayment, Done, Refunded, find, of_order};
use crate::config::providers::simulated;
use crate::provider::Units;
use crate::simulator::gateway::{Gateway, Reply};
use crate::simulator::{dropped, ledger};

const VIA: &str = "STRIPE";

type Fields = BTreeMap<String, String>;

pub fn router() -> Router<Gateway> {
    Router::new()
        .route("/stripe/v1/payment_intents", post(create))
        .route("/stripe/v1/payment_intents/search", get(search))
        .route("/stripe/v1/payment_intents/{id}", get(retrieve))
        .route("/stripe/v1/payment_intents/{id}/confirm", post(confirm))
        .route("/stripe/v1/payment_intents/{id}/capture", post(capture))
        .route("/stripe/v1/payment_intents/{id}/cancel", post(cancel))
        .route("/stripe/v1/refunds", post(refund).get(refunds))
}

fn error(status: u16, kind: &str, code: &str, message: &str) -> Answered {
    let body = json!({"error": {"type": kind, "code": code, "message": message}});
    Answered { status, body }
}

fn said(answered: Answered) -> Response {
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::OK);
    (status, axum::Json(answered.body)).into_response()
}

fn invalid(message: &str) -> Response {
    said(error(400, "invalid_request_error", "parameter_invalid", message))
}

/// The secret key as a bearer token or the user of a basic login.
fn is_ours(headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    match given.and_then(|text| text.split_once(' ')) {
        Some(("Bearer", key)) => key == simulated::STRIPE_KEY,
        Some(("Basic", text)) => {
            let wanted = format!("{}:", simulated::STRIPE_KEY);
            STANDARD.decode(text).is_ok_and(|login| login == wanted.as_bytes())
        }
        _ => false,
    }
}

fn unauthorized() -> Response {
    said(error(401, "invalid_request_error", "api_key_invalid", "Invalid API key"))
}

/// The authority that the caller used.
pub fn base(headers: &HeaderMap) -> String {
    let given = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
    match (1..=255).contains(&given.len()) && given.bytes().all(plain) {
        true => format!("http://{given}"),
        false => "http://127.0.0.1:8085".to_owned(),
    }
}

fn units(money: Money) -> i64 {
    Units::Stripe.of(money).unwrap_or_default()
}

/// A payment as PaymentIntent.
pub fn intent(payment: &CardPayment, base: &str) -> Value {
    let all = units(payment.money());
    let received = units(Money::new(payment.captured_minor, payment.currency));
    let status = match payment.status.as_str() {
        "NEW" if payment.token.is_empty() => "requires_payment_method",
        "NEW" => "requires_confirmation",
        "REQUIRES_ACTION" => "requires_action",
        "AUTHORIZED" => "requires_capture",
        "CAPTURED" => "succeeded",
        "CANCELED" => "canceled",
        _ => "requires_payment_method",
    };
    let action = (status == "requires_action").then(|| {
        let url = format!("{base}/actions/{}", payment.id);
        json!({"type": "redirect_to_url",
            "redirect_to_url": {"url": url, "return_url": payment.return_url}})
    });
    let failure = payment.decline_code.as_ref().map(|code| {
        json!({"type": "card_error", "code": "card_declined", "decline_code": code,
            "message": "The card was declined."})
    });
    json!({
        "id": payment.id, "object": "payment_intent", "livemode": false,
        "amount": all, "amount_received": received,
        "amount_capturable": if status == "requires_capture" { all } else { 0 },
        "currency": payment.currency.code().to_ascii_lowercase(),
        "capture_method": if payment.manual { "manual" } else { "automatic" },
        "payment_method_types": ["card"], "status": status,
        "created": payment.at.unix_millis() / 1_000,
        "metadata": {"order_id": payment.order_id, "attempt_id": payment.attempt_id},
        "next_action": action, "last_payment_error": failure,
    })
}

/// A refund in the provider's words.
pub fn refund_object(refund: &Refunded) -> Value {
    json!({
        "id": refund.id, "object": "refund", "status": "succeeded",
        "amount": units(refund.money),
        "currency": refund.money.currency.code().to_ascii_lowercase(),
        "payment_intent": refund.charge, "metadata": {"refund_id": refund.refund_id},
    })
}

fn words(done: &Done, base: &str) -> Answered {
    match done {
        Done::Refund(refund) => Answered { status: 200, body: refund_object(refund) },
        Done::Payment(payment) if payment.status == "DECLINED" => {
            let code = payment.decline_code.as_deref().unwrap_or("card_declined");
            let outer = match code {
                "authentication_required" => code,
                _ => "card_declined",
            };
            let body = json!({"error": {"type": "card_error", "code": outer, "decline_code": code,
                "message": "The card was declined.", "payment_intent": intent(payment, base)}});
            Answered { status: 402, body }
        }
        Done::Payment(payment) => Answered { status: 200, body: intent(payment, base) },
        Done::No { code: "idempotency_error", text } => {
            error(400, "idempotency_error", "idempotency_error", text)
        }
        Done::No { code: "in_progress", text } => {
            error(409, "idempotency_error", "idempotency_key_in_use", text)
        }
        Done::No { code: "resource_missing", text } => {
            error(404, "invalid_request_error", "resource_missing", text)
        }
        Done::No { code, text } => error(400, "invalid_request_error", code, text),
    }
}

async fn run(gateway: &Gateway, headers: &HeaderMap, ask: Ask) -> Response {
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let call = Call { via: VIA, key, ask, words, base: base(headers) };
    match gateway.card(call).await {
        Reply::Answer(answered) | Reply::Twice(answered) => said(answered),
        // Turned away before anything was done.
        Reply::Fault(_) => said(error(429, "rate_limit_error", "rate_limit", "Too many requests")),
        Reply::Lost => dropped(),
    }
}

fn token(fields: &Fields) -> Option<&String> {
    fields.get("payment_method_data[card][token]").or_else(|| fields.get("payment_method"))
}

async fn create(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    if !is_ours(&headers) {
        return unauthorized();
    }
    let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let currency: Option<Currency> = field("currency").to_ascii_uppercase().parse().ok();
    let Some(currency) = currency else { return invalid("currency") };
    let amount = field("amount").parse().ok().and_then(|n| Units::Stripe.read(n, currency));
    let Some(money) = amount.filter(|money| money.minor > 0) else { return invalid("amount") };
    let manual = match field("capture_method") {
        "" | "automatic" | "automatic_async" => false,
        "manual" => true,
        _ => return invalid("capture_method"),
    };
    let token = token(&fields).cloned();
    let confirm = field("confirm") == "true";
    if confirm && token.is_none() {
        return invalid("payment_method");
    }
    let ask = Ask::Create {
        order_id: field("metadata[order_id]").to_owned(),
        attempt_id: field("metadata[attempt_id]").to_owned(),
        money,
        manual,
        token: token.unwrap_or_default(),
        return_url: fields.get("return_url").cloned(),
        no_action: field("error_on_requires_action") == "true",
        confirm,
    };
    run(&gateway, &headers, ask).await
}

async fn confirm(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Response {
    match is_ours(&headers) {
        true => run(&gateway, &headers, Ask::Confirm { id, token: token(&fields).cloned() }).await,
        false => unauthorized(),
    }
}

async fn capture(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Response {
    if !is_ours(&headers) {
        return unauthorized();
    }
    let mut wanted = None;
    if let Some(text) = fields.get("amount_to_capture") {
        let payment = find(&gateway, &id).await.ok().flatten();
        let amount = text.parse().ok().zip(payment);
        wanted = amount.and_then(|(n, payment)| Units::Stripe.read(n, payment.currency));
        if wanted.is_none() {
            return invalid("amount_to_capture");
        }
    }
    run(&gateway, &headers, Ask::Capture { id, units: wanted, reference: String::new() }).await
}

async fn cancel(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    match is_ours(&headers) {
        true => run(&gateway, &headers, Ask::Cancel { id, reference: String::new() }).await,
        false => unauthorized(),
    }
}

async fn refund(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Response {
    if !is_ours(&headers) {
        return unauthorized();
    }
    let id = fields.get("payment_intent").cloned().unwrap_or_default();
    let mut money = None;
    if let Some(text) = fields.get("amount") {
        let payment = find(&gateway, &id).await.ok().flatten();
        let amount = text.parse().ok().zip(payment);
        money = amount.and_then(|(n, payment)| Units::Stripe.read(n, payment.currency));
        if money.is_none() {
            return invalid("amount");
        }
    }
    let refund_id = fields.get("metadata[refund_id]").cloned().unwrap_or_default();
    run(&gateway, &headers, Ask::Refund { id, money, refund_id }).await
}

fn list(url: &str, data: Vec<Value>) -> Response {
    axum::Json(json!({"object": "list", "url": url, "has_more": false, "data": data}))
        .into_response()
}

async fn retrieve(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    if !is_ours(&headers) {
        return unauthorized();
    }
    if gateway.controls().outage {
        return dropped();
    }
    match find(&gateway, &id).await {
        Ok(Some(payment)) if payment.via == VIA => {
            axum::Json(intent(&payment, &base(&headers))).into_response()
        }
        Ok(_) => said(error(404, "invalid_request_error", "resource_missing", "no such intent")),
        Err(_) => dropped(),
    }
}

/// Only the one question that is asked: by order.
async fn search(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Query(fields): Query<Fields>,
) -> Response {
    if !is_ours(&headers) {
        return unauthorized();
    }
    if gateway.controls().outage {
        return dropped();
    }
    let query = fields.get("query").map(String::as_str).unwrap_or_default();
    let order = query.strip_prefix("metadata['order_id']:'").and_then(|q| q.strip_suffix('\''));
    let Some(order) = order else { return invalid("query") };
    match of_order(&gateway, VIA, order).await {
        Ok(found) => {
            let base = base(&headers);
            list("/v1/payment_intents/search", found.iter().map(|p| intent(p, &base)).collect())
        }
        Err(_) => dropped(),
    }
}

async fn refunds(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Query(fields): Query<Fields>,
) -> Response {
    if !is_ours(&headers) {
        return unauthorized();
    }
    let id = fields.get("payment_intent").map(String::as_str).unwrap_or_default();
    let found = async {
        let Some(payment) = find(&gateway, id).await? else { return Ok(Vec::new()) };
        ledger::of_order(gateway.pool(), &payment.order_id).await
    };
    let found: sqlx::Result<Vec<ledger::Entry>> = found.await;
    let Ok(entries) = found else { return dropped() };
    let of_it = entries.into_iter().filter(|e| e.refund_of.as_deref() == Some(id));
    let objects = of_it.map(|e| {
        let money = Money::new(e.amount_minor, e.currency);
        let (refund_id, charge) = (e.refund_id.unwrap_or_default(), id.to_owned());
        refund_object(&Refunded { id: e.transaction_id, refund_id, money, charge })
    });
    list("/v1/refunds", objects.collect())
}
