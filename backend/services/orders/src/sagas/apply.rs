//! Storing decisions: state, history, attempts, refunds, events and remembered
//! answers in one transaction.

use contracts::events::orders::{
    OrderCanceled, OrderConfirmed, OrderEnded, OrderFailed, OrderPaid, OrderedItem,
};
use platform::ApiError;
use platform::error::Kind;
use platform::idempotency::{self, Answer, IdempotencyKey};
use shared_types::orders::{OrderStatus, PayAnswer};
use shared_types::payments::{Refund, RefundStatus};
use shared_types::{AttemptId, OrderId, Timestamp};
use sqlx::PgConnection;

use crate::app::App;
use crate::domain::saga::{
    AttemptEnd, Decision, Effect, Fact, Input, RefundState, SAGA, Saga, State,
};
use crate::domain::status::may_become;
use crate::echoes::Echo;
use crate::store;
use crate::store::refunds::NewRefund;
use crate::store::sagas::{Lease, Loaded, RunningRefund, Save};

/// What became of an input.
#[derive(Debug)]
pub enum Applied {
    /// Stored; the saga as it is now.
    Moved(Box<Saga>),
    /// It said nothing new.
    Nothing,
    /// The saga changed since it was loaded.
    Stale,
}

/// Decides and stores in a transaction of its own.
pub async fn apply(app: &App, loaded: &Loaded, input: Input) -> Result<Applied, ApiError> {
    let now = app.ctx.clock.now();
    let Some(decision) = loaded.saga.decide(input, &app.rules, now) else {
        return Ok(Applied::Nothing);
    };
    let mut tx = app.ctx.pool.begin().await?;
    let lease = app.worker.lease_after_step(&decision.saga, now);
    let Some(saga) = store_decision(app, &mut tx, loaded, decision, lease, None, now).await? else {
        return Ok(Applied::Stale);
    };
    app.faults.pass("before a step is committed")?;
    tx.commit().await?;
    app.faults.pass("after a step is committed")?;
    told(app, loaded, &saga);
    Ok(Applied::Moved(Box::new(saga)))
}

/// After the commit: wakes who waits and counts.
pub fn told(app: &App, loaded: &Loaded, saga: &Saga) {
    app.signals.ring(loaded.order_id);
    remember(app, loaded, saga);
    if saga.status != loaded.saga.status {
        metrics::counter!("orders_status_total", "status" => saga.status.as_str()).increment(1);
    }
    if let (Some(reason), None) = (&saga.stuck, &loaded.saga.stuck) {
        tracing::error!(order_id = %loaded.order_id, reason, "a saga needs a person");
    }
}

/// Notes what events will only repeat.
fn remember(app: &App, loaded: &Loaded, saga: &Saga) {
    let (before, order_id) = (&loaded.saga, loaded.order_id);
    if let Some(payment) = saga.payment.filter(|_| before.payment.is_none()) {
        app.echoes.note((order_id, Echo::Captured(payment)));
    }
    if saga.status == OrderStatus::Confirmed && before.status != saga.status {
        app.echoes.note((order_id, Echo::Confirmed));
    }
    if before.state == State::Releasing && saga.state != before.state {
        app.echoes.note((order_id, Echo::Released));
    }
}

/// Stores `decision` on this transaction; `None` when the saga changed since
/// it was loaded.
pub async fn store_decision(
    app: &App,
    tx: &mut PgConnection,
    loaded: &Loaded,
    decision: Decision,
    lease: Option<Lease>,
    note: Option<&str>,
    now: Timestamp,
) -> Result<Option<Saga>, ApiError> {
    let Decision { mut saga, effects } = decision;
    let (from, to) = (loaded.saga.status, saga.status);
    if from != to && !may_become(from, to) {
        return Err(ApiError::internal(anyhow::anyhow!("an order cannot go from {from} to {to}")));
    }
    let another: Option<AttemptId> =
        effects.contains(&Effect::AttemptAgain).then(|| app.ctx.ids.next());
    if another.is_some() {
        saga.attempt = another;
    }
    let note_sealed = match note {
        Some(note) => Some(app.ctx.cipher.seal(NOTE, note)?),
        None => None,
    };
    let save = Save {
        order_id: loaded.order_id,
        version: loaded.version,
        saga: &saga,
        lease,
        trace: None,
        effects: &effects,
        note_sealed: note_sealed.as_deref(),
        now,
    };
    if !store::sagas::save(tx, &save).await? {
        return Ok(None);
    }
    for effect in &effects {
        match effect {
            Effect::History { .. } => {}
            Effect::Publish(fact) => publish(app, tx, loaded, &saga, *fact).await?,
            Effect::AttemptEnded(end) => attempt_ended(tx, loaded, &saga, end, now).await?,
            Effect::AttemptAgain => {
                if let (Some(old), Some(new)) = (loaded.saga.attempt, another) {
                    store::attempts::replace(tx, old, new, now).await?;
                }
            }
            Effect::RefundRest { cause, actor } => {
                let promised = store::refunds::promised(tx, loaded.order_id).await?;
                let rest = saga.captured_minor - promised;
                own_refund(app, tx, loaded.order_id, rest, cause, actor, now).await?;
            }
            Effect::RefundMinor { minor, cause } => {
                own_refund(app, tx, loaded.order_id, *minor, cause, SAGA, now).await?;
            }
            Effect::RefundAgain => {
                store::refunds::revive(tx, loaded.order_id, || app.ctx.ids.next(), now).await?;
            }
            Effect::RefundIs(state) => {
                if let Some(refund) = &loaded.refund {
                    refund_settled(tx, loaded, refund, *state, now).await?;
                }
            }
        }
    }
    Ok(Some(saga))
}

