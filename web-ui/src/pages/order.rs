//! The page of one order: where it stands, what is in it, paying, canceling.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use leptos::prelude::*;
use shared_types::cart::CartAmounts;
use shared_types::orders::{Address, Order, OrderStatus, OrderStatusView, Stage};
use shared_types::{OrderId, Timestamp};
use time::OffsetDateTime;

use super::cart::{say, sums};
use super::checkout::{ORDER_COOKIE, country_name, unpaid};
use super::{errors, payment, see_other};
use crate::api::{ApiError, Credential};
use crate::drafts::FlashKind;
use crate::forms::{Errors, Typed, error_summary};
use crate::layout::{Head, page};
use crate::parts::{Icon, csrf_field, hidden, icon};
use crate::posted::Posted;
use crate::text::{clock, day, decline, minutes_left, moment, money, order_headline};
use crate::visit::{Visit, random_token};

/// An order that moves for longer than this is looked at less often.
const FRESH_SECONDS: u64 = 120;

/// The payment form after a refusal.
#[derive(Default)]
struct Retry {
    typed: Typed,
    errors: Errors,
    general: Option<String>,
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Response {
    render(&visit, &id, StatusCode::OK, Retry::default()).await
}

/// A refused form stands at its own address; asking for that again, as a reload
/// does, leads to the order.
pub async fn back(visit: Visit, Path(id): Path<String>) -> Response {
    match id.parse::<OrderId>() {
        Ok(order) => see_other(&format!("/orders/{order}")),
        Err(_) => errors::order_not_found(&visit).await,
    }
}

/// POST /orders/{id}/pay: one form instance is one payment attempt.
pub async fn pay(Path(id): Path<String>, posted: Posted) -> Response {
    let Posted { visit, typed } = posted;
    let Ok(order) = id.parse::<OrderId>() else { return errors::order_not_found(&visit).await };
    let id = order.to_string();
    let key = typed.text("key").to_owned();
    let mut wrong = Errors::default();
    let card = match (visit.config().demo, payment::chosen(&typed)) {
        (true, Ok(card)) => card,
        (true, Err(message)) => {
            wrong.add("token", message);
            ""
        }
        (false, _) => return see_other(&format!("/orders/{id}")),
    };
    if key.len() < 16 || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        wrong.add("token", "This form was incomplete. Please choose again.");
    }
    if !wrong.is_empty() {
        let retry = Retry { typed, errors: wrong, general: None };
        return render(&visit, &id, StatusCode::UNPROCESSABLE_ENTITY, retry).await;
    }
    let paid = visit.api().pay(&id, credential(&visit), &payment::pay_with(card), &key).await;
    match paid {
        Ok(_) => see_other(&format!("/orders/{id}")),
        Err(error) if error.is_status(StatusCode::NOT_FOUND) => {
            errors::order_not_found(&visit).await
        }
        Err(error) if error.refusal().is_some_and(|r| r.problem.code == "orders.already_paid") => {
            see_other(&format!("/orders/{id}"))
        }
        Err(error @ ApiError::Refused(_)) => {
            let retry = Retry { typed, errors: wrong, general: Some(unpaid(&error)) };
            render(&visit, &id, StatusCode::UNPROCESSABLE_ENTITY, retry).await
        }
        Err(error) => {
            visit.flash(FlashKind::Problem, unpaid(&error));
            see_other(&format!("/orders/{id}"))
        }
    }
}

/// POST /orders/{id}/cancel.
pub async fn cancel(Path(id): Path<String>, posted: Posted) -> Response {
    let visit = posted.visit;
    let Ok(order) = id.parse::<OrderId>() else { return errors::order_not_found(&visit).await };
    let id = order.to_string();
    match visit.api().cancel(&id, credential(&visit)).await {
        Ok(_) => {
            visit.flash(FlashKind::Done, "The order is canceled. Nothing will be charged.");
            see_other(&format!("/orders/{id}"))
        }
        Err(error) if error.is_status(StatusCode::NOT_FOUND) => {
            errors::order_not_found(&visit).await
        }
        Err(ApiError::Refused(refusal)) => {
            let message = match refusal.problem.code.as_str() {
                "orders.payment_in_progress" => {
                    "A payment is being decided just now. If it fails, you can cancel.".to_owned()
                }
                _ => say(&refusal, "This order can no longer be canceled here."),
            };
            let retry = Retry { general: Some(message), ..Retry::default() };
            render(&visit, &id, StatusCode::UNPROCESSABLE_ENTITY, retry).await
        }
        Err(error) => errors::failed(&visit, error).await,
    }
}

