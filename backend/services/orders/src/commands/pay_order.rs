//! Paying: start an attempt in a short transaction, then wait for the saga
//! without holding a connection. A repeat with the same key joins the attempt.

use std::time::Duration;

use http::StatusCode;
use platform::ApiError;
use platform::auth::Principal;
use platform::error::Kind;
use platform::http::Idempotent;
use platform::idempotency::{self, Answer, Entered, IdempotencyKey};
use platform::trace;
use platform::validate::Checks;
use shared_types::orders::{PayAnswer, PayOrder, PaymentMethod};
use shared_types::{OrderId, Timestamp};
use tokio::time::Instant;

use super::access::{is_owner, may_see, not_found};
use super::place_order::read_method;
use crate::app::App;
use crate::domain::saga::Refusal;
use crate::sagas::steps::TOKEN;
use crate::store;
use crate::store::attempts::NewAttempt;
use crate::store::sagas::{Loaded, Save};

/// How long a repeat waits for the answer of the first.
pub(super) const REPEAT_WAITS: Duration = Duration::from_secs(5);

/// 200 paid, 402 declined, 202 when it is not decided in time.
pub async fn pay_order(
    app: &App,
    caller: &Principal,
    order_id: OrderId,
    request: Idempotent<PayOrder>,
) -> Result<Answer, ApiError> {
    let mut checks = Checks::new();
    let method = checks.required("paymentMethod", request.input.payment_method.as_ref());
    let method = method.map(|m| read_method(&mut checks, m));
    checks.finish()?;
    let Some(method) = method else { return Err(ApiError::invalid(Vec::new())) };
    // Listening starts before the attempt does.
    let listener = app.signals.listen(order_id);
    let deadline = app.patience();
    let (joined, started_at) = match begin(app, caller, order_id, &method, &request.key).await? {
        Begun::Known(answer) => return Ok(answer),
        Begun::Running { joined, started_at } => (joined, started_at),
    };
    let deadline = if joined { deadline.min(Instant::now() + REPEAT_WAITS) } else { deadline };
    match listener.until(deadline, || look(app, &request.key)).await? {
        Some(Seen::Answer(answer)) => Ok(Answer { replayed: joined, ..answer }),
        Some(Seen::NotSent) => Err(unsent()),
        None if joined && first_still_waits(app, started_at) => Err(in_flight()),
        None => undecided(app, order_id, &request.key).await,
    }
}

enum Begun {
    Known(Answer),
    Running { joined: bool, started_at: Timestamp },
}

