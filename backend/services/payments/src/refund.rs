//! Giving money back: promised under the payment's lock, sent, and settled;
//! what is sent without an answer is asked for before it is sent again.

use std::time::Instant;

use contracts::events::payments::PaymentRefunded;
use platform::audit::Entry;
use platform::error::{ApiError, Failure, Kind};
use platform::trace;
use shared_types::{Money, OrderId, RefundId, Timestamp};
use sqlx::PgConnection;
use tokio::sync::oneshot;

use crate::domain::{
    AfterSilence, Finding, Silence, TransactionKind, Verdict, Wanted, after_silence, find,
};
use crate::drive::REPEATS_FOR;
use crate::house::{House, ask_again_after};
use crate::provider::{CallRow, Decided, Giveback, Trouble};
use crate::reconcile::mark_mismatch;
use crate::store;
use crate::store::refunds::{self, NewRefund, RefundRow, Settled, State};

/// What the saga asks for, checked.
pub struct Refund {
    pub refund_id: RefundId,
    pub order_id: OrderId,
    pub money: Money,
    pub reason: String,
    /// Of the request, so that its key is not used for another one.
    pub fingerprint: Option<[u8; 32]>,
    /// Written with the refund, when a person asks for it.
    pub audit: Option<Entry>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refunded {
    Done,
    Pending,
    TooMuch { refundable_minor: i64 },
    NothingCaptured,
}

#[derive(Debug, thiserror::Error)]
pub enum RefundRefused {
    #[error("the refund id was used for another order or amount")]
    RefundMismatch,
    #[error("the payment has another currency")]
    Currency,
    #[error("the provider refused the refund: {0}")]
    ByProvider(String),
    #[error("too many payments are under way")]
    Busy,
}

impl Failure for RefundRefused {
    fn kind(&self) -> Kind {
        match self {
            RefundRefused::RefundMismatch | RefundRefused::Currency => Kind::Invalid,
            RefundRefused::ByProvider(_) => Kind::Refused,
            RefundRefused::Busy => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            RefundRefused::RefundMismatch => "payments.refund_mismatch",
            RefundRefused::Currency => "payments.currency",
            RefundRefused::ByProvider(_) => "payments.refund_refused",
            RefundRefused::Busy => "payments.busy",
        }
    }
}

/// Refunds, and answers with what is known in time.
pub async fn refund(house: &House, input: Refund) -> Result<Refunded, ApiError> {
    let permit = house.running.clone().try_acquire_owned();
    let permit = permit.map_err(|_| RefundRefused::Busy)?;
    let (row, send_before) = match begin(house, &input).await? {
        Begun::Answered(answer) => return Ok(answer),
        Begun::Started(row, send_before) => (*row, send_before),
    };
    let (answer, waiting) = oneshot::channel();
    let working = house.clone();
    let context = store::trace_of(&row.trace_id, &row.correlation_id);
    house.ctx.lifecycle.spawn("refund", async move {
        let refund_id = row.refund_id;
        let known = trace::within(context, send(&working, row, send_before, Vec::new())).await;
        let known = known.unwrap_or_else(|error| {
            tracing::error!(%refund_id, error = format!("{error:#}"), "a refund is left to reconciliation");
            State::Running
        });
        drop(permit);
        // Nobody waits any more when the answer took too long.
        let _ = answer.send(known);
        Ok(())
    });
    match tokio::time::timeout(house.settings.answer_within(), waiting).await {
        Ok(Ok(State::Succeeded)) => Ok(Refunded::Done),
        Ok(Ok(State::Failed)) => Err(failed()),
        _ => Ok(Refunded::Pending),
    }
}

fn failed() -> ApiError {
    RefundRefused::ByProvider("see the calls of this refund".to_owned()).into()
}

enum Begun {
    Answered(Refunded),
    Started(Box<RefundRow>, Instant),
}

/// The payment's row lock makes concurrent refunds take turns.
async fn begin(house: &House, input: &Refund) -> Result<Begun, ApiError> {
    let mut tx = house.ctx.pool.begin().await?;
    let payment = store::lock_payment_of_order(&mut tx, input.order_id).await?;
    if let Some(row) = refunds::find(&mut tx, input.refund_id).await? {
        if row.order_id != input.order_id || row.money() != input.money {
            return Err(RefundRefused::RefundMismatch.into());
        }
        return match row.state {
            State::Succeeded => Ok(Begun::Answered(Refunded::Done)),
            State::Failed => Err(failed()),
            _ => Ok(Begun::Answered(Refunded::Pending)),
        };
    }
    let Some(payment) = payment.filter(|p| p.captured_minor > 0) else {
        return Ok(Begun::Answered(Refunded::NothingCaptured));
    };
    if payment.currency != input.money.currency {
        return Err(RefundRefused::Currency.into());
    }
    let refundable_minor = payment.refundable_minor();
    if input.money.minor > refundable_minor {
        return Ok(Begun::Answered(Refunded::TooMuch { refundable_minor }));
    }
    let context = trace::current();
    let (claim, send_before) = house.claim();
    let new = NewRefund {
        refund_id: input.refund_id,
        money: input.money,
        reason: &input.reason,
        charge_transaction_id: payment.transaction_id.as_deref().unwrap_or_default(),
        fingerprint: input.fingerprint.as_ref().map(|f| &f[..]),
        trace_id: &context.trace_id,
        correlation_id: &context.correlation_id,
    };
    let row = refunds::begin(&mut tx, &payment, &new, &claim).await?;
    if let Some(entry) = &input.audit {
        house.ctx.audit.record(&mut tx, entry.clone()).await?;
    }
    tx.commit().await?;
    Ok(Begun::Started(Box::new(row), send_before))
}

/// One send, and one question when no answer came.
async fn send(
    house: &House,
    row: RefundRow,
    send_before: Instant,
    mut calls: Vec<CallRow>,
) -> anyhow::Result<State> {
    let giveback = Giveback {
        order_id: row.order_id,
        refund_id: row.refund_id,
        money: row.money(),
        charge_transaction_id: row.charge_transaction_id.clone(),
    };
    let (result, sent) = house.gateways.refund(&row.provider, &giveback, send_before).await;
    let provider = sent.last().map_or("soap", |call| call.provider);
    calls.extend(sent);
    match result {
        // Taken in: a notification, or asking again, tells the rest.
        Ok(Decided { transaction_id, verdict: Verdict::Received }) => {
            let quiet_from = house.ctx.clock.now();
            let id = Some(transaction_id.as_str());
            park(house, &row, State::Unknown, quiet_from, id, &calls).await
        }
        Ok(decided) => settle(house, &row, provider, &decided, &calls).await,
        Err(Trouble::Refused { code, .. }) => {
            let verdict = Verdict::Declined(code);
            let decided = Decided { transaction_id: String::new(), verdict };
            settle(house, &row, provider, &decided, &calls).await
        }
        Err(Trouble::Unknown(_)) => {
            let quiet_from = house.ctx.clock.now();
            match look(house, &row, calls).await? {
                Looked::Settled(state) => Ok(state),
                Looked::Nothing(calls) | Looked::Silent(calls) => {
                    park(house, &row, State::Unknown, quiet_from, None, &calls).await
                }
            }
        }
        Err(Trouble::NotSent { .. } | Trouble::Undone(_)) => {
            park(house, &row, waiting(&row), row.quiet_from, None, &calls).await
        }
    }
}

/// What was unknown before a try that certainly failed is unknown after it.
fn waiting(row: &RefundRow) -> State {
    match row.state {
        State::Unknown => State::Unknown,
        _ => State::Waiting,
    }
}

enum Looked {
    Settled(State),
    Nothing(Vec<CallRow>),
    Silent(Vec<CallRow>),
}

fn answers(house: &House, row: &RefundRow) -> bool {
    house.gateways.find(&row.provider).is_none_or(|g| g.answers_questions())
}

/// Asks what became of a refund, and settles it when that is known.
async fn look(house: &House, row: &RefundRow, mut calls: Vec<CallRow>) -> anyhow::Result<Looked> {
    if !answers(house, row) {
        return Ok(Looked::Silent(calls));
    }
    let (answer, asked) = house.gateways.transactions(&row.provider, row.order_id).await;
    let provider = asked.last().map_or("soap", |call| call.provider);
    calls.extend(asked);
    let Ok(list) = answer else { return Ok(Looked::Silent(calls)) };
    let mut connection = house.connection().await?;
    let taken = store::taken_transactions(&mut connection, row.order_id, row.refund_id.0).await?;
    drop(connection);
    let reference = row.refund_id.to_string();
    let wanted = Wanted {
        kind: TransactionKind::Refund,
        reference: &reference,
        money: row.money(),
        taken: &taken.into_iter().collect(),
    };
    match find(&list, &wanted) {
        Finding::Found(t) if t.verdict == Verdict::Received => Ok(Looked::Silent(calls)),
        Finding::Found(transaction) => {
            let (transaction_id, verdict) = (transaction.transaction_id, transaction.verdict);
            let decided = Decided { transaction_id, verdict };
            settle(house, row, provider, &decided, &calls).await.map(Looked::Settled)
        }
        Finding::Nothing => Ok(Looked::Nothing(calls)),
        Finding::WrongAmount(transaction) => {
            let (refund_id, transaction_id) = (row.refund_id, &transaction.transaction_id);
            tracing::error!(%refund_id, transaction_id, "the provider refunded another amount");
            mark_mismatch(&mut calls, transaction_id);
            Ok(Looked::Silent(calls))
        }
    }
}

async fn park(
    house: &House,
    row: &RefundRow,
    state: State,
    quiet_from: Timestamp,
    transaction_id: Option<&str>,
    calls: &[CallRow],
) -> anyhow::Result<State> {
    let due_at = house.ctx.clock.now().plus(ask_again_after(row.asks));
    let mut tx = house.ctx.pool.begin().await?;
    let id = row.refund_id;
    refunds::park(&mut tx, id, house.owner, state, quiet_from, due_at, transaction_id).await?;
    store::add_calls(&mut tx, row.refund_id.0, calls).await?;
    tx.commit().await?;
    Ok(state)
}

async fn settle(
    house: &House,
    row: &RefundRow,
    provider: &str,
    decided: &Decided,
    calls: &[CallRow],
) -> anyhow::Result<State> {
    let mut tx = house.ctx.pool.begin().await?;
    let settled = settle_in(house, &mut tx, row, provider, decided, calls).await?;
    tx.commit().await?;
    if let Some(state) = settled {
        return Ok(state);
    }
    let mut connection = house.connection().await?;
    let row = refunds::find(&mut connection, row.refund_id).await?;
    row.map(|r| r.state).ok_or_else(|| anyhow::anyhow!("the refund is gone"))
}

/// The same on a transaction of somebody else's; None when the outcome stands
/// already.
pub async fn settle_in(
    house: &House,
    tx: &mut PgConnection,
    row: &RefundRow,
    provider: &str,
    decided: &Decided,
    calls: &[CallRow],
) -> anyhow::Result<Option<State>> {
    let (succeeded, failure_code) = match &decided.verdict {
        Verdict::Approved => (true, None),
        Verdict::Declined(code) => (false, Some(code.as_str())),
        other => (false, Some(other.word())),
    };
    let settled = Settled {
        succeeded,
        provider,
        transaction_id: Some(decided.transaction_id.as_str()).filter(|id| !id.is_empty()),
        failure_code,
        now: house.ctx.clock.now(),
    };
    if !refunds::settle(tx, row.refund_id, &settled, calls).await? {
        return Ok(None);
    }
    if succeeded {
        let event = PaymentRefunded {
            order_id: row.order_id,
            payment_id: row.payment_id,
            refund_id: row.refund_id,
            amount: row.money().amount(),
            currency: row.currency,
            provider: provider.to_owned(),
        };
        house.ctx.outbox.append(tx, &event).await?;
    }
    let (order_id, refund_id) = (row.order_id, row.refund_id);
    if succeeded {
        tracing::info!(%order_id, %refund_id, provider, "refunded");
        Ok(Some(State::Succeeded))
    } else {
        tracing::error!(%order_id, %refund_id, provider, failure_code, "the provider refused a refund");
        Ok(Some(State::Failed))
    }
}

/// Goes on with a refund whose time has come. Money that is owed is never
/// given up: it is sent again as often as it takes, but never blindly.
pub async fn resume(house: &House, row: RefundRow) -> anyhow::Result<()> {
    let mut calls = Vec::new();
    if row.state != State::Waiting && !answers(house, &row) {
        // A repeat is the question; what is taken in waits for its notification.
        let now = house.ctx.clock.now();
        let settling = now < row.quiet_from.plus(house.settings.settlement_time());
        let too_old = now.since(row.created_at) >= REPEATS_FOR;
        if row.transaction_id.is_some() || settling || too_old {
            let state = State::Unknown;
            return park(house, &row, state, row.quiet_from, None, &calls).await.map(drop);
        }
    } else if row.state != State::Waiting {
        calls = match look(house, &row, Vec::new()).await? {
            Looked::Settled(_) => return Ok(()),
            Looked::Silent(calls) => {
                let quiet_from = row.quiet_from;
                return park(house, &row, State::Unknown, quiet_from, None, &calls).await.map(drop);
            }
            Looked::Nothing(calls) => calls,
        };
        let now = house.ctx.clock.now();
        let (quiet_from, created_at) = (row.quiet_from, row.created_at);
        let silence = Silence { now, quiet_from, created_at, sends: 0 };
        if after_silence(silence, house.patience(1)) == AfterSilence::AskAgain {
            return park(house, &row, State::Unknown, quiet_from, None, &calls).await.map(drop);
        }
    }
    let (claim, send_before) = house.claim();
    if refunds::claim_send(&house.ctx.pool, row.refund_id, &claim).await? {
        send(house, row, send_before, calls).await?;
    }
    Ok(())
}
