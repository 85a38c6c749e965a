//! Signing in and out, registering, and the list of one's orders.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use leptos::prelude::*;
use serde::Deserialize;
use shared_types::Page;
use shared_types::identity::{Login, Registration};
use shared_types::orders::OrderSummary;

use super::cart::say;
use super::{errors, local_path, see_other};
use crate::api::ApiError;
use crate::drafts::FlashKind;
use crate::forms::{Errors, Field, Typed, error_summary, looks_like_email};
use crate::layout::{Head, page};
use crate::parts::{csrf_field, hidden};
use crate::posted::Posted;
use crate::text::{count, day, encode, money, order_status};
use crate::visit::Visit;

const ORDERS_SHOWN: u32 = 20;
const LABELS: [(&str, &str); 4] = [
    ("email", "E-mail"),
    ("password", "Password"),
    ("firstName", "First name"),
    ("lastName", "Last name"),
];

#[derive(Default, Deserialize)]
#[serde(default)]
pub struct AccountParams {
    next: String,
    after: String,
}

/// A form of this file as it is to be shown.
#[derive(Default)]
struct Form {
    typed: Typed,
    errors: Errors,
    general: Option<String>,
}

pub async fn show(visit: Visit, params: Result<Query<AccountParams>, QueryRejection>) -> Response {
    let after = params.ok().map(|q| q.0.after).filter(|a| !a.is_empty() && a.len() <= 500);
    let orders = match visit.is_signed_in() {
        true => visit.api().orders(ORDERS_SHOWN, after.as_deref()).await,
        false => return see_other("/sign-in?next=/account"),
    };
    // The session may have ended while asking.
    let orders = match orders {
        Ok(orders) if visit.is_signed_in() => orders,
        Ok(_) => return see_other("/sign-in?next=/account"),
        Err(error) if error.is_status(StatusCode::UNAUTHORIZED) => {
            return see_other("/sign-in?next=/account");
        }
        Err(error) => return errors::failed(&visit, error).await,
    };
    let name = first_name(&visit).await;
    let title = name.map_or("Your account".to_owned(), |name| format!("Hello, {name}"));
    let body = view! {
        <div class="frame account">
            <div class="list-head">
                <h1>{title}</h1>
                <form method="post" action="/sign-out">
                    {csrf_field(&visit)}
                    <button class="button button-quiet" type="submit">"Sign out"</button>
                </form>
            </div>
            <section aria-labelledby="orders-title">
                <h2 id="orders-title">"Your orders"</h2>
                {orders_view(&orders)}
            </section>
        </div>
    };
    page(&visit, StatusCode::OK, Head::new("Your account"), body.into_any()).await
}

/// The name of the signed-in person; not worth failing the page for.
async fn first_name(visit: &Visit) -> Option<String> {
    let token = visit.session().access()?;
    // Only names whom to ask for; the API verifies the token.
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
    let user = visit.api().user(claims.get("sub")?.as_str()?).await.ok()?;
    Some(user.first_name).filter(|name| !name.is_empty())
}

fn orders_view(orders: &Page<OrderSummary>) -> AnyView {
    if orders.items.is_empty() {
        return view! {
            <div class="empty">
                <p class="lead">"No orders yet. The first one will be listed here."</p>
                <p class="actions"><a class="button" href="/">"Look around"</a></p>
            </div>
        }
        .into_any();
    }
    let rows: Vec<_> = orders
        .items
        .iter()
        .map(|order| {
            let status = order.status.as_str().to_lowercase();
            view! {
                <li>
                    <a href=format!("/orders/{}", order.order_id)>
                        <span class="order-number price">{order.order_number.clone()}</span>
                        <span class="order-when">{day(order.created_at)}", "{count(order.units, "piece", "pieces")}</span>
                        <span class=format!("tag tag-{status}")>{order_status(order.status)}</span>
                        <span class="price">{money(order.total_amount, order.currency)}</span>
                    </a>
                </li>
            }
        })
        .collect();
    let more = orders.page_info.end_cursor.as_ref().filter(|_| orders.page_info.has_next_page);
    let more = more.map(|cursor| {
        let href = format!("/account?after={}", encode(cursor));
        view! { <nav class="paging" aria-label="Pages"><a class="button button-quiet" href=href>"Older orders"</a></nav> }
    });
    view! { <ul class="order-list">{rows}</ul>{more} }.into_any()
}