async fn begin(
    app: &App,
    caller: &Principal,
    order_id: OrderId,
    method: &PaymentMethod,
    key: &IdempotencyKey,
) -> Result<Begun, ApiError> {
    let mut work = match idempotency::enter(&app.ctx.pool, key).await? {
        Entered::Replay(answer) => return Ok(Begun::Known(answer)),
        Entered::Run(work) => work,
    };
    let tx = work.tx();
    if let Some((attempt, same)) = store::attempts::of_request(tx, key).await? {
        if !same || attempt.order_id != order_id {
            return Err(mismatch());
        }
        if attempt.state != "not_sent" {
            work.abandon().await?;
            return Ok(Begun::Running { joined: true, started_at: attempt.started_at });
        }
        // Nothing was charged and nothing is remembered: the key starts anew.
        store::attempts::detach(tx, attempt.attempt_id).await?;
    }
    let loaded = store::sagas::lock(tx, order_id).await?.ok_or_else(not_found)?;
    may_pay(caller, &loaded)?;
    let now = app.ctx.clock.now();
    let attempt_id = app.ctx.ids.next();
    let saga = loaded.saga.pay(attempt_id, now).map_err(|r| refused(r, &loaded))?;
    let token_sealed = app.ctx.cipher.seal(TOKEN, &method.token)?;
    let actor = caller.actor();
    let attempt = NewAttempt {
        attempt_id,
        order_id,
        key,
        method: &method.kind,
        token_sealed: &token_sealed,
        actor: &actor,
        now,
    };
    store::attempts::insert(tx, &attempt).await?;
    let context = trace::current();
    let save = Save {
        order_id,
        version: loaded.version,
        saga: &saga,
        lease: app.worker.lease_beside(&loaded, &saga, now),
        trace: Some((&context.trace_id, &context.correlation_id)),
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
    app.worker.wake(order_id);
    Ok(Begun::Running { joined: false, started_at: now })
}

fn may_pay(caller: &Principal, loaded: &Loaded) -> Result<(), ApiError> {
    may_see(caller, loaded.order_id, &loaded.owner)?;
    if is_owner(caller, loaded.order_id, &loaded.owner) {
        return Ok(());
    }
    let detail = "Only the buyer pays an order.";
    Err(ApiError::new(Kind::Forbidden, "orders.not_owner", detail))
}

/// What a refused payment or cancellation is called.
pub(super) fn refused(refusal: Refusal, loaded: &Loaded) -> ApiError {
    let status = loaded.saga.status;
    let conflict = |code, detail: String| ApiError::new(Kind::Conflict, code, detail);
    match refusal {
        Refusal::AlreadyPaid => {
            conflict("orders.already_paid", "This order is paid already.".to_owned())
        }
        Refusal::NotReady => {
            conflict("orders.not_ready", "Its stock is not held yet; try again soon.".to_owned())
                .retry_after(Duration::from_secs(1))
        }
        Refusal::PaymentInProgress => conflict(
            "orders.payment_in_progress",
            "A payment of this order is being decided.".to_owned(),
        )
        .retry_after(Duration::from_secs(1)),
        Refusal::IllegalTransition => {
            conflict("orders.illegal_transition", format!("The order is {status}."))
        }
        Refusal::AtRest => conflict("sagas.at_rest", "Nothing of it is under way.".to_owned()),
        Refusal::WaitsForBuyer => {
            conflict("sagas.waits_for_buyer", "It waits for the buyer to pay.".to_owned())
        }
        Refusal::Compensating => conflict(
            "sagas.compensating",
            "It is being undone already; retry its step instead.".to_owned(),
        ),
        Refusal::NotStuck => conflict(
            "sagas.not_stuck",
            "It gets on by itself; nothing is to be resolved.".to_owned(),
        ),
        Refusal::NotResolvable => conflict(
            "sagas.not_resolvable",
            "This step cannot be done by hand; retry it or compensate.".to_owned(),
        ),
    }
}

pub(super) fn mismatch() -> ApiError {
    let detail = "This Idempotency-Key was used with another payload.";
    ApiError::new(Kind::Refused, "idempotency.mismatch", detail)
}

pub(super) fn in_flight() -> ApiError {
    let detail = "The first request with this key still runs.";
    ApiError::new(Kind::Conflict, "idempotency.in_flight", detail)
        .retry_after(Duration::from_secs(1))
}

fn unsent() -> ApiError {
    let detail = "No payment could be sent; nothing was charged. Please try again.";
    ApiError::unavailable("payments.unavailable", detail)
}

/// Whether the request that began at `started_at` may still be waiting.
pub(super) fn first_still_waits(app: &App, started_at: Timestamp) -> bool {
    let waits = Duration::from_millis(app.config.answer_within_ms) + Duration::from_secs(1);
    app.ctx.clock.now().since(started_at) < waits
}

enum Seen {
    Answer(Answer),
    NotSent,
}

async fn look(app: &App, key: &IdempotencyKey) -> Result<Option<Seen>, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    if let Some(answer) = idempotency::find(&mut connection, key).await? {
        return Ok(Some(Seen::Answer(answer)));
    }
    let attempt = store::attempts::of_request(&mut connection, key).await?;
    Ok(attempt.filter(|(a, _)| a.state == "not_sent").map(|_| Seen::NotSent))
}

/// 202, remembered; or what was decided in this very moment.
async fn undecided(app: &App, order_id: OrderId, key: &IdempotencyKey) -> Result<Answer, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let stored = store::orders::find(&mut connection, order_id).await?.ok_or_else(not_found)?;
    let (status, stage) = (stored.order.status, Some(stored.order.stage));
    let body = PayAnswer { order_id, status, stage, payment_id: None };
    let answer = Answer::json(StatusCode::ACCEPTED, &body)?;
    let now = app.ctx.clock.now();
    if idempotency::record(&mut connection, key, &answer, now).await? {
        return Ok(answer);
    }
    let decided = idempotency::find(&mut connection, key).await?;
    Ok(decided.map_or(answer, |decided| Answer { replayed: false, ..decided }))
}
