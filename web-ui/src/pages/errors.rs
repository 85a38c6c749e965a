//! Pages for when something is not there, not allowed or not working.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use leptos::prelude::*;

use crate::layout::{Head, page};
use crate::visit::{Failure, Visit};

fn message(kicker: &str, title: &str, text: &str, links: &[(&str, &str)]) -> AnyView {
    let links: Vec<_> = links
        .iter()
        .enumerate()
        .map(|(at, (href, label))| {
            let class = if at == 0 { "button" } else { "button button-quiet" };
            view! { <a class=class href=(*href).to_owned()>{(*label).to_owned()}</a> }
        })
        .collect();
    view! {
        <section class="frame message">
            <img src="/artwork/scene-quiet.svg" alt="" width="800" height="600"/>
            <div>
                <p class="kicker">{kicker.to_owned()}</p>
                <h1>{title.to_owned()}</h1>
                <p class="lead">{text.to_owned()}</p>
                <p class="actions">{links}</p>
            </div>
        </section>
    }
    .into_any()
}

/// The fallback of the router.
pub async fn not_found(visit: Visit) -> Response {
    let body = message(
        "Not found",
        "This page has moved out",
        "The address may be misspelt, or what was here is no longer for sale.",
        &[("/", "To the front page"), ("/search", "Search the shop")],
    );
    page(&visit, StatusCode::NOT_FOUND, Head::new("Not found"), body).await
}

/// An order that this browser may not see, or that does not exist.
pub async fn order_not_found(visit: &Visit) -> Response {
    let body = message(
        "Not found",
        "We cannot show this order here",
        "Orders placed without an account can be seen in the browser that placed them. Orders of an account need you to sign in.",
        &[("/sign-in?next=/account", "Sign in"), ("/", "To the front page")],
    );
    page(visit, StatusCode::NOT_FOUND, Head::new("Order not found"), body).await
}

/// The API is away or answers nonsense.
pub async fn away(visit: &Visit) -> Response {
    let body = message(
        "One moment",
        "The shop is catching its breath",
        "Something behind the scenes does not answer just now. Nothing you did is lost: please try again in a little while.",
        &[(visit.path(), "Try again"), ("/", "To the front page")],
    );
    let head = Head::new("One moment");
    let mut response = page(visit, StatusCode::SERVICE_UNAVAILABLE, head, body).await;
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("10"));
    response
}

/// A form without this browser's token: too old, or not from this shop.
pub async fn stale_form(visit: &Visit) -> Response {
    let body = message(
        "Please send it once more",
        "This form is no longer fresh",
        "It was opened in another session or cookies are switched off. Go back, reload the page and send it again; the shop needs cookies only to keep your cart and to know that a form is yours.",
        &[("/", "To the front page"), ("/cart", "To the cart")],
    );
    page(visit, StatusCode::FORBIDDEN, Head::new("Form expired"), body).await
}

/// A form that cannot be read at all.
pub async fn unreadable(visit: &Visit, status: StatusCode) -> Response {
    let body = message(
        "That did not work",
        "The form could not be read",
        "It was larger than any of our forms, or not a form. Please go back and try again.",
        &[("/", "To the front page")],
    );
    page(visit, status, Head::new("Form not readable"), body).await
}

/// The page for a failed read.
pub async fn failed(visit: &Visit, failure: impl Into<Failure>) -> Response {
    match failure.into() {
        Failure::NotFound => not_found(visit.clone()).await,
        Failure::Away => away(visit).await,
        Failure::SignIn => super::see_other("/sign-in").into_response(),
    }
}