pub async fn sign_in_form(
    visit: Visit,
    params: Result<Query<AccountParams>, QueryRejection>,
) -> Response {
    let next = params.map(|q| q.0.next).unwrap_or_default();
    let next = local_path(&next).unwrap_or_default().to_owned();
    let typed = Typed::new([("next".to_owned(), next)]);
    render_sign_in(&visit, StatusCode::OK, Form { typed, ..Form::default() }).await
}

pub async fn sign_in(posted: Posted) -> Response {
    let Posted { visit, typed } = posted;
    let mut wrong = Errors::default();
    wrong.require(&typed, "email", "Give your e-mail address.");
    wrong.require(&typed, "password", "Give your password.");
    let login = Login {
        email: typed.text("email").to_owned(),
        password: typed.text("password").to_owned(),
    };
    let general = match wrong.is_empty() {
        true => match enter(&visit, &login).await {
            Ok(()) => return see_other(local_path(typed.text("next")).unwrap_or("/account")),
            Err(ApiError::Refused(refusal)) if refusal.status == StatusCode::UNAUTHORIZED => {
                Some("E-mail and password do not belong together. Please check both.".to_owned())
            }
            Err(ApiError::Refused(refusal)) => {
                wrong.take_over(&refusal.problem.errors, &LABELS);
                wrong.is_empty().then(|| say(&refusal, "Signing in did not work."))
            }
            Err(error) => return errors::failed(&visit, error).await,
        },
        false => None,
    };
    let form = Form { typed, errors: wrong, general };
    render_sign_in(&visit, StatusCode::UNPROCESSABLE_ENTITY, form).await
}

/// Signs in and brings the guest's cart along.
async fn enter(visit: &Visit, login: &Login) -> Result<(), ApiError> {
    let guest = visit.session().guest();
    let tokens = visit.api().login(login).await?;
    visit.session().sign_in(tokens);
    if let Some(guest) = guest {
        match visit.api().merge_cart(guest).await {
            Ok(()) => visit.session().forget_guest(),
            // The guest's cart stays where it is: it can still be merged next time.
            Err(error) => tracing::warn!(?error, "the guest's cart could not be merged"),
        }
    }
    Ok(())
}

pub async fn sign_out(posted: Posted) -> Response {
    let visit = posted.visit;
    if let Some(token) = visit.session().refresh_token()
        && let Err(error) = visit.api().logout(token).await
    {
        tracing::warn!(?error, "the session could not be ended at the API");
    }
    visit.session().sign_out();
    visit.flash(FlashKind::Done, "You are signed out.");
    see_other("/")
}

pub async fn register_form(visit: Visit) -> Response {
    render_register(&visit, StatusCode::OK, Form::default()).await
}

