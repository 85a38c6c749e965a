//! Placing an order: price it, hold the stock, then store everything at once.

mod input;
mod prices;

use std::sync::LazyLock;
use std::time::Instant;

use contracts::events::orders::{Amounts, OrderCreated, OrderedItem, Reservation};
use contracts::generated::bellavista::cart::v1::GetLinesRequest;
use contracts::generated::bellavista::inventory::v1::{Line, ShortLine};
use http::StatusCode;
use platform::ApiError;
use platform::auth::{Principal, Subject};
use platform::error::Kind;
use platform::http::Idempotent;
use platform::idempotency::{self, Answer, IdempotencyKey};
use platform::trace;
use platform::validate::Checks;
use serde_json::json;
use shared_types::orders::{LineInput, Order, OrderAmounts, OrderItem, PlaceOrder};
use shared_types::{CartId, OrderId, Timestamp};
use tonic::Code;

use self::input::{Source, Wanted, WantedLine, read_lines};
use self::prices::Priced;
use crate::app::App;
use crate::domain::pricing::{Destination, NoQuote, Quote, quote};
use crate::domain::saga::{Saga, Shelf};
use crate::echoes::Echo;
use crate::outbound::CallError;
use crate::sagas::steps::{self, Reserved, TOKEN};
use crate::store;
use crate::store::orders::{NewOrder, Told, number_text};
use crate::store::prices::{Found, LookUp};

pub use self::input::{MAX_LINES, read_method};

/// The column names that personal data are sealed under.
pub const EMAIL: &str = "orders.email";
pub const ADDRESS: &str = "orders.address";

/// 201 with the order, 202 when inventory is away; refusals as in the API.
pub async fn place_order(
    app: &App,
    caller: &Principal,
    request: Idempotent<PlaceOrder>,
) -> Result<Answer, ApiError> {
    let started = Instant::now();
    if caller.subject == Subject::GrantHolder {
        let detail = "An order token is good for its own order only.";
        return Err(ApiError::new(Kind::Forbidden, "orders.no_owner", detail));
    }
    let wanted = input::read(&request.input, caller, app.config.max_line_qty)?;
    let key = &request.key;
    let _turn = app.turns.take(key).await?;
    let from_cart;
    let lines = match &wanted.source {
        Source::Lines(lines) => lines,
        Source::Cart(cart_id) => {
            // The cart may be empty by now: the first answer comes first.
            let mut connection = app.ctx.pool.acquire().await?;
            if let Some(answer) = idempotency::find(&mut connection, key).await? {
                return reveal(app, answer);
            }
            drop(connection);
            from_cart = cart_lines(app, caller, *cart_id).await?;
            &from_cart
        }
    };
    let mut asked = false;
    let priced = loop {
        let look_up = LookUp { key: key.clone(), sku_keys: prices::keys(lines) };
        let ask = |look_ups| store::prices::look_up(app.ctx.pool.clone(), look_ups);
        let known = match app.look_ups.ask(look_up, ask).await? {
            Found::Answer(answer) => return reveal(app, answer),
            Found::Variants(known) => known,
        };
        match prices::price(known, lines) {
            Priced::All(priced) => break priced,
            Priced::Unsellable(unsellable) if !asked => {
                prices::ask_catalog(app, &unsellable).await?;
                asked = true;
            }
            Priced::Unsellable(unsellable) => return Err(prices::refusal(&unsellable)),
        }
    };
    let to = Destination { country: &wanted.address.country, region: &wanted.address.region };
    let quote = quote(priced, to, &app.tax, &app.shipping, wanted.plain).map_err(no_quote)?;
    expected(&wanted, &quote)?;
    let answer = hold_and_store(app, &wanted, key, &quote).await?;
    if !answer.replayed {
        metrics::counter!("orders_created_total").increment(1);
        metrics::histogram!("order_creation_latency_ms")
            .record(started.elapsed().as_secs_f64() * 1_000.0);
    }
    reveal(app, answer)
}

fn no_quote(reason: NoQuote) -> ApiError {
    match reason {
        NoQuote::MixedCurrency => ApiError::new(
            Kind::Refused,
            "orders.mixed_currency",
            "All lines of an order need prices in one currency.",
        ),
        NoQuote::TooLarge => {
            ApiError::new(Kind::Refused, "orders.too_large", "The total is too large.")
        }
    }
}