/// The column name that notes in the history are sealed under.
pub const NOTE: &str = "order_status_history.note";

async fn own_refund(
    app: &App,
    tx: &mut PgConnection,
    order_id: OrderId,
    amount_minor: i64,
    cause: &str,
    actor: &str,
    now: Timestamp,
) -> Result<(), ApiError> {
    if amount_minor <= 0 {
        return Ok(());
    }
    let refund = NewRefund {
        refund_id: app.ctx.ids.next(),
        order_id,
        key: None,
        amount_minor,
        cause,
        note_sealed: None,
        restock: false,
        lines: &[],
        actor,
        now,
    };
    Ok(store::refunds::insert(tx, &refund).await?)
}

async fn attempt_ended(
    tx: &mut PgConnection,
    loaded: &Loaded,
    saga: &Saga,
    end: &AttemptEnd,
    now: Timestamp,
) -> Result<(), ApiError> {
    let Some(attempt_id) = loaded.saga.attempt else { return Ok(()) };
    let payment = if *end == AttemptEnd::Captured { saga.payment } else { None };
    store::attempts::end(tx, attempt_id, end, payment, now).await?;
    let key = loaded.attempt.as_ref().and_then(|a| a.key.as_ref());
    if let (Some(key), Some(answer)) = (key, pay_answer(loaded.order_id, saga, end)?) {
        idempotency::record(tx, key, &answer, now).await?;
    }
    Ok(())
}

/// What `/pay` answers to an attempt that ended so; nothing is remembered of
/// one that never left.
fn pay_answer(
    order_id: OrderId,
    saga: &Saga,
    end: &AttemptEnd,
) -> Result<Option<Answer>, ApiError> {
    let answer = match end {
        AttemptEnd::Captured => {
            let (status, payment_id) = (saga.status, saga.payment);
            let body = PayAnswer { order_id, status, stage: None, payment_id };
            Answer::json(http::StatusCode::OK, &body)?
        }
        AttemptEnd::Declined(code) => {
            let detail = format!("The payment was declined: {code}.");
            let error = ApiError::new(Kind::Declined, "payments.declined", detail)
                .with_extension("declineCode", code.as_str().into())
                .with_extension("orderStatus", saga.status.as_str().into());
            Answer::problem(&error)
        }
        AttemptEnd::HoldExpired => {
            let detail = "The stock was not held any longer; the order is canceled.";
            Answer::problem(&ApiError::new(Kind::Conflict, "orders.hold_expired", detail))
        }
        AttemptEnd::Abandoned => {
            let detail =
                "The order ended while its payment was undecided; what was taken goes back.";
            Answer::problem(&ApiError::new(Kind::Conflict, "orders.illegal_transition", detail))
        }
        AttemptEnd::NotSent => return Ok(None),
    };
    Ok(Some(answer))
}

async fn refund_settled(
    tx: &mut PgConnection,
    loaded: &Loaded,
    refund: &RunningRefund,
    state: RefundState,
    now: Timestamp,
) -> Result<(), ApiError> {
    store::refunds::settle(tx, refund.refund_id, state, now).await?;
    if let Some(key) = &refund.key {
        remember_refund(tx, key, loaded, refund, state, now).await?;
    }
    Ok(())
}

async fn remember_refund(
    tx: &mut PgConnection,
    key: &IdempotencyKey,
    loaded: &Loaded,
    refund: &RunningRefund,
    state: RefundState,
    now: Timestamp,
) -> Result<(), ApiError> {
    let answer = match state {
        RefundState::Succeeded | RefundState::Restocking => Answer::json(
            http::StatusCode::CREATED,
            &Refund {
                refund_id: refund.refund_id,
                order_id: loaded.order_id,
                amount: store::amount(refund.amount_minor, loaded.currency),
                currency: loaded.currency,
                status: RefundStatus::Succeeded,
            },
        )?,
        RefundState::Failed => {
            let detail = "The payment provider's books do not allow this refund.";
            Answer::problem(&ApiError::new(Kind::Conflict, "payments.refund_refused", detail))
        }
    };
    idempotency::record(tx, key, &answer, now).await?;
    Ok(())
}

async fn publish(
    app: &App,
    tx: &mut PgConnection,
    loaded: &Loaded,
    saga: &Saga,
    fact: Fact,
) -> Result<(), ApiError> {
    let (order_id, currency) = (loaded.order_id, loaded.currency);
    let outbox = &app.ctx.outbox;
    if fact == Fact::Paid {
        let Some(payment_id) = saga.payment else { return Ok(()) };
        let amount = store::amount(saga.captured_minor, currency);
        outbox.append(tx, &OrderPaid { order_id, payment_id, amount, currency }).await?;
        return Ok(());
    }
    let items = store::orders::items(tx, order_id, currency).await?;
    let items = items
        .into_iter()
        .map(|i| OrderedItem { product_id: i.product_id, sku: i.sku, qty: i.qty, price: i.price })
        .collect();
    if fact == Fact::Confirmed {
        outbox.append(tx, &OrderConfirmed { order_id, items }).await?;
        return Ok(());
    }
    let ended = OrderEnded {
        order_id,
        by: saga.end.as_ref().map_or(SAGA.to_owned(), |e| e.actor.clone()),
        reason: saga.end.as_ref().map_or(String::new(), |e| e.cause.clone()),
        items,
        total_amount: store::amount(saga.total_minor, currency),
        currency,
        refunded_amount: store::amount(saga.refunded_minor, currency),
    };
    match fact {
        Fact::Failed => outbox.append(tx, &OrderFailed(ended)).await?,
        _ => outbox.append(tx, &OrderCanceled(ended)).await?,
    }
    Ok(())
}
