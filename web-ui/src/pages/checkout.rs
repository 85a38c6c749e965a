//! The checkout: one page, guest first. A form instance carries the key under
//! which its order is placed and paid, so that sending it twice is one order.

use axum::response::Response;
use http::StatusCode;
use leptos::prelude::*;
use shared_types::cart::{Cart, CartAmounts};
use shared_types::orders::{Address, Order, OrderAmounts, PlaceOrder, Stage};
use shared_types::{Amount, CartId, Currency};

use super::cart::{say, sums, thumb};
use super::{errors, payment, see_other};
use crate::api::{ApiError, Credential, Refusal};
use crate::drafts::FlashKind;
use crate::forms::{Errors, Field, Typed, error_summary, field_error, looks_like_email};
use crate::layout::{Head, page};
use crate::parts::{Icon, csrf_field, hidden, icon};
use crate::posted::Posted;
use crate::text::{decline, money};
use crate::visit::{Visit, random_token};

/// The cookie with the token of one order; its path is that order's page.
pub const ORDER_COOKIE: &str = "bv_order";
/// How long a guest's browser can see an order.
const ORDER_COOKIE_SECONDS: u64 = 60 * 24 * 3_600;
const DEFAULT_COUNTRY: &str = "US";

/// Where parcels go.
const COUNTRIES: [(&str, &str); 20] = [
    ("AU", "Australia"),
    ("AT", "Austria"),
    ("BE", "Belgium"),
    ("CA", "Canada"),
    ("DK", "Denmark"),
    ("FI", "Finland"),
    ("FR", "France"),
    ("DE", "Germany"),
    ("IE", "Ireland"),
    ("IT", "Italy"),
    ("JP", "Japan"),
    ("NL", "Netherlands"),
    ("NZ", "New Zealand"),
    ("NO", "Norway"),
    ("PT", "Portugal"),
    ("ES", "Spain"),
    ("SE", "Sweden"),
    ("CH", "Switzerland"),
    ("GB", "United Kingdom"),
    ("US", "United States"),
];

const LABELS: [(&str, &str); 9] = [
    ("email", "E-mail"),
    ("name", "Name"),
    ("line1", "Address"),
    ("line2", "Second address line"),
    ("city", "City"),
    ("postalCode", "Postal code"),
    ("region", "Region"),
    ("country", "Country"),
    ("token", "Payment"),
];

/// The form as it is to be shown.
struct Form {
    typed: Typed,
    errors: Errors,
    general: Option<String>,
    /// Sums the API named when it refused; otherwise the cart's.
    amounts: Option<CartAmounts>,
    key: String,
}

pub async fn show(visit: Visit) -> Response {
    let typed = visit.peek_draft(|draft| draft.checkout.clone()).flatten().unwrap_or_default();
    let form = Form {
        typed,
        errors: Errors::default(),
        general: None,
        amounts: None,
        key: random_token(),
    };
    render(&visit, StatusCode::OK, form).await
}

pub async fn submit(posted: Posted) -> Response {
    let Posted { visit, typed } = posted;
    let kept = typed.clone().without(&["key", "cart", "total", "intent"]);
    visit.change_draft(|draft| draft.checkout = Some(kept));
    if typed.text("intent") == "update" {
        return see_other("/checkout");
    }
    let mut wrong = validate(&visit, &typed);
    let key = typed.text("key").to_owned();
    let cart_id = typed.text("cart").parse::<CartId>().ok();
    let key_fits = key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit());
    let total = typed.text("total").parse::<Amount>().ok();
    let (Some(cart_id), true, true) = (cart_id, key_fits, wrong.is_empty()) else {
        let key = if key_fits { key } else { random_token() };
        let general = None;
        let form = Form { typed, errors: wrong, general, amounts: None, key };
        return render(&visit, StatusCode::UNPROCESSABLE_ENTITY, form).await;
    };
    let order = order_of(&typed, cart_id, total);
    match visit.api().place_order(&order, &key).await {
        Ok(order) => placed(&visit, &typed, &order, &key).await,
        Err(ApiError::Refused(refusal)) => {
            wrong.take_over(&refusal.problem.errors, &LABELS);
            refused(&visit, typed, wrong, &refusal).await
        }
        Err(_) => {
            // Perhaps it was placed: the same key finds out, and never orders twice.
            let general =
                "The shop did not answer in time. Nothing you typed is lost, and sending \
                           it again will not order twice."
                    .to_owned();
            let form = Form { typed, errors: wrong, general: Some(general), amounts: None, key };
            render(&visit, StatusCode::SERVICE_UNAVAILABLE, form).await
        }
    }
}