/// The order's own token when this browser placed it, else the shopper.
fn credential(visit: &Visit) -> Credential<'_> {
    visit.cookie(ORDER_COOKIE).map_or(Credential::Shopper, Credential::Order)
}

/// Reads the order; a token the API no longer takes gives way to the shopper.
async fn load(visit: &Visit, id: &str) -> Result<(Order, Option<OrderStatusView>), ApiError> {
    let mut who = credential(visit);
    let mut order = visit.api().order(id, who).await;
    let token_refused = matches!(who, Credential::Order(_))
        && order.as_ref().is_err_and(|e| {
            e.is_status(StatusCode::UNAUTHORIZED) || e.is_status(StatusCode::FORBIDDEN)
        });
    if token_refused {
        who = Credential::Shopper;
        order = visit.api().order(id, who).await;
    }
    let order = order?;
    let status = visit.api().order_status(id, who).await.ok();
    Ok((order, status))
}

async fn render(visit: &Visit, id: &str, status: StatusCode, retry: Retry) -> Response {
    let Ok(id) = id.parse::<OrderId>() else { return errors::order_not_found(visit).await };
    let (order, history) = match load(visit, &id.to_string()).await {
        Ok(loaded) => loaded,
        Err(error) if error.refusal().is_some_and(|r| r.status.is_client_error()) => {
            return errors::order_not_found(visit).await;
        }
        Err(error) => return errors::failed(visit, error).await,
    };
    let now = Timestamp::new(OffsetDateTime::now_utc());
    let reload_seconds = is_moving(&order)
        .then(|| if now.since(order.created_at).as_secs() < FRESH_SECONDS { 2 } else { 15 });
    let head = Head {
        reload_seconds,
        script: visit.config().islands.start("island_checkout"),
        ..Head::new(format!("Order {}", order.order_number))
    };
    let told =
        retry.general.is_some() || visit.peek_draft(|draft| draft.flash.is_some()).unwrap_or(false);
    let body = view! {
        <div class="frame order">
            <p class="kicker">
                "Order "<span class="price" data-live="order-number">{order.order_number.clone()}</span>
                ", "{day(order.created_at)}
            </p>
            <div class="with-aside">
                <div>
                    {live(&order, now)}
                    {error_summary(retry.general.as_deref(), &retry.errors)}
                    {declined(&order, told)}
                    {pay_form(visit, &order, &retry)}
                    {still_moving(&order)}
                    {cancel_form(visit, &order)}
                    {what_happened(history.as_ref())}
                    {afterwards(visit, &order)}
                </div>
                {summary(&order)}
            </div>
        </div>
    };
    page(visit, status, head, body.into_any()).await
}

/// Whether something happens without anybody doing anything.
fn is_moving(order: &Order) -> bool {
    let open = matches!(order.status, OrderStatus::Pending | OrderStatus::Paid);
    match order.stage {
        Stage::Reserving | Stage::Authorizing | Stage::Capturing | Stage::Confirming => open,
        Stage::Compensating | Stage::Refunding => true,
        _ => false,
    }
}

/// What an island takes over: everything in here changes while one watches.
fn live(order: &Order, now: Timestamp) -> AnyView {
    let held = order.hold_expires_at.filter(|_| order.status == OrderStatus::Pending);
    let held = held.and_then(|until| {
        let left = minutes_left(until, now)?;
        Some(view! {
            <p class="held">
                {icon(Icon::Clock)}
                <span>
                    "Your things are held until "
                    <time class="price" datetime=until.to_string() data-live="held-until">{clock(until)}</time>
                    ", for "{left}" more."
                </span>
            </p>
        })
    });
    view! {
        <div
            id="order-live"
            data-order-id=order.order_id.to_string()
            data-status=order.status.as_str()
            data-stage=order.stage.as_str()
        >
            <h1 data-live="headline">{order_headline(order.status, order.stage)}</h1>
            {steps(order.status)}
            {held}
        </div>
    }
    .into_any()
}

