//! What a bank asks of a buyer: a page with two buttons.

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::stripe::base;
use super::{Answered, Ask, Call, CardPayment, Done, find};
use crate::simulator::dropped;
use crate::simulator::gateway::{Gateway, Reply};

pub fn router() -> Router<Gateway> {
    Router::new().route("/actions/{id}", get(page).post(act))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn html(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <body style=\"font-family:sans-serif;max-width:30em;margin:4em auto\">\
         <h1>{title}</h1>{body}</body></html>"
    ))
}

async fn page(State(gateway): State<Gateway>, Path(id): Path<String>) -> Response {
    match find(&gateway, &id).await {
        Ok(Some(payment)) if payment.status == "REQUIRES_ACTION" => {
            let amount = escaped(&payment.money().to_string());
            let button = |value: &str, text: &str| {
                format!("<button name=\"outcome\" value=\"{value}\">{text}</button> ")
            };
            let body = format!(
                "<p>Your bank asks whether you want to pay <b>{amount}</b>.</p>\
                 <form method=\"post\">{}{}</form>",
                button("approve", "Approve"),
                button("refuse", "Refuse")
            );
            html("Confirm your payment", &body).into_response()
        }
        Ok(Some(_)) => {
            html("Nothing to do", "<p>This payment waits for nothing.</p>").into_response()
        }
        Ok(None) => {
            (StatusCode::NOT_FOUND, html("Not found", "<p>No such payment.</p>")).into_response()
        }
        Err(_) => dropped(),
    }
}

#[derive(Deserialize)]
struct Choice {
    outcome: String,
}

fn words(done: &Done, _: &str) -> Answered {
    match done {
        Done::Payment(_) | Done::Refund(_) => {
            Answered { status: 200, body: serde_json::Value::Null }
        }
        Done::No { .. } => Answered { status: 409, body: serde_json::Value::Null },
    }
}

async fn act(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    Path(id): Path<String>,
    Form(choice): Form<Choice>,
) -> Response {
    let approve = match choice.outcome.as_str() {
        "approve" => true,
        "refuse" => false,
        _ => {
            return (StatusCode::UNPROCESSABLE_ENTITY, "outcome: approve or refuse")
                .into_response();
        }
    };
    let via = match find(&gateway, &id).await {
        Ok(Some(payment)) if payment.via == "STRIPE" => "STRIPE",
        Ok(Some(_)) => "ADYEN",
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(_) => return dropped(),
    };
    let ask = Ask::Act { id: id.clone(), approve };
    let call = Call { via, key: None, ask, words, base: base(&headers) };
    match gateway.card(call).await {
        Reply::Answer(answered) if answered.status == 200 => {}
        Reply::Answer(_) => {
            let page = html("Nothing to do", "<p>This payment waits for nothing.</p>");
            return (StatusCode::CONFLICT, page).into_response();
        }
        _ => return dropped(),
    }
    match find(&gateway, &id).await {
        Ok(Some(payment)) => back(&payment),
        _ => dropped(),
    }
}

/// To where the shop wants its buyer back.
fn back(payment: &CardPayment) -> Response {
    let url = payment.return_url.as_deref().and_then(|url| reqwest::Url::parse(url).ok());
    let Some(mut url) = url else {
        return html("Done", "<p>You may close this page.</p>").into_response();
    };
    match &payment.action_result {
        Some(result) => url.query_pairs_mut().append_pair("redirectResult", result),
        None => url.query_pairs_mut().append_pair("payment_intent", &payment.id),
    };
    Redirect::to(url.as_str()).into_response()
}
