//! The cart: looking, changing, taking out; and adding from a product page.

use axum::extract::Path;
use axum::response::Response;
use http::StatusCode;
use leptos::prelude::*;
use shared_types::cart::{Cart, CartAmounts, CartItem};
use shared_types::{Currency, FieldError};

use super::product::{self, Refused};
use super::{errors, see_other};
use crate::api::{ApiError, Refusal};
use crate::drafts::FlashKind;
use crate::forms::{Errors, Typed, describe, field_error};
use crate::layout::{Head, page};
use crate::parts::{csrf_field, hidden, is_own_path, sum_row};
use crate::posted::Posted;
use crate::text::{count, money};
use crate::visit::Visit;

/// A change of an item that was refused.
struct RefusedChange {
    item: String,
    qty: String,
    message: String,
}

pub async fn show(visit: Visit) -> Response {
    render(&visit, StatusCode::OK, None).await
}

/// POST /cart/items: from a product page.
pub async fn add(posted: Posted) -> Response {
    let Posted { visit, typed } = posted;
    let slug = typed.text("product").to_owned();
    let mut wrong = Errors::default();
    wrong.require(&typed, "sku", "Choose one of these first.");
    let qty = whole_number(typed.text("qty"));
    if !typed.text("qty").is_empty() && qty.is_none() {
        wrong.add("qty", "Give the quantity as a whole number from 1.");
    }
    if !wrong.is_empty() {
        return refuse_add(&visit, &slug, typed, wrong, None).await;
    }
    match visit.api().add_item(typed.text("sku"), qty.unwrap_or(1)).await {
        Ok(cart) => {
            let added =
                cart.items.iter().find(|i| i.sku.as_str().eq_ignore_ascii_case(typed.text("sku")));
            let name = added.map_or("It", |item| item.title.as_str());
            visit.flash(FlashKind::Done, format!("{name} is in your cart."));
            see_other("/cart")
        }
        Err(ApiError::Refused(refusal)) => {
            wrong
                .take_over(&refusal.problem.errors, &[("sku", "This choice"), ("qty", "Quantity")]);
            let general =
                wrong.is_empty().then(|| say(&refusal, "This could not be put into the cart."));
            refuse_add(&visit, &slug, typed, wrong, general).await
        }
        Err(error) => errors::failed(&visit, error).await,
    }
}

async fn refuse_add(
    visit: &Visit,
    slug: &str,
    typed: Typed,
    wrong: Errors,
    general: Option<String>,
) -> Response {
    let form = Refused { typed, errors: wrong, general };
    product::render(visit, slug, StatusCode::UNPROCESSABLE_ENTITY, form).await
}

/// POST /cart/items/{item}: another quantity, or out with it.
pub async fn change(Path(item): Path<String>, posted: Posted) -> Response {
    let Posted { visit, typed } = posted;
    let remove = typed.text("intent") == "remove";
    let qty = whole_number_or_zero(typed.text("qty"));
    let refused = |message: String| {
        let qty = typed.text("qty").to_owned();
        Some(RefusedChange { item: item.clone(), qty, message })
    };
    if !remove && qty.is_none() {
        let message = "Give the quantity as a whole number.".to_owned();
        return render(&visit, StatusCode::UNPROCESSABLE_ENTITY, refused(message)).await;
    }
    let result = match qty.filter(|n| !remove && *n > 0) {
        Some(qty) => visit.api().change_item(&item, qty).await.map(drop),
        None => visit.api().remove_item(&item).await,
    };
    match result {
        Ok(()) => {
            let gone = remove || qty == Some(0);
            visit.flash(
                FlashKind::Done,
                if gone { "Taken out of the cart." } else { "Cart updated." },
            );
            see_other("/cart")
        }
        // It is already gone: what the shopper wanted, or stale; the cart shows.
        Err(error) if error.is_status(StatusCode::NOT_FOUND) => see_other("/cart"),
        Err(ApiError::Refused(refusal)) => {
            let message = say(&refusal, "This quantity is not possible.");
            render(&visit, StatusCode::UNPROCESSABLE_ENTITY, refused(message)).await
        }
        Err(error) => errors::failed(&visit, error).await,
    }
}

fn whole_number(text: &str) -> Option<i64> {
    whole_number_or_zero(text).filter(|n| *n > 0)
}

fn whole_number_or_zero(text: &str) -> Option<i64> {
    text.parse().ok().filter(|n| (0..=1_000_000).contains(n))
}

/// The API's reason in words, or ours when it gave none.
pub fn say(refusal: &Refusal, otherwise: &str) -> String {
    if refusal.status == StatusCode::TOO_MANY_REQUESTS {
        let seconds = refusal.retry_after.unwrap_or(30) as i64;
        return format!(
            "That was a lot at once. Please try again in {}.",
            count(seconds, "second", "seconds")
        );
    }
    let of_field = |e: &FieldError| match e.message.chars().next() {
        Some(first) if first.is_lowercase() => {
            let name = e.field.rsplit('.').next().unwrap_or_default();
            let name = if name == "qty" { "Quantity" } else { name };
            format!("{name} {}.", e.message.trim_end_matches('.'))
        }
        _ => e.message.clone(),
    };
    let fields: Vec<String> = refusal.problem.errors.iter().take(5).map(of_field).collect();
    match (fields.is_empty(), refusal.problem.detail.is_empty()) {
        (false, _) => fields.join(" "),
        (true, false) => sentence(&refusal.problem.detail),
        (true, true) => otherwise.to_owned(),
    }
}