fn steps(status: OrderStatus) -> AnyView {
    const STEPS: [(OrderStatus, &str); 5] = [
        (OrderStatus::Pending, "Placed"),
        (OrderStatus::Paid, "Paid"),
        (OrderStatus::Confirmed, "Confirmed"),
        (OrderStatus::Shipped, "On its way"),
        (OrderStatus::Fulfilled, "Delivered"),
    ];
    let Some(reached) = STEPS.iter().position(|(step, _)| *step == status) else {
        return ().into_any();
    };
    let items: Vec<_> = STEPS
        .iter()
        .enumerate()
        .map(|(at, (step, label))| {
            let done = at <= reached;
            let said = if done { "done" } else { "to come" };
            view! {
                <li class=if done { "done" } else { "" } aria-current=(at == reached).then_some("step") data-step=step.as_str()>
                    <span class="step-mark" aria-hidden="true">{done.then(|| icon(Icon::Check))}</span>
                    <span>{*label}<span class="visually-hidden">{format!(" ({said})")}</span></span>
                </li>
            }
        })
        .collect();
    view! { <ol class="steps" data-live="steps">{items}</ol> }.into_any()
}

fn declined(order: &Order, told: bool) -> Option<AnyView> {
    let code = order.last_decline.as_deref().filter(|_| !told)?;
    let open = order.status == OrderStatus::Pending;
    let then =
        if open { " Nothing was charged; you can try again." } else { " Nothing was charged." };
    let text = format!("{}{then}", decline(code));
    Some(view! { <p class="notice notice-problem" role="alert">{text}</p> }.into_any())
}

fn pay_form(visit: &Visit, order: &Order, retry: &Retry) -> Option<AnyView> {
    let payable = order.status == OrderStatus::Pending && order.stage == Stage::AwaitingPayment;
    if !payable {
        return None;
    }
    if !visit.config().demo {
        let text = "No payment provider is connected to this shop yet, so this order cannot be paid \
                    here. It is released when the time above runs out.";
        return Some(view! { <p class="notice notice-plain">{text}</p> }.into_any());
    }
    let action = format!("/orders/{}/pay", order.order_id);
    let label = format!("Pay {}", money(order.total_amount, order.currency));
    let form = view! {
        <section class="panel" aria-labelledby="pay-title">
            <h2 id="pay-title">"Pay for this order"</h2>
            <form method="post" action=action>
                {csrf_field(visit)}
                {hidden("key", random_token())}
                {payment::choice(&retry.typed, &retry.errors)}
                <button class="button button-large" type="submit">{icon(Icon::Lock)}{label}</button>
            </form>
        </section>
    };
    Some(form.into_any())
}

fn still_moving(order: &Order) -> Option<AnyView> {
    is_moving(order).then(|| {
        let href = format!("/orders/{}", order.order_id);
        view! {
            <p class="notice notice-plain" data-live="moving">
                "This usually takes a few seconds. "<a href=href>"Look again"</a>
            </p>
        }
        .into_any()
    })
}

fn cancel_form(visit: &Visit, order: &Order) -> Option<AnyView> {
    let deciding = matches!(order.stage, Stage::Authorizing | Stage::Capturing);
    if order.status != OrderStatus::Pending || deciding {
        return None;
    }
    let action = format!("/orders/{}/cancel", order.order_id);
    let form = view! {
        <form class="cancel" method="post" action=action>
            {csrf_field(visit)}
            <p>"Changed your mind? Canceling lets go of everything that is set aside for you."</p>
            <button class="button button-quiet" type="submit">"Cancel this order"</button>
        </form>
    };
    Some(form.into_any())
}

