//! Storing decisions: state, history, attempts, refunds, events and remembered
//! answers in one transaction.

use contracts::events::orders::{
    OrderCanceled, OrderConfirmed, OrderEnded, OrderFailed, OrderPaid,
};
use platform::ApiError;
use platform::error::Kind;
use platform::idempotency::{self, Answer, IdempotencyKey};
use platform::outbox::EventRow;
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
use crate::store::sagas::{EndedAttempt, Lease, Loaded, RunningRefund, Save};

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

/// Decides and stores, in a transaction of its own where one statement is not
/// enough.
pub async fn apply(app: &App, loaded: &Loaded, input: Input) -> Result<Applied, ApiError> {
    let now = app.ctx.clock.now();
    let Some(decision) = loaded.saga.decide(input, &app.rules, now) else {
        return Ok(Applied::Nothing);
    };
    let lease = app.worker.lease_after_step(&decision.saga, now);
    let saga = if is_one_statement(loaded, &decision) {
        app.faults.pass("before a step is committed")?;
        let mut connection = app.ctx.pool.acquire().await?;
        store_decision(app, &mut connection, loaded, decision, lease, None, now).await?
    } else {
        let mut tx = app.ctx.pool.begin().await?;
        let saga = store_decision(app, &mut tx, loaded, decision, lease, None, now).await?;
        app.faults.pass("before a step is committed")?;
        tx.commit().await?;
        saga
    };
    let Some(saga) = saga else { return Ok(Applied::Stale) };
    app.faults.pass("after a step is committed")?;
    told(app, loaded, &saga);
    Ok(Applied::Moved(Box::new(saga)))
}

/// Whether everything goes into the statement that saves the saga.
fn is_one_statement(loaded: &Loaded, decision: &Decision) -> bool {
    let answers = loaded.attempt.as_ref().is_some_and(|a| a.key.is_some());
    let mut events = 0;
    decision.effects.iter().all(|effect| match effect {
        Effect::History { .. } => true,
        Effect::AttemptEnded(_) => !answers,
        Effect::Publish(_) => {
            events += 1;
            events == 1
        }
        _ => false,
    })
}

/// After the commit: wakes who waits and counts.
pub fn told(app: &App, loaded: &Loaded, saga: &Saga) {
    app.signals.ring(loaded.order_id);
    app.wakes.wake(&loaded.order_id.to_string());
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
    // The first event and the end of the attempt go with the saga.
    let mut facts = effects.iter().filter_map(|effect| match effect {
        Effect::Publish(fact) => Some(*fact),
        _ => None,
    });
    let event = match facts.next() {
        Some(fact) => event_of(app, tx, loaded, &saga, fact).await?,
        None => None,
    };
    let ended = effects.iter().find_map(|effect| match effect {
        Effect::AttemptEnded(end) => ended_attempt(loaded, &saga, end),
        _ => None,
    });
    let save = Save {
        order_id: loaded.order_id,
        version: loaded.version,
        saga: &saga,
        lease,
        trace: None,
        effects: &effects,
        note_sealed: note_sealed.as_deref(),
        ended,
        event: event.as_ref(),
        now,
    };
    if !store::sagas::save(tx, &save).await? {
        return Ok(None);
    }
    app.ctx.outbox.appended();
    for fact in facts {
        if let Some(event) = event_of(app, tx, loaded, &saga, fact).await? {
            app.ctx.outbox.append_row(tx, &event).await?;
        }
    }
    for effect in &effects {
        carry_out(app, tx, loaded, &saga, effect, now).await?;
    }
    Ok(Some(saga))
}

/// Stores what an effect means beside the saga's own row.
async fn carry_out(
    app: &App,
    tx: &mut PgConnection,
    loaded: &Loaded,
    saga: &Saga,
    effect: &Effect,
    now: Timestamp,
) -> Result<(), ApiError> {
    match effect {
        Effect::History { .. } | Effect::Publish(_) => {}
        Effect::AttemptEnded(end) => remember_answer(tx, loaded, saga, end, now).await?,
        Effect::AttemptAgain => {
            if let (Some(old), Some(new)) = (loaded.saga.attempt, saga.attempt) {
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
    Ok(())
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

fn ended_attempt<'a>(
    loaded: &Loaded,
    saga: &Saga,
    end: &'a AttemptEnd,
) -> Option<EndedAttempt<'a>> {
    let payment = if *end == AttemptEnd::Captured { saga.payment } else { None };
    Some(EndedAttempt { attempt_id: loaded.saga.attempt?, end, payment })
}

/// Keeps what the request to pay will be answered, now and when it is repeated.
async fn remember_answer(
    tx: &mut PgConnection,
    loaded: &Loaded,
    saga: &Saga,
    end: &AttemptEnd,
    now: Timestamp,
) -> Result<(), ApiError> {
    if loaded.saga.attempt.is_none() {
        return Ok(());
    }
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

async fn event_of(
    app: &App,
    connection: &mut PgConnection,
    loaded: &Loaded,
    saga: &Saga,
    fact: Fact,
) -> Result<Option<EventRow>, ApiError> {
    let (order_id, currency) = (loaded.order_id, loaded.currency);
    let outbox = &app.ctx.outbox;
    if fact == Fact::Paid {
        let Some(payment_id) = saga.payment else { return Ok(None) };
        let amount = store::amount(saga.captured_minor, currency);
        return Ok(Some(outbox.row(&OrderPaid { order_id, payment_id, amount, currency })?));
    }
    let items = match &loaded.items {
        Some(items) => items.to_vec(),
        None => store::orders::ordered_items(connection, order_id).await?,
    };
    if fact == Fact::Confirmed {
        return Ok(Some(outbox.row(&OrderConfirmed { order_id, items })?));
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
    Ok(Some(match fact {
        Fact::Failed => outbox.row(&OrderFailed(ended))?,
        _ => outbox.row(&OrderCanceled(ended))?,
    }))
}