pub async fn register(posted: Posted) -> Response {
    let Posted { visit, typed } = posted;
    let mut wrong = Errors::default();
    wrong.require(&typed, "firstName", "Give your first name.");
    wrong.require(&typed, "lastName", "Give your last name.");
    wrong.require(&typed, "email", "Give your e-mail address.");
    if !typed.text("email").is_empty() && !looks_like_email(typed.text("email")) {
        wrong.add("email", "This e-mail address is not complete. It looks like name@example.org.");
    }
    wrong.require(&typed, "password", "Choose a password.");
    if !wrong.is_empty() {
        let form = Form { typed, errors: wrong, general: None };
        return render_register(&visit, StatusCode::UNPROCESSABLE_ENTITY, form).await;
    }
    let text = |name| typed.text(name).to_owned();
    let registration = Registration {
        email: text("email"),
        password: text("password"),
        first_name: text("firstName"),
        last_name: text("lastName"),
        ..Registration::default()
    };
    let login = Login { email: text("email"), password: text("password") };
    match visit.api().register(&registration).await {
        Ok(_) => match enter(&visit, &login).await {
            Ok(()) => {
                visit.flash(FlashKind::Done, "Welcome. Your account is ready.");
                see_other("/account")
            }
            Err(_) => {
                visit.flash(FlashKind::Done, "Your account is ready. Please sign in.");
                see_other("/sign-in")
            }
        },
        Err(ApiError::Refused(refusal)) => {
            wrong.take_over(&refusal.problem.errors, &LABELS);
            if refusal.status == StatusCode::CONFLICT && wrong.is_empty() {
                wrong
                    .add("email", "There is an account with this e-mail already. You can sign in.");
            }
            let general = wrong.is_empty().then(|| say(&refusal, "The account could not be made."));
            let form = Form { typed, errors: wrong, general };
            render_register(&visit, StatusCode::UNPROCESSABLE_ENTITY, form).await
        }
        Err(error) => errors::failed(&visit, error).await,
    }
}

fn field<'a>(name: &'a str, label: &'a str, kind: &'a str, autocomplete: &'a str) -> Field<'a> {
    Field { name, label, kind, autocomplete, hint: None, optional: false, width: "" }
}

async fn render_sign_in(visit: &Visit, status: StatusCode, form: Form) -> Response {
    let (typed, wrong) = (&form.typed, &form.errors);
    let demo = visit.config().demo.then(|| {
        view! {
            <p class="notice notice-plain">
                "Demo account: "<strong>"shopper@demo.bellavista.test"</strong>", password "<strong>"bellavista-demo"</strong>
            </p>
        }
    });
    let body = view! {
        <div class="frame gate">
            <img src="/artwork/scene-door.svg" alt="" width="800" height="1000"/>
            <div>
                <h1>"Good to see you"</h1>
                {demo}
                <form method="post" action="/sign-in" novalidate=true>
                    {csrf_field(visit)}
                    {hidden("next", typed.text("next"))}
                    {error_summary(form.general.as_deref(), wrong)}
                    {field("email", "E-mail", "email", "username").show(typed, wrong)}
                    {field("password", "Password", "password", "current-password").show(typed, wrong)}
                    <button class="button button-wide" type="submit">"Sign in"</button>
                </form>
                <p class="gate-other">"New here? "<a href="/register">"Create an account"</a>". Ordering works without one."</p>
            </div>
        </div>
    };
    page(visit, status, Head::new("Sign in"), body.into_any()).await
}

async fn render_register(visit: &Visit, status: StatusCode, form: Form) -> Response {
    let (typed, wrong) = (&form.typed, &form.errors);
    let password = Field {
        hint: Some("Three or four words in a row are easy to remember and hard to guess."),
        ..field("password", "Password", "password", "new-password")
    };
    let body = view! {
        <div class="frame gate">
            <img src="/artwork/scene-door.svg" alt="" width="800" height="1000"/>
            <div>
                <h1>"Create an account"</h1>
                <form method="post" action="/register" novalidate=true>
                    {csrf_field(visit)}
                    {error_summary(form.general.as_deref(), wrong)}
                    <div class="field-row">
                        {field("firstName", "First name", "text", "given-name").show(typed, wrong)}
                        {field("lastName", "Last name", "text", "family-name").show(typed, wrong)}
                    </div>
                    {field("email", "E-mail", "email", "email").show(typed, wrong)}
                    {password.show(typed, wrong)}
                    <button class="button button-wide" type="submit">"Create the account"</button>
                </form>
                <p class="gate-other">"Already have one? "<a href="/sign-in">"Sign in"</a></p>
            </div>
        </div>
    };
    page(visit, status, Head::new("Create an account"), body.into_any()).await
}