fn what_happened(history: Option<&OrderStatusView>) -> Option<AnyView> {
    let history = history.filter(|h| !h.history.is_empty())?;
    let rows: Vec<_> = history
        .history
        .iter()
        .rev()
        .take(30)
        .map(|change| {
            let text = history_text(change.status, &change.cause);
            view! { <li><span>{text}</span><time datetime=change.at.to_string()>{moment(change.at)}</time></li> }
        })
        .collect();
    let view = view! {
        <section class="history" aria-labelledby="history-title">
            <h2 id="history-title">"What happened so far"</h2>
            <ol data-live="history">{rows}</ol>
        </section>
    };
    Some(view.into_any())
}

fn history_text(status: OrderStatus, cause: &str) -> &'static str {
    match (status, cause) {
        (_, "refunded") => "Money sent back",
        (_, "late_capture") => "A late payment arrived; it goes back",
        (_, "resolved_by_hand") => "Looked after by our staff",
        (OrderStatus::Pending, "declined") => "Payment declined",
        (OrderStatus::Pending, "reserved") => "Set aside for you",
        (OrderStatus::Pending, "backordered") => "Waiting for more to arrive",
        (OrderStatus::Pending, _) => "Order placed",
        (OrderStatus::Paid, _) => "Payment received",
        (OrderStatus::Confirmed, _) => "Confirmed, and yours",
        (OrderStatus::Shipped, _) => "Handed to the carrier",
        (OrderStatus::Fulfilled, _) => "Delivered",
        (OrderStatus::Canceled, "hold_expired") => "Canceled: the time to pay ran out",
        (OrderStatus::Canceled, "stock_short" | "stock_lost") => "Canceled: something had sold out",
        (OrderStatus::Canceled, _) => "Canceled",
        (OrderStatus::Failed, _) => "Not completed: the payment failed",
    }
}

/// A guest who has paid may want an account; nobody has to.
fn afterwards(visit: &Visit, order: &Order) -> Option<AnyView> {
    let paid = matches!(order.status, OrderStatus::Paid | OrderStatus::Confirmed);
    (paid && !visit.is_signed_in()).then(|| {
        view! {
            <section class="panel" aria-labelledby="keep-title">
                <h2 id="keep-title">"Want to keep track?"</h2>
                <p>"With an account your next orders are all in one place. This page stays open to this browser either way."</p>
                <p class="actions"><a class="button button-quiet" href="/register">"Create an account"</a></p>
            </section>
        }
        .into_any()
    })
}

fn summary(order: &Order) -> AnyView {
    let rows: Vec<_> = order
        .items
        .iter()
        .map(|item| {
            view! {
                <li>
                    <div class="mini-text">
                        <span class="mini-title">{item.title.clone()}</span>
                        <span class="mini-qty">{format!("{} × {}", item.qty, money(item.price, order.currency))}</span>
                    </div>
                    <span class="price">{money(item.line_total, order.currency)}</span>
                </li>
            }
        })
        .collect();
    let amounts = CartAmounts {
        subtotal: order.amounts.subtotal,
        discount: order.amounts.discount,
        tax: order.amounts.tax,
        shipping: order.amounts.shipping,
        total: order.total_amount,
    };
    let refunded = (!order.refunded_amount.is_zero()).then(|| {
        let amount = money(order.refunded_amount, order.currency);
        view! { <p class="summary-note">"Sent back to you: "<span class="price">{amount}</span></p> }
    });
    view! {
        <aside class="summary" aria-labelledby="sum-title">
            <h2 id="sum-title">"Your order"</h2>
            <ul class="mini-items">{rows}</ul>
            {sums(&amounts, order.currency, "Tax")}
            {refunded}
            {order.shipping_address.as_ref().map(address)}
            {order.email.clone().map(|email| view! { <p class="summary-note">"Confirmation to "<span class="break">{email}</span></p> })}
        </aside>
    }
    .into_any()
}

fn address(address: &Address) -> AnyView {
    let town = format!("{} {}", address.postal_code, address.city);
    let country = country_name(&address.country).unwrap_or(&address.country);
    let lines = [&address.name, &address.line1, &address.line2, &town, &address.region, country];
    let lines: Vec<_> = lines
        .into_iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| view! { <span>{line.to_owned()}</span> })
        .collect();
    view! { <h3>"Goes to"</h3><address>{lines}</address> }.into_any()
}