fn expected(wanted: &Wanted, quote: &Quote) -> Result<(), ApiError> {
    if wanted.expected_total.is_none_or(|total| total == quote.total.amount()) {
        return Ok(());
    }
    let detail = "Prices have changed; look at the new amounts and order again.";
    Err(ApiError::new(Kind::Conflict, "orders.price_changed", detail)
        .with_exact("amounts", &amounts(quote))
        .with_exact("totalAmount", &quote.total.amount())
        .with_exact("currency", &quote.total.currency))
}

/// The lines of the caller's cart.
async fn cart_lines(
    app: &App,
    caller: &Principal,
    cart_id: CartId,
) -> Result<Vec<WantedLine>, ApiError> {
    let request = GetLinesRequest { cart_id: cart_id.to_string(), owner: caller.actor() };
    let out = &app.out;
    let answer = match out.cart_gate.call(out.call_limit, out.cart.get_lines(request)).await {
        Ok(answer) => answer,
        Err(CallError::Refused(status)) if status.code() != Code::NotFound => {
            return Err(ApiError::internal(anyhow::anyhow!("cart: {status}")));
        }
        Err(CallError::Refused(_)) => Default::default(),
        Err(CallError::Away(_)) => {
            return Err(ApiError::unavailable("orders.cart_away", "The cart cannot be read now."));
        }
    };
    let mut checks = Checks::new();
    if !answer.found {
        checks.fail("cartId", "not_found", "there is no such cart of yours");
    } else if answer.lines.is_empty() {
        checks.fail("cartId", "empty", "the cart is empty");
    }
    checks.finish()?;
    let lines: Vec<LineInput> =
        answer.lines.into_iter().map(|l| LineInput { sku: l.sku, qty: l.qty }).collect();
    let mut checks = Checks::new();
    let wanted = read_lines(&mut checks, &lines, app.config.max_line_qty);
    checks.finish()?;
    Ok(wanted)
}

/// The stock first, then everything of ours in one statement.
async fn hold_and_store(
    app: &App,
    wanted: &Wanted,
    key: &IdempotencyKey,
    quote: &Quote,
) -> Result<Answer, ApiError> {
    let lines: Vec<_> =
        quote.lines.iter().map(|l| steps::line(l.line.sku.as_str(), l.line.qty)).collect();
    app.faults.pass("before the stock is held")?;
    let (order_id, reserved) = hold(app, key, &lines).await;
    app.faults.pass("after the stock is held")?;
    let shelf = shelf_of(app, order_id, reserved, &lines).await?;
    let now = app.ctx.clock.now();
    let attempt_id = wanted.payment.as_ref().map(|_| app.ctx.ids.next());
    let held = shelf != Shelf::Unknown;
    let saga = Saga::placed(quote.total.minor, shelf, attempt_id, &app.rules, now);
    let context = trace::current();
    let cipher = &app.ctx.cipher;
    let token = wanted.payment.as_ref().map(|m| cipher.seal(TOKEN, &m.token)).transpose()?;
    let address = serde_json::to_string(&wanted.address).map_err(ApiError::internal)?;
    let cart_id = if let Source::Cart(id) = wanted.source { Some(id) } else { None };
    let new = NewOrder {
        order_id,
        owner: &wanted.owner.actor,
        user_id: wanted.owner.user_id,
        guest_id: wanted.owner.guest_id,
        cart_id,
        quote,
        saga: &saga,
        email_sealed: &cipher.seal(EMAIL, &wanted.email)?,
        address_sealed: &cipher.seal(ADDRESS, &address)?,
        attempt: match (attempt_id, &wanted.payment, &token) {
            (Some(id), Some(method), Some(sealed)) => Some((id, &method.kind, sealed)),
            _ => None,
        },
        lease: app.worker.lease_of_new(&saga, now),
        trace_id: &context.trace_id,
        correlation_id: &context.correlation_id,
        now,
    };
    let event = created_event(&new, held);
    let status = if held { StatusCode::CREATED } else { StatusCode::ACCEPTED };
    let answer =
        Answer::json(status, &answer_body(&new))?.located(format!("/api/v1/orders/{order_id}"));
    app.faults.pass("before the order is committed")?;
    let answer = match store_order(app, key, &new, &event, answer).await? {
        Stored::Now(answer) => answer,
        Stored::Before(answer) => return Ok(answer),
    };
    app.faults.pass("after the order is committed")?;
    if matches!(shelf, Shelf::Held(_)) {
        app.echoes.note((order_id, Echo::Held));
    }
    if saga.next_run_at.is_some_and(|at| at <= now) {
        app.worker.start(new.loaded(event.items));
    }
    Ok(answer)
}

