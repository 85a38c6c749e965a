//! Giving money back: promised under the saga's lock, carried out by the saga.

use http::StatusCode;
use platform::ApiError;
use platform::auth::Principal;
use platform::error::Kind;
use platform::http::Idempotent;
use platform::idempotency::{self, Answer, Entered, IdempotencyKey};
use platform::validate::Checks;
use shared_types::payments::{Refund, RefundInput, RefundStatus};
use shared_types::{Amount, Currency, FieldError, OrderId, Role, Sku, Timestamp};
use sqlx::PgConnection;
use tokio::time::Instant;

use super::access::not_found;
use super::pay_order::{REPEAT_WAITS, first_still_waits, in_flight, mismatch};
use super::place_order::MAX_LINES;
use crate::app::App;
use crate::domain::refund::{RefundRefusal, Terms, Till, Wish, settle};
use crate::domain::saga::{Saga, State};
use crate::store;
use crate::store::refunds::{NewRefund, RequestedRefund};
use crate::store::sagas::{Loaded, Save};

/// 201 with the refund; `PENDING` when it is not decided in time.
pub async fn refund_order(
    app: &App,
    caller: &Principal,
    request: Idempotent<RefundInput>,
) -> Result<Answer, ApiError> {
    if !caller.is_service() {
        caller.require_role(Role::Support)?;
    }
    let wanted = read(&request.input, app.config.max_line_qty)?;
    let listener = app.signals.listen(wanted.order_id);
    let deadline = app.patience();
    let (joined, started_at) = match begin(app, caller, &wanted, &request.key).await? {
        Begun::Known(answer) => return Ok(answer),
        Begun::Running { joined, started_at } => (joined, started_at),
    };
    let deadline = if joined { deadline.min(Instant::now() + REPEAT_WAITS) } else { deadline };
    match listener.until(deadline, || look(app, &request.key)).await? {
        Some(answer) => Ok(Answer { replayed: joined, ..answer }),
        None if joined && first_still_waits(app, started_at) => Err(in_flight()),
        None => undecided(app, &request.key).await,
    }
}

struct Wanted {
    order_id: OrderId,
    wish: WishInput,
    restock: bool,
    reason: String,
}

enum WishInput {
    Everything,
    /// Its currency is the order's.
    Amount(Amount),
    Lines(Vec<(Sku, i64)>),
}

fn read(input: &RefundInput, max_line_qty: i64) -> Result<Wanted, ApiError> {
    let mut checks = Checks::new();
    let order_id = checks.required("orderId", input.order_id);
    let reason = checks.text("reason", &input.reason, 1..=500);
    let wish = match (&input.amount, &input.lines) {
        (Some(_), Some(_)) => {
            checks.fail("lines", "exclusive", "send amount or lines, not both");
            WishInput::Everything
        }
        (None, None) => WishInput::Everything,
        (Some(amount), None) => {
            let positive = !amount.is_negative() && !amount.is_zero();
            checks.ensure(positive, "amount", "range", "must be positive");
            let units_known = !input.restock;
            checks.ensure(units_known, "restock", "exclusive", "restocking needs lines");
            WishInput::Amount(*amount)
        }
        (None, Some(lines)) => {
            let fits = (1..=MAX_LINES).contains(&lines.len());
            checks.ensure(fits, "lines", "length", "needs 1 to 1000 lines");
            let mut units = Vec::new();
            for (index, line) in lines.iter().take(MAX_LINES).enumerate() {
                let sku = checks.parse::<Sku>(&format!("lines[{index}].sku"), &line.sku);
                if line.qty < 1 || line.qty > max_line_qty.saturating_mul(100) {
                    checks.fail(format!("lines[{index}].qty"), "range", "must be positive");
                } else if let Some(sku) = sku {
                    units.push((sku, line.qty));
                }
            }
            WishInput::Lines(units)
        }
    };
    checks.finish()?;
    let order_id = order_id.ok_or_else(not_found)?;
    Ok(Wanted { order_id, wish, restock: input.restock, reason })
}

enum Begun {
    Known(Answer),
    Running { joined: bool, started_at: Timestamp },
}

/// The column name that reasons are sealed under.
const NOTE: &str = "refunds.note";