/// With a capital at the start and a stop at the end.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let capital: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let rest = chars.as_str();
    let stop = if rest.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{capital}{rest}{stop}")
}

async fn render(visit: &Visit, status: StatusCode, refused: Option<RefusedChange>) -> Response {
    let cart = match visit.api().cart(None).await {
        Ok(cart) => cart,
        Err(error) => return errors::failed(visit, error).await,
    };
    let body = match cart.currency.filter(|_| !cart.items.is_empty()) {
        None => empty_cart(),
        Some(currency) => full_cart(visit, &cart, currency, refused.as_ref()),
    };
    page(visit, status, Head::new("Cart"), body).await
}

fn empty_cart() -> AnyView {
    view! {
        <div class="frame empty">
            <img src="/artwork/scene-empty.svg" alt="" width="800" height="600"/>
            <h1>"Your cart is empty"</h1>
            <p class="lead">"A clear table is a fine thing. When you are ready, there is plenty to put on it."</p>
            <p class="actions"><a class="button" href="/">"Look around"</a></p>
        </div>
    }
    .into_any()
}

fn full_cart(
    visit: &Visit,
    cart: &Cart,
    currency: Currency,
    refused: Option<&RefusedChange>,
) -> AnyView {
    let units: i64 = cart.items.iter().map(|item| item.qty).sum();
    let rows: Vec<_> = cart
        .items
        .iter()
        .map(|item| {
            let refused = refused.filter(|r| r.item == item.item_id.to_string());
            row(visit, item, currency, refused)
        })
        .collect();
    view! {
        <div class="frame">
            <h1>"Your cart "<span class="title-note">{count(units, "piece", "pieces")}</span></h1>
            <div class="with-aside">
                <ul class="cart-items">{rows}</ul>
                <aside class="summary" aria-labelledby="sum-title">
                    <h2 id="sum-title">"Total"</h2>
                    {sums(&cart.amounts, currency, "Tax (estimate)")}
                    <p class="summary-note">"Tax depends on where it goes; you see the final total before you order."</p>
                    <a class="button button-wide" href="/checkout">"Go to checkout"</a>
                    <a class="quiet-link" href="/">"Keep looking around"</a>
                </aside>
            </div>
        </div>
    }
    .into_any()
}

/// The sums of a cart or order, as a list of terms.
pub fn sums(amounts: &CartAmounts, currency: Currency, tax_label: &'static str) -> AnyView {
    let discount = (!amounts.discount.is_zero()).then(|| {
        let value = format!("−{}", money(amounts.discount, currency));
        sum_row("Discount", value, "")
    });
    let shipping = match amounts.shipping.is_zero() {
        true => "Free".to_owned(),
        false => money(amounts.shipping, currency),
    };
    view! {
        <dl class="sums" data-live="sums">
            {sum_row("Subtotal", money(amounts.subtotal, currency), "")}
            {discount}
            {sum_row("Delivery", shipping, "")}
            {sum_row(tax_label, money(amounts.tax, currency), "")}
            {sum_row("Total", money(amounts.total, currency), "sum-total")}
        </dl>
    }
    .into_any()
}

/// The picture of an item, or a quiet place where it would be.
pub fn thumb(item: &CartItem) -> AnyView {
    let src = item.media.as_ref().filter(|m| is_own_path(&m.url)).map(|m| m.url.clone());
    let src = src.unwrap_or_else(|| format!("/artwork/{}.svg", item.slug));
    view! { <img class="thumb" src=src alt="" width="80" height="100" loading="lazy"/> }.into_any()
}

fn row(
    visit: &Visit,
    item: &CartItem,
    currency: Currency,
    refused: Option<&RefusedChange>,
) -> AnyView {
    let id = item.item_id.to_string();
    let field = format!("qty-{id}");
    let action = format!("/cart/items/{id}");
    let notices: Vec<_> = item
        .notices
        .iter()
        .map(|n| view! { <p class="item-notice">{sentence(&n.message)}</p> })
        .collect();
    let typed = refused.map_or_else(|| item.qty.to_string(), |r| r.qty.clone());
    let error = refused.map(|r| r.message.as_str());
    let each = (item.qty > 1).then(|| {
        view! { <p class="item-each">{money(item.price, currency)}" each"</p> }
    });
    view! {
        <li class="cart-item">
            {thumb(item)}
            <div class="item-text">
                <h2><a href=format!("/p/{}", item.slug)>{item.title.clone()}</a></h2>
                {each}
                {notices}
                <div class="item-forms">
                    <form method="post" action=action.clone()>
                        {csrf_field(visit)}
                        <label for=field.clone()>"Quantity"<span class="visually-hidden">{format!(" of {}", item.title)}</span></label>
                        <input id=field.clone() name="qty" type="number" min="0" max="1000" step="1" inputmode="numeric" value=typed required=true aria-invalid=error.map(|_| "true") aria-describedby=describe(&field, false, error.is_some())/>
                        <button class="button button-quiet button-small" type="submit">"Update"</button>
                    </form>
                    <form method="post" action=action>
                        {csrf_field(visit)}
                        {hidden("intent", "remove")}
                        <button class="link-button" type="submit">"Remove"<span class="visually-hidden">{format!(" {}", item.title)}</span></button>
                    </form>
                </div>
                {field_error(&field, error)}
            </div>
            <p class="item-total price">{money(item.line_total, currency)}</p>
        </li>
    }
    .into_any()
}