/// Whose answer the key has.
enum Stored {
    Now(Answer),
    /// Another process was faster; this is what it answered.
    Before(Answer),
}

async fn store_order(
    app: &App,
    key: &IdempotencyKey,
    new: &NewOrder<'_>,
    event: &OrderCreated,
    mut answer: Answer,
) -> Result<Stored, ApiError> {
    let row = app.ctx.outbox.row(event)?;
    let told = Told { event: &row, key, answer: &answer, number_to_come: &NUMBER_TO_COME };
    let number = match store::orders::insert(&app.ctx.pool, new, &told).await {
        Ok(number) => number_text(number),
        Err(error) if idempotency::is_taken(&error) => {
            let mut connection = app.ctx.pool.acquire().await?;
            let found = idempotency::find(&mut connection, key).await;
            drop(connection);
            let order_id = new.order_id.to_string();
            let is_ours = |a: &Answer| String::from_utf8_lossy(&a.body).contains(&order_id);
            if !matches!(&found, Ok(Some(answer)) if is_ours(answer)) {
                // Held under an id that nobody else knows.
                steps::release_unstored(app, new.order_id).await;
            }
            return found?.map(Stored::Before).ok_or_else(|| ApiError::internal(error));
        }
        Err(error) => return Err(error.into()),
    };
    app.ctx.outbox.appended();
    let text = String::from_utf8(answer.body).map_err(ApiError::internal)?;
    answer.body = text.replace(NUMBER_TO_COME.as_str(), &number).into_bytes();
    Ok(Stored::Now(answer))
}

/// How the stock stands, or why there will be no order.
async fn shelf_of(
    app: &App,
    order_id: OrderId,
    reserved: Result<Reserved, CallError>,
    lines: &[Line],
) -> Result<Shelf, ApiError> {
    match reserved {
        Ok(Reserved::Held(expires_at)) => Ok(Shelf::Held(expires_at)),
        Ok(Reserved::Waiting) => Ok(Shelf::Waiting),
        Ok(Reserved::Short(short)) => Err(stock_short(&short)),
        Err(CallError::Away(reason)) => {
            tracing::warn!(%order_id, reason, "inventory is away: the order waits for its stock");
            Ok(Shelf::Unknown)
        }
        // The catalogue sells what inventory never heard of: there is none.
        Err(CallError::Refused(status)) => {
            tracing::warn!(%order_id, %status, "inventory would not reserve");
            Err(stock_short(&steps::missing(app, lines).await))
        }
    }
}

/// Holds the lines under the id that the order will have.
async fn hold(
    app: &App,
    key: &IdempotencyKey,
    lines: &[Line],
) -> (OrderId, Result<Reserved, CallError>) {
    let attempts = app.config.reserve_attempts;
    let order_id = order_id_of(key, app.ctx.clock.now());
    match steps::reserve_patiently(app, order_id, lines, attempts).await {
        // The earlier try was about other lines: the cart has changed since.
        Err(CallError::Refused(status)) if status.code() == Code::FailedPrecondition => {
            let order_id = app.ctx.ids.next();
            (order_id, steps::reserve_patiently(app, order_id, lines, attempts).await)
        }
        answer => (order_id, answer),
    }
}

/// The id of the order that a request makes. It derives from the request's key:
/// one that is repeated after a crash finds the stock it held before, instead
/// of competing with itself for the last units. The day is part of it because a
/// key is forgotten after [`idempotency::KEPT`] and may then mean another order.
fn order_id_of(key: &IdempotencyKey, now: Timestamp) -> OrderId {
    const DAY_SECONDS: u64 = 24 * 3600;
    let seconds = now.unix().unsigned_abs();
    let day = seconds - seconds % DAY_SECONDS;
    let mut random = [0; 10];
    for (byte, (scope, fingerprint)) in
        random.iter_mut().zip(key.scope.iter().zip(&key.fingerprint))
    {
        *byte = scope ^ fingerprint;
    }
    uuid::Builder::from_unix_timestamp_millis(day * 1_000, &random).into_uuid().into()
}

