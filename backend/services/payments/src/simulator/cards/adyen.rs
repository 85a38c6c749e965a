//! The Adyen-like endpoint: payments at once, modifications taken in and told
//! about by notification.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use shared_types::{Currency, Money};
use uuid::Uuid;

use super::stripe::base;
use super::{Answered, Ask, Call, Done};
use crate::config::providers::simulated;
use crate::provider::Units;
use crate::simulator::dropped;
use crate::simulator::gateway::{Gateway, Reply};

pub const VIA: &str = "ADYEN";

pub fn router() -> Router<Gateway> {
    Router::new()
        .route("/adyen/v71/payments", post(payment))
        .route("/adyen/v71/payments/details", post(details))
        .route("/adyen/v71/payments/{id}/captures", post(capture))
        .route("/adyen/v71/payments/{id}/cancels", post(cancel))
        .route("/adyen/v71/payments/{id}/refunds", post(refund))
}

fn refusal(status: u16, code: &str, message: &str) -> Answered {
    let body = json!({"status": status, "errorCode": code, "message": message,
        "errorType": "validation"});
    Answered { status, body }
}

fn said(answered: Answered) -> Response {
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::OK);
    (status, axum::Json(answered.body)).into_response()
}

fn invalid(what: &str) -> Response {
    said(refusal(422, "14_0001", &format!("{what} is invalid")))
}

/// The codes by which refusals are known.
fn refusal_code(code: &str) -> (&'static str, String) {
    let words = code.replace('_', " ");
    let number = match code {
        "card_declined" => "2",
        "expired_card" => "6",
        "insufficient_funds" => "12",
        "incorrect_cvc" => "24",
        "authentication_failed" | "authentication_required" => "11",
        _ => "0",
    };
    (number, words)
}

fn words(done: &Done, base: &str) -> Answered {
    match done {
        Done::Payment(p) => {
            let mut body = json!({"pspReference": p.id, "merchantReference": p.attempt_id});
            match p.status.as_str() {
                "REQUIRES_ACTION" => {
                    body["resultCode"] = json!("RedirectShopper");
                    let url = format!("{base}/actions/{}", p.id);
                    body["action"] = json!({"type": "redirect", "method": "GET", "url": url,
                        "paymentMethodType": "scheme"});
                }
                "DECLINED" => {
                    let (code, text) =
                        refusal_code(p.decline_code.as_deref().unwrap_or("card_declined"));
                    body["resultCode"] = json!("Refused");
                    body["refusalReasonCode"] = json!(code);
                    body["refusalReason"] = json!(text);
                }
                "CANCELED" => body["resultCode"] = json!("Cancelled"),
                _ => body["resultCode"] = json!("Authorised"),
            }
            Answered { status: 200, body }
        }
        Done::Refund(refund) => received(&refund.id, &refund.refund_id),
        Done::No { code: "in_progress", text } => refusal(422, "704", text),
        Done::No { code, text } => refusal(422, &format!("15_{code}"), text),
    }
}

fn received(psp: &str, reference: &str) -> Answered {
    let body = json!({"status": "received", "pspReference": psp, "reference": reference,
        "merchantAccount": simulated::ADYEN_MERCHANT});
    Answered { status: 201, body }
}

/// Captures and cancels are taken in; what becomes of them is told later.
fn taken_in(done: &Done, base: &str) -> Answered {
    match done {
        Done::Payment(payment) => {
            let psp = format!("PSP{}", Uuid::now_v7().simple()).to_uppercase();
            received(&psp, &payment.attempt_id)
        }
        other => words(other, base),
    }
}

/// The body of a rightful call for our account.
fn read(headers: &HeaderMap, body: &[u8], needs_account: bool) -> Result<Value, Box<Response>> {
    let key = headers.get("x-api-key").and_then(|v| v.to_str().ok());
    if key != Some(simulated::ADYEN_KEY) {
        return Err(Box::new(said(refusal(401, "000", "HTTP Status Response - Unauthorized"))));
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| Box::new(invalid("the body")))?;
    match needs_account && body["merchantAccount"] != simulated::ADYEN_MERCHANT {
        true => Err(Box::new(said(refusal(422, "901", "Invalid Merchant Account")))),
        false => Ok(body),
    }
}

fn amount(body: &Value) -> Option<Money> {
    let currency: Currency = body["amount"]["currency"].as_str()?.parse().ok()?;
    let money = Units::Adyen.read(body["amount"]["value"].as_i64()?, currency)?;
    (money.minor > 0).then_some(money)
}

async fn run(gateway: &Gateway, headers: &HeaderMap, ask: Ask, words: super::Words) -> Response {
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let call = Call { via: VIA, key, ask, words, base: base(headers) };
    match gateway.card(call).await {
        Reply::Answer(answered) | Reply::Twice(answered) => said(answered),
        // Turned away before anything was done.
        Reply::Fault(_) => said(refusal(429, "429", "too many requests")),
        Reply::Lost => dropped(),
    }
}

async fn payment(State(gateway): State<Gateway>, headers: HeaderMap, body: Bytes) -> Response {
    let body = match read(&headers, &body, true) {
        Ok(body) => body,
        Err(answer) => return *answer,
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let Some(money) = amount(&body) else { return invalid("amount") };
    let reference = text(&body["reference"]);
    if reference.is_empty() {
        return invalid("reference");
    }
    let ask = Ask::Create {
        order_id: text(&body["merchantOrderReference"]),
        attempt_id: reference,
        money,
        manual: body["additionalData"]["manualCapture"] == "true",
        token: text(&body["paymentMethod"]["storedPaymentMethodId"]),
        return_url: body["returnUrl"].as_str().map(str::to_owned),
        no_action: false,
        confirm: true,
    };
    run(&gateway, &headers, ask, words).await
}

async fn details(State(gateway): State<Gateway>, headers: HeaderMap, body: Bytes) -> Response {
    let body = match read(&headers, &body, false) {
        Ok(body) => body,
        Err(answer) => return *answer,
    };
    let result = body["details"]["redirectResult"].as_str().unwrap_or_default().to_owned();
    run(&gateway, &headers, Ask::Details { result }, words).await
}

async fn capture(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let body = match read(&headers, &body, true) {
        Ok(body) => body,
        Err(answer) => return *answer,
    };
    let Some(money) = amount(&body) else { return invalid("amount") };
    let reference = body["reference"].as_str().unwrap_or_default().to_owned();
    run(&gateway, &headers, Ask::Capture { id, units: Some(money), reference }, taken_in).await
}

async fn cancel(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let body = match read(&headers, &body, true) {
        Ok(body) => body,
        Err(answer) => return *answer,
    };
    let reference = body["reference"].as_str().unwrap_or_default().to_owned();
    run(&gateway, &headers, Ask::Cancel { id, reference }, taken_in).await
}

async fn refund(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Response {
    let body = match read(&headers, &body, true) {
        Ok(body) => body,
        Err(answer) => return *answer,
    };
    let Some(money) = amount(&body) else { return invalid("amount") };
    let refund_id = body["reference"].as_str().unwrap_or_default().to_owned();
    run(&gateway, &headers, Ask::Refund { id, money: Some(money), refund_id }, words).await
}