async fn begin(
    app: &App,
    caller: &Principal,
    wanted: &Wanted,
    key: &IdempotencyKey,
) -> Result<Begun, ApiError> {
    let mut work = match idempotency::enter(&app.ctx.pool, key).await? {
        Entered::Replay(answer) => return Ok(Begun::Known(answer)),
        Entered::Run(work) => work,
    };
    let tx = work.tx();
    if let Some(refund) = store::refunds::of_request(tx, key).await? {
        if !refund.same_payload {
            return Err(mismatch());
        }
        work.abandon().await?;
        return Ok(Begun::Running { joined: true, started_at: refund.created_at });
    }
    let loaded = store::sagas::lock(tx, wanted.order_id).await?.ok_or_else(not_found)?;
    let terms = terms(tx, wanted, &loaded).await?;
    let now = app.ctx.clock.now();
    let note = app.ctx.cipher.seal(NOTE, &wanted.reason)?;
    let refund = NewRefund {
        refund_id: app.ctx.ids.next(),
        order_id: wanted.order_id,
        key: Some(key),
        amount_minor: terms.amount_minor,
        cause: "requested",
        note_sealed: Some(&note),
        restock: wanted.restock,
        lines: &terms.lines,
        actor: &caller.actor(),
        now,
    };
    store::refunds::insert(tx, &refund).await?;
    let saga = taking_up(&loaded.saga, now);
    let save = Save {
        order_id: wanted.order_id,
        version: loaded.version,
        saga: &saga,
        lease: app.worker.lease_beside(&loaded, &saga, now),
        trace: None,
        effects: &[],
        note_sealed: None,
        ended: None,
        event: None,
        now,
    };
    if !store::sagas::save(tx, &save).await? {
        return Err(ApiError::internal(anyhow::anyhow!("a locked saga changed")));
    }
    app.faults.pass("before a request is committed")?;
    work.begun().await?;
    app.faults.pass("after a request is committed")?;
    app.worker.wake(wanted.order_id);
    Ok(Begun::Running { joined: false, started_at: now })
}

/// A saga at rest gets up for the refund; one that works finds it later.
fn taking_up(saga: &Saga, now: Timestamp) -> Saga {
    let mut saga = saga.clone();
    if matches!(saga.state, State::Done | State::Refunding) {
        saga.next_run_at = Some(now);
        saga.retries = 0;
    }
    saga
}

async fn terms(tx: &mut PgConnection, wanted: &Wanted, loaded: &Loaded) -> Result<Terms, ApiError> {
    let currency = loaded.currency;
    let wish = match &wanted.wish {
        WishInput::Everything => Wish::Everything,
        WishInput::Lines(lines) => Wish::Lines(lines.clone()),
        WishInput::Amount(amount) => match amount.in_currency(currency) {
            Ok(money) => Wish::Minor(money.minor),
            Err(error) => return Err(ApiError::invalid(vec![wrong("amount", error.to_string())])),
        },
    };
    let sold = store::orders::sold_lines(tx, loaded.order_id).await?;
    let tax_inclusive = store::orders::tax_inclusive(tx, loaded.order_id).await?;
    let promised_minor = store::refunds::promised(tx, loaded.order_id).await?;
    let till = Till { captured_minor: loaded.saga.captured_minor, promised_minor, tax_inclusive };
    settle(&sold, till, &wish).map_err(|refusal| refused(refusal, currency))
}

fn wrong(field: &str, message: String) -> FieldError {
    FieldError { field: field.to_owned(), code: "invalid".to_owned(), message }
}

fn refused(refusal: RefundRefusal, currency: Currency) -> ApiError {
    match refusal {
        RefundRefusal::NothingCaptured => ApiError::new(
            Kind::Conflict,
            "payments.nothing_captured",
            "Nothing was paid for this order.",
        ),
        RefundRefusal::TooMuch { left_minor } => {
            let left = store::amount(left_minor.max(0), currency);
            let detail = format!("At most {left} {currency} can still be refunded.");
            ApiError::new(Kind::Conflict, "payments.refund_too_much", detail)
                .with_exact("refundable", &left)
        }
        RefundRefusal::UnknownSku(index) => {
            let message = "is not part of the order".to_owned();
            ApiError::invalid(vec![wrong(&format!("lines[{index}].sku"), message)])
        }
        RefundRefusal::TooManyUnits { line, left } => {
            let field = format!("lines[{line}].qty");
            let message = format!("at most {left} can still be returned");
            ApiError::new(
                Kind::Conflict,
                "orders.return_too_much",
                "More units than were ordered and not returned yet.",
            )
            .with_fields(vec![FieldError {
                field,
                code: "too_many".to_owned(),
                message,
            }])
        }
    }
}

async fn look(app: &App, key: &IdempotencyKey) -> Result<Option<Answer>, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    idempotency::find(&mut connection, key).await
}

/// 201 with a pending refund, remembered; or what was decided in this moment.
async fn undecided(app: &App, key: &IdempotencyKey) -> Result<Answer, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let refund = store::refunds::of_request(&mut connection, key).await?.ok_or_else(not_found)?;
    let answer = pending(&mut connection, &refund).await?;
    if idempotency::record(&mut connection, key, &answer, app.ctx.clock.now()).await? {
        return Ok(answer);
    }
    let decided = idempotency::find(&mut connection, key).await?;
    Ok(decided.map_or(answer, |decided| Answer { replayed: false, ..decided }))
}

async fn pending(
    connection: &mut PgConnection,
    refund: &RequestedRefund,
) -> Result<Answer, ApiError> {
    let stored = store::orders::find(connection, refund.order_id).await?.ok_or_else(not_found)?;
    let currency = stored.order.currency;
    let body = Refund {
        refund_id: refund.refund_id,
        order_id: refund.order_id,
        amount: store::amount(refund.amount_minor, currency),
        currency,
        status: RefundStatus::Pending,
    };
    Answer::json(StatusCode::CREATED, &body)
}