fn validate(visit: &Visit, typed: &Typed) -> Errors {
    let mut wrong = Errors::default();
    wrong.require(typed, "email", "Give your e-mail address; the confirmation goes there.");
    if !typed.text("email").is_empty() && !looks_like_email(typed.text("email")) {
        wrong.add("email", "This e-mail address is not complete. It looks like name@example.org.");
    }
    wrong.require(typed, "name", "Give the name on the doorbell.");
    wrong.require(typed, "line1", "Give street and house number.");
    wrong.require(typed, "city", "Give the city or town.");
    wrong.require(typed, "postalCode", "Give the postal code.");
    if !COUNTRIES.iter().any(|(code, _)| *code == typed.text("country")) {
        wrong.add("country", "Choose a country from the list.");
    }
    if visit.config().demo
        && let Err(message) = payment::chosen(typed)
    {
        wrong.add("token", message);
    }
    wrong
}

fn order_of(typed: &Typed, cart_id: CartId, expected_total: Option<Amount>) -> PlaceOrder {
    let text = |name| typed.text(name).to_owned();
    PlaceOrder {
        cart_id: Some(cart_id),
        expected_total,
        email: text("email"),
        shipping_address: Some(Address {
            name: text("name"),
            line1: text("line1"),
            line2: text("line2"),
            city: text("city"),
            postal_code: text("postalCode"),
            region: text("region"),
            country: text("country"),
        }),
        ..PlaceOrder::default()
    }
}

/// The order stands: remember its token, pay it if that can be tried, show it.
async fn placed(visit: &Visit, typed: &Typed, order: &Order, key: &str) -> Response {
    visit.peek_draft(|draft| draft.checkout = None);
    let id = order.order_id.to_string();
    let page_path = format!("/orders/{id}");
    let token = order.order_token.as_deref().filter(|t| t.bytes().all(|b| b.is_ascii_graphic()));
    if let Some(token) = token {
        visit.set_cookie(ORDER_COOKIE, token, &page_path, ORDER_COOKIE_SECONDS);
    }
    let can_pay = visit.config().demo && order.stage == Stage::AwaitingPayment;
    if let (true, Ok(card)) = (can_pay, payment::chosen(typed)) {
        let who = token.map_or(Credential::Shopper, Credential::Order);
        let pay_key = format!("{key}-pay");
        let paid = visit.api().pay(&id, who, &payment::pay_with(card), &pay_key).await;
        if let Err(error) = paid {
            visit.flash(FlashKind::Problem, unpaid(&error));
        }
    }
    see_other(&page_path)
}

/// Why a payment did not go through, for the order page.
pub fn unpaid(error: &ApiError) -> String {
    match error {
        ApiError::Refused(refusal) if refusal.status == StatusCode::PAYMENT_REQUIRED => {
            let code = refusal.document.get("declineCode").and_then(|c| c.as_str());
            format!("{} Nothing was charged.", decline(code.unwrap_or_default()))
        }
        ApiError::Refused(refusal) => say(refusal, "The payment could not be started."),
        _ => "The payment's outcome is not known yet. This page will show it; if it asks you to \
              pay again, you have not been charged."
            .to_owned(),
    }
}

async fn refused(visit: &Visit, typed: Typed, wrong: Errors, refusal: &Refusal) -> Response {
    let code = refusal.problem.code.as_str();
    let mut amounts = None;
    let general = match code {
        "orders.price_changed" => {
            amounts = amounts_of(refusal);
            Some(
                "The total has changed, for example because of the tax in this country. Please \
                 look at the new total and order again."
                    .to_owned(),
            )
        }
        "orders.stock_short" => Some(short_message(refusal)),
        "idempotency.mismatch" => Some(
            "This form has already been sent with other details. If you meant to order again, \
             check your e-mail first and then send it once more."
                .to_owned(),
        ),
        _ if wrong.is_empty() => Some(say(refusal, "The order could not be placed.")),
        _ => None,
    };
    // Nothing was placed under the old key, so a mended form is a new instance;
    // while the first try still runs it stays the same one.
    let key = match code {
        "idempotency.in_flight" => typed.text("key").to_owned(),
        _ => random_token(),
    };
    let form = Form { typed, errors: wrong, general, amounts, key };
    render(visit, StatusCode::UNPROCESSABLE_ENTITY, form).await
}

