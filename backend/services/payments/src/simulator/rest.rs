//! The REST endpoint: the same three operations over the same ledger.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::gateway::{Gateway, Reply};
use super::{bounded, dropped};
use crate::rest_messages::{
    ChargeBody, OutcomeBody, ProblemBody, RefundBody, TransactionBody, TransactionsBody,
};
use crate::soap::envelope::{Fault, FaultCode};
use crate::soap::messages::{GetPaymentStatus, Message, ProcessPayment, RefundPayment};

pub fn router() -> Router<Gateway> {
    Router::new()
        .route("/rest/payments", post(charge))
        .route("/rest/payments/refunds", post(refund))
        .route("/rest/payments/{order_id}", get(status))
}

async fn charge(State(gateway): State<Gateway>, request: Request) -> Response {
    let body: ChargeBody = match read(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let message = ProcessPayment {
        order_id: body.order_id,
        amount: body.amount,
        currency: body.currency,
        payment_token: body.payment_token,
        attempt_id: body.attempt_id,
    };
    // Through the schema's reader: the same limits on both endpoints.
    match ProcessPayment::from_element(&message.to_element()) {
        Ok(message) => answer(gateway.charge(message, "REST").await, OutcomeBody::of),
        Err(error) => {
            problem(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_REQUEST", &error.to_string())
        }
    }
}

async fn refund(State(gateway): State<Gateway>, request: Request) -> Response {
    let body: RefundBody = match read(request).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let message = RefundPayment {
        transaction_id: body.transaction_id,
        order_id: body.order_id,
        amount: body.amount,
        currency: body.currency,
        refund_id: body.refund_id,
    };
    match RefundPayment::from_element(&message.to_element()) {
        Ok(message) => answer(gateway.refund(message, "REST").await, OutcomeBody::of),
        Err(error) => {
            problem(StatusCode::UNPROCESSABLE_ENTITY, "INVALID_REQUEST", &error.to_string())
        }
    }
}

async fn status(State(gateway): State<Gateway>, Path(order_id): Path<String>) -> Response {
    answer(gateway.status(&GetPaymentStatus { order_id }).await, |response| TransactionsBody {
        transactions: response.transactions.into_iter().map(TransactionBody::of).collect(),
    })
}

async fn read<T: DeserializeOwned>(request: Request) -> Result<T, Response> {
    let given = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if !given.is_some_and(|t| t.to_ascii_lowercase().starts_with("application/json")) {
        let text = "send application/json";
        return Err(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "INVALID_REQUEST", text));
    }
    let Some(bytes) = bounded(request.into_body()).await else {
        return Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "INVALID_REQUEST", "too large"));
    };
    serde_json::from_slice(&bytes)
        .map_err(|e| problem(StatusCode::BAD_REQUEST, "INVALID_REQUEST", &e.to_string()))
}

fn answer<T, B: Serialize>(reply: Reply<T>, body: impl FnOnce(T) -> B) -> Response {
    match reply {
        Reply::Answer(answer) => axum::Json(body(answer)).into_response(),
        Reply::Twice(answer) => match serde_json::to_string(&body(answer)) {
            Ok(text) => {
                ([(header::CONTENT_TYPE, "application/json")], text.repeat(2)).into_response()
            }
            Err(error) => {
                problem(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", &error.to_string())
            }
        },
        Reply::Fault(fault) => of_fault(&fault),
        Reply::Lost => dropped(),
    }
}

fn of_fault(fault: &Fault) -> Response {
    let word = fault.detail.as_ref().map_or("INTERNAL", |d| d.code.as_str());
    let status = match fault.code {
        FaultCode::Server if fault.detail.is_some() => StatusCode::SERVICE_UNAVAILABLE,
        FaultCode::Server => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    problem(status, word, &fault.text)
}

fn problem(status: StatusCode, code: &str, message: &str) -> Response {
    let body = ProblemBody { code: code.to_owned(), message: message.to_owned() };
    (status, axum::Json(body)).into_response()
}