fn stock_short(short: &[ShortLine]) -> ApiError {
    let lines: Vec<_> = short
        .iter()
        .map(|l| json!({"sku": l.sku, "requested": l.requested, "available": l.available}))
        .collect();
    let detail = "There is not enough stock for these lines.";
    ApiError::new(Kind::Conflict, "orders.stock_short", detail)
        .with_extension("short", lines.into())
}

/// Stands in event and answer where the number belongs that the database draws.
/// No text of a shopper or merchant contains it.
static NUMBER_TO_COME: LazyLock<String> =
    LazyLock::new(|| format!("BV-{}", uuid::Uuid::new_v4().simple()));

fn created_event(new: &NewOrder<'_>, held: bool) -> OrderCreated {
    let quote = new.quote;
    OrderCreated {
        order_id: new.order_id,
        order_number: NUMBER_TO_COME.clone(),
        user_id: new.user_id,
        guest_id: new.guest_id,
        cart_id: new.cart_id,
        reservation: if held { Reservation::Held } else { Reservation::Pending },
        total_amount: quote.total.amount(),
        currency: quote.total.currency,
        items: quote
            .lines
            .iter()
            .map(|l| OrderedItem {
                product_id: l.line.product_id,
                sku: l.line.sku.clone(),
                qty: l.line.qty,
                price: l.line.price.amount(),
            })
            .collect(),
        amounts: Amounts {
            subtotal: quote.subtotal.amount(),
            discount: quote.discount.amount(),
            tax: quote.tax.amount(),
            shipping: quote.shipping.amount(),
        },
    }
}

fn amounts(quote: &Quote) -> OrderAmounts {
    OrderAmounts {
        subtotal: quote.subtotal.amount(),
        discount: quote.discount.amount(),
        tax: quote.tax.amount(),
        shipping: quote.shipping.amount(),
    }
}

/// Stands in the remembered answer where the order's token belongs.
const TOKEN_TO_COME: &str = "(derived)";

/// The answer as it is remembered: without the token, which is derived, and
/// without personal data; the number is put in by the statement that draws it.
fn answer_body(new: &NewOrder<'_>) -> Order {
    let (quote, saga) = (new.quote, new.saga);
    Order {
        order_id: new.order_id,
        order_number: NUMBER_TO_COME.clone(),
        status: saga.status,
        stage: saga.state.stage(),
        items: quote
            .lines
            .iter()
            .map(|l| OrderItem {
                product_id: l.line.product_id,
                sku: l.line.sku.clone(),
                title: l.line.title.clone(),
                qty: l.line.qty,
                price: l.line.price.amount(),
                line_total: l.total.amount(),
            })
            .collect(),
        amounts: amounts(quote),
        total_amount: quote.total.amount(),
        refunded_amount: shared_types::Money::zero(quote.total.currency).amount(),
        currency: quote.total.currency,
        hold_expires_at: saga.hold_expires_at,
        created_at: new.now,
        last_decline: None,
        order_token: Some(TOKEN_TO_COME.to_owned()),
        shipping_address: None,
        email: None,
    }
}

/// Puts the order's token into an answer, now or when it is given again. The
/// same order and time always make the same token.
fn reveal(app: &App, mut answer: Answer) -> Result<Answer, ApiError> {
    if !answer.status.is_success() {
        return Ok(answer);
    }
    let mut order: Order = serde_json::from_slice(&answer.body).map_err(ApiError::internal)?;
    order.order_token = Some(order_token(app, order.order_id, order.created_at)?);
    answer.body = serde_json::to_vec(&order).map_err(ApiError::internal)?;
    Ok(answer)
}

/// `Authorization: Order <token>` for this order.
fn order_token(app: &App, order_id: OrderId, created_at: Timestamp) -> Result<String, ApiError> {
    let ttl = app.config.order_token_ttl();
    app.ctx.issuer.grant("order", &order_id.to_string(), created_at, ttl)
}