/// The new sums in a `price_changed` refusal.
fn amounts_of(refusal: &Refusal) -> Option<CartAmounts> {
    let amounts = refusal.document.get("amounts")?;
    let new: OrderAmounts = serde_json::from_str(&amounts.to_string()).ok()?;
    let total = refusal.document.get("totalAmount")?.to_string().parse().ok()?;
    let OrderAmounts { subtotal, discount, tax, shipping } = new;
    Some(CartAmounts { subtotal, discount, tax, shipping, total })
}

/// Names the lines that are short, as far as the API does.
fn short_message(refusal: &Refusal) -> String {
    let lines = ["short", "lines"].iter().find_map(|m| refusal.document.get(m)?.as_array());
    let named: Vec<String> = lines
        .into_iter()
        .flatten()
        .filter_map(|line| {
            let name = line.get("title").or_else(|| line.get("sku"))?.as_str()?;
            let left = line.get("available").and_then(|n| n.as_i64());
            Some(match left {
                Some(0) | None => format!("{name} has just sold out"),
                Some(n) => format!("only {n} of {name} left"),
            })
        })
        .take(10)
        .collect();
    match named.is_empty() {
        true => "Something in your cart has just sold out. Please change the cart and try again."
            .to_owned(),
        false => format!(
            "While you were typing, others were quicker: {}. Please change the cart and try again.",
            named.join(", ")
        ),
    }
}

async fn render(visit: &Visit, status: StatusCode, form: Form) -> Response {
    let country = COUNTRIES.iter().find(|(code, _)| *code == form.typed.text("country"));
    let country = country.map_or(DEFAULT_COUNTRY, |(code, _)| *code);
    let cart = match visit.api().cart(Some(country)).await {
        Ok(cart) => cart,
        Err(error) => return errors::failed(visit, error).await,
    };
    let Some(currency) = cart.currency.filter(|_| !cart.items.is_empty()) else {
        visit.flash(FlashKind::Problem, "There is nothing in your cart to order.");
        return see_other("/cart");
    };
    let amounts = form.amounts.clone().unwrap_or_else(|| cart.amounts.clone());
    let head = Head { lean: true, ..Head::new("Checkout") };
    let body = view! {
        <div class="frame checkout">
            {progress()}
            <h1>"Checkout"</h1>
            {sign_in_hint(visit)}
            <div class="with-aside">
                {form_view(visit, &form, &cart, &amounts, currency, country)}
                {summary(&cart, &amounts, currency, country)}
            </div>
        </div>
    };
    page(visit, status, head, body.into_any()).await
}

fn progress() -> AnyView {
    view! {
        <ol class="progress" aria-label="Your order in three steps">
            <li class="done"><a href="/cart">"Cart"</a></li>
            <li aria-current="step">"Details and payment"</li>
            <li>"Confirmation"</li>
        </ol>
    }
    .into_any()
}

fn sign_in_hint(visit: &Visit) -> Option<AnyView> {
    (!visit.is_signed_in()).then(|| {
        view! {
            <p class="checkout-hint">
                "No account needed. "
                <a href="/sign-in?next=/checkout">"Sign in"</a>
                " if you have one."
            </p>
        }
        .into_any()
    })
}

fn form_view(
    visit: &Visit,
    form: &Form,
    cart: &Cart,
    amounts: &CartAmounts,
    currency: Currency,
    country: &'static str,
) -> AnyView {
    let (typed, wrong) = (&form.typed, &form.errors);
    let field = |name, label, kind, autocomplete| Field {
        name,
        label,
        kind,
        autocomplete,
        hint: None,
        optional: false,
        width: "",
    };
    let email = Field {
        hint: Some("For the confirmation and nothing else."),
        ..field("email", "E-mail", "email", "email")
    };
    let line2 =
        Field { optional: true, ..field("line2", "Flat, floor, company", "text", "address-line2") };
    let postal =
        Field { width: "field-short", ..field("postalCode", "Postal code", "text", "postal-code") };
    let total = money(amounts.total, currency);
    let (pay, action) = match visit.config().demo {
        true => (payment::choice(typed, wrong), format!("Order and pay {total}")),
        false => (
            view! { <p class="notice notice-plain">"Your things are set aside when you order; payment follows on the next page."</p> }.into_any(),
            format!("Order for {total}"),
        ),
    };
    view! {
        <form class="checkout-form" method="post" action="/checkout" novalidate=true>
            {csrf_field(visit)}
            {instance(form, cart, amounts)}
            // Enter in a field presses the first button of a form: this one.
            <button class="visually-hidden" type="submit" tabindex="-1" aria-hidden="true">{action.clone()}</button>
            {error_summary(form.general.as_deref(), wrong)}
            <section aria-labelledby="contact-title">
                <h2 id="contact-title">"Contact"</h2>
                {email.show(typed, wrong)}
            </section>
            <section aria-labelledby="delivery-title">
                <h2 id="delivery-title">"Delivery"</h2>
                {field("name", "Name", "text", "name").show(typed, wrong)}
                {field("line1", "Street and number", "text", "address-line1").show(typed, wrong)}
                {line2.show(typed, wrong)}
                <div class="field-row">
                    {postal.show(typed, wrong)}
                    {field("city", "City", "text", "address-level2").show(typed, wrong)}
                </div>
                {country_field(country, wrong)}
            </section>
            <section aria-labelledby="payment-title">
                <h2 id="payment-title">"Payment"</h2>
                {pay}
            </section>
            <button class="button button-wide button-large" type="submit">{icon(Icon::Lock)}{action}</button>
            <p class="summary-note">
                "With the order you accept our "<a href="/legal/terms">"terms"</a>
                ". How we treat your data is in the "<a href="/legal/privacy">"privacy notice"</a>"."
            </p>
        </form>
    }
    .into_any()
}

/// What makes this form one order and no other.
fn instance(form: &Form, cart: &Cart, amounts: &CartAmounts) -> AnyView {
    view! {
        {hidden("key", form.key.clone())}
        {hidden("cart", cart.id.to_string())}
        {hidden("total", amounts.total.to_string())}
        {hidden("region", form.typed.text("region"))}
    }
    .into_any()
}

/// The English name of a country we deliver to.
pub fn country_name(code: &str) -> Option<&'static str> {
    COUNTRIES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

fn country_field(country: &'static str, errors: &Errors) -> AnyView {
    let error = errors.of("country");
    let options: Vec<_> = COUNTRIES
        .iter()
        .map(
            |(code, name)| view! { <option value=*code selected=*code == country>{*name}</option> },
        )
        .collect();
    view! {
        <div class="field">
            <label for="f-country">"Country"</label>
            <div class="field-with-button">
                <select id="f-country" name="country" autocomplete="country" aria-describedby="f-country-hint" aria-invalid=error.map(|_| "true")>{options}</select>
                <button class="button button-quiet button-small" type="submit" name="intent" value="update">"Update total"</button>
            </div>
            <p class="field-hint" id="f-country-hint">"Tax depends on the country."</p>
            {field_error("f-country", error)}
        </div>
    }
    .into_any()
}

fn summary(
    cart: &Cart,
    amounts: &CartAmounts,
    currency: Currency,
    country: &'static str,
) -> AnyView {
    let country = country_name(country).unwrap_or(country);
    let rows: Vec<_> = cart
        .items
        .iter()
        .map(|item| {
            let notices: Vec<_> = item
                .notices
                .iter()
                .map(|n| view! { <span class="item-notice">{n.message.clone()}</span> })
                .collect();
            view! {
                <li>
                    {thumb(item)}
                    <div class="mini-text">
                        <span class="mini-title">{item.title.clone()}</span>
                        <span class="mini-qty">{format!("{} × {}", item.qty, money(item.price, currency))}</span>
                        {notices}
                    </div>
                    <span class="price">{money(item.line_total, currency)}</span>
                </li>
            }
        })
        .collect();
    view! {
        <aside class="summary" aria-labelledby="sum-title">
            <h2 id="sum-title">"Your order"</h2>
            <ul class="mini-items">{rows}</ul>
            {sums(amounts, currency, "Tax")}
            <p class="summary-note">{format!("Total for delivery to: {country}.")}</p>
            <a class="quiet-link" href="/cart">"Change the cart"</a>
        </aside>
    }
    .into_any()
}
