//! Charging: an attempt is recorded, sent, retried while that is safe, and
//! settled; what is sent without an answer is asked for before anything else.

use std::time::Instant;

use contracts::events::payments::{PaymentAuthorized, PaymentCaptured, PaymentFailed};
use platform::error::{ApiError, Failure, Kind};
use platform::outbox::NewEvent;
use platform::trace;
use shared_types::payments::PaymentStatus;
use shared_types::{AttemptId, Money, OrderId, PaymentId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::domain::{
    AfterSilence, Finding, Silence, Token, TransactionKind, Verdict, Wanted, after_silence, find,
};
use crate::house::{House, ask_again_after};
use crate::provider::{CallRow, Charge, Decided, Guarded, Trouble};
use crate::store;
use crate::store::attempts::{self, AttemptRow, NewAttempt, Settled, State};

/// What the saga asks for, checked.
pub struct Capture {
    pub attempt_id: AttemptId,
    pub order_id: OrderId,
    pub money: Money,
    pub token: Token,
}

/// What is known of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub state: State,
    pub payment_id: PaymentId,
    pub decline_code: Option<String>,
}

impl Known {
    fn of(row: &AttemptRow) -> Self {
        Known {
            state: row.state,
            payment_id: row.payment_id,
            decline_code: row.decline_code.clone(),
        }
    }
}

/// Why a capture is refused before anything is sent.
#[derive(Debug, thiserror::Error)]
pub enum CaptureRefused {
    #[error("the attempt id was used for another order or amount")]
    AttemptMismatch,
    #[error("another attempt for this order is not decided yet")]
    InProgress,
    #[error("this order's payment was captured or refunded before")]
    AlreadyDecided,
    #[error("too many payments are under way")]
    Busy,
}

impl Failure for CaptureRefused {
    fn kind(&self) -> Kind {
        match self {
            CaptureRefused::AttemptMismatch => Kind::Invalid,
            CaptureRefused::InProgress | CaptureRefused::AlreadyDecided => Kind::Refused,
            CaptureRefused::Busy => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            CaptureRefused::AttemptMismatch => "payments.attempt_mismatch",
            CaptureRefused::InProgress => "payments.in_progress",
            CaptureRefused::AlreadyDecided => "payments.already_decided",
            CaptureRefused::Busy => "payments.busy",
        }
    }
}

const TOKEN_COLUMN: &str = "payment_attempts.token";

/// Charges, and answers with what is known in time. The work goes on whether
/// or not anybody waits for it.
pub async fn capture(house: &House, input: Capture) -> Result<Known, ApiError> {
    let permit = house.running.clone().try_acquire_owned();
    let permit = permit.map_err(|_| CaptureRefused::Busy)?;
    let (claim, send_before) = house.claim();
    let context = trace::current();
    let token_sealed = house.ctx.cipher.seal(TOKEN_COLUMN, input.token.reveal())?;
    let new = NewAttempt {
        attempt_id: input.attempt_id,
        payment_id: house.ctx.ids.next(),
        order_id: input.order_id,
        money: input.money,
        token_sealed: &token_sealed,
        provider: house.gateways.primary.name(),
        owner: claim.owner,
        now: claim.now,
        quiet_from: claim.quiet_from,
        lease_until: claim.lease_until,
        trace_id: &context.trace_id,
        correlation_id: &context.correlation_id,
    };
    let Some(row) = attempts::begin(&house.ctx.pool, &new).await? else {
        drop(permit);
        return repeated(house, &input).await;
    };
    let pending = Known::of(&row);
    let answer = spawn(house, row, input.token, send_before, permit);
    match tokio::time::timeout(house.settings.answer_within(), answer).await {
        Ok(Ok(known)) => Ok(known),
        // Not decided in time, or the work was let go: reconciliation has it.
        _ => Ok(pending),
    }
}

/// Drives an attempt in a task of its own.
fn spawn(
    house: &House,
    row: AttemptRow,
    token: Token,
    send_before: Instant,
    permit: OwnedSemaphorePermit,
) -> oneshot::Receiver<Known> {
    let (answer, waiting) = oneshot::channel();
    let (working, context) = (house.clone(), store::trace_of(&row.trace_id, &row.correlation_id));
    house.ctx.lifecycle.spawn("payment attempt", async move {
        let known = trace::within(context, drive(&working, row, token, send_before)).await;
        drop(permit);
        // Nobody waits any more when the answer took too long.
        let _ = answer.send(known);
        Ok(())
    });
    waiting
}

/// An attempt that cannot begin: it did before, or the payment is not free.
async fn repeated(house: &House, input: &Capture) -> Result<Known, ApiError> {
    if let Some(row) = attempts::find(&house.ctx.pool, input.attempt_id).await? {
        if row.order_id != input.order_id || row.money() != input.money {
            return Err(CaptureRefused::AttemptMismatch.into());
        }
        return Ok(Known::of(&row));
    }
    let mut connection = house.connection().await?;
    let payment = store::find_payment_of_order(&mut connection, input.order_id).await?;
    let Some(payment) = payment else { return Err(CaptureRefused::InProgress.into()) };
    let same =
        payment.amount_minor == input.money.minor && payment.currency == input.money.currency;
    match payment.status {
        // The order's money is here: a second charge would be wrong.
        PaymentStatus::Captured if same => {
            Ok(Known { state: State::Captured, payment_id: payment.payment_id, decline_code: None })
        }
        PaymentStatus::Created | PaymentStatus::Declined | PaymentStatus::Processing => {
            Err(CaptureRefused::InProgress.into())
        }
        _ => Err(CaptureRefused::AlreadyDecided.into()),
    }
}

pub async fn find_attempt(house: &House, id: AttemptId) -> Result<Option<Known>, ApiError> {
    Ok(attempts::find(&house.ctx.pool, id).await?.as_ref().map(Known::of))
}

/// Sends until there is an answer, the tries are used up, or the outcome is
/// unknown. A failure of our own database leaves the attempt to reconciliation.
async fn drive(house: &House, row: AttemptRow, token: Token, send_before: Instant) -> Known {
    let pending = Known::of(&row);
    let attempt_id = row.attempt_id;
    match Driver::new(house, row, token).run(send_before).await {
        Ok(known) => known,
        Err(error) => {
            tracing::error!(%attempt_id, error = format!("{error:#}"), "an attempt is left to reconciliation");
            pending
        }
    }
}

struct Driver<'a> {
    house: &'a House,
    row: AttemptRow,
    charge: Charge,
    primary_sends: u32,
    fallback_sends: u32,
    /// No try of this attempt has left the process so far.
    nothing_left: bool,
    calls: Vec<CallRow>,
}

impl<'a> Driver<'a> {
    fn new(house: &'a House, row: AttemptRow, token: Token) -> Self {
        let charge = Charge {
            order_id: row.order_id,
            attempt_id: row.attempt_id,
            money: row.money(),
            token,
        };
        let primary_sends = u32::try_from(row.sends).unwrap_or(1).saturating_sub(1);
        let (fallback_sends, nothing_left, calls) = (0, true, Vec::new());
        Driver { house, row, charge, primary_sends, fallback_sends, nothing_left, calls }
    }

    async fn run(mut self, mut send_before: Instant) -> anyhow::Result<Known> {
        let gateways = &self.house.gateways;
        let mut gateway: &Guarded = &gateways.primary;
        let mut on_fallback = false;
        loop {
            match on_fallback {
                false => self.primary_sends += 1,
                true => self.fallback_sends += 1,
            }
            let (result, call) = gateway.charge(&self.charge, send_before).await;
            self.calls.push(call);
            let held_back = match result {
                Ok(decided) => return self.decided(gateway.name(), decided).await,
                Err(Trouble::Refused { code, .. }) => {
                    return self.ended(State::Declined, gateway.name(), None, Some(&code)).await;
                }
                Err(Trouble::Unknown(_)) => return self.ask().await,
                Err(Trouble::Undone(_)) => {
                    self.nothing_left = false;
                    false
                }
                Err(Trouble::NotSent { gate, .. }) => gate,
            };
            let (settings, lifecycle) = (&self.house.settings, &self.house.ctx.lifecycle);
            let used_up = match on_fallback {
                false => held_back || self.primary_sends >= settings.attempts,
                true => held_back || self.fallback_sends >= settings.fallback_attempts,
            };
            if used_up {
                // Only what certainly never left may go another way.
                let other = gateways.fallback.as_ref();
                let other = other.filter(|_| {
                    !on_fallback && self.nothing_left && settings.fallback_attempts > 0
                });
                let Some(other) = other else {
                    return self.ended(State::NotSent, gateway.name(), None, None).await;
                };
                (gateway, on_fallback) = (other, true);
            } else {
                let tries = if on_fallback { self.fallback_sends } else { self.primary_sends };
                if !lifecycle.sleep(settings.backoff().delay(tries)).await {
                    return self.ended(State::NotSent, gateway.name(), None, None).await;
                }
            }
            match self.claim(gateway.name()).await? {
                Some(deadline) => send_before = deadline,
                None => return Ok(Known::of(&self.row)),
            }
        }
    }

    /// Claims the next send and writes down the calls so far.
    async fn claim(&mut self, gateway: &str) -> anyhow::Result<Option<Instant>> {
        let (claim, deadline) = self.house.claim();
        let mut tx = self.house.ctx.pool.begin().await?;
        let ours = attempts::claim_send(&mut tx, self.row.attempt_id, gateway, &claim).await?;
        store::add_calls(&mut tx, self.row.attempt_id.0, &self.calls).await?;
        tx.commit().await?;
        self.calls.clear();
        Ok(ours.then_some(deadline))
    }

    async fn decided(self, provider: &str, decided: Decided) -> anyhow::Result<Known> {
        let id = Some(decided.transaction_id.as_str());
        match &decided.verdict {
            Verdict::Approved => self.ended(State::Captured, provider, id, None).await,
            Verdict::Declined(code) => self.ended(State::Declined, provider, id, Some(code)).await,
        }
    }

    async fn ended(
        self,
        state: State,
        provider: &str,
        transaction_id: Option<&str>,
        decline_code: Option<&str>,
    ) -> anyhow::Result<Known> {
        let now = self.house.ctx.clock.now();
        let settled = Settled { state, provider, transaction_id, decline_code, now };
        settle(self.house, &self.row, &settled, &self.calls).await
    }

    /// Sent without an answer: ask at once; what stays unknown is parked.
    async fn ask(self) -> anyhow::Result<Known> {
        let quiet_from = self.house.ctx.clock.now();
        match look(self.house, &self.row, self.calls).await? {
            Looked::Settled(known) => Ok(known),
            Looked::Nothing(calls) | Looked::Silent(calls) => {
                park(self.house, &self.row, quiet_from, &calls).await?;
                Ok(Known { state: State::Unknown, ..Known::of(&self.row) })
            }
        }
    }
}

/// What a question to the provider brought.
pub enum Looked {
    Settled(Known),
    /// The provider knows nothing of it.
    Nothing(Vec<CallRow>),
    /// No answer, or one that does not decide.
    Silent(Vec<CallRow>),
}

/// Asks what became of an attempt, and settles it when that is known.
pub async fn look(
    house: &House,
    row: &AttemptRow,
    mut calls: Vec<CallRow>,
) -> anyhow::Result<Looked> {
    let (answer, asked) = house.gateways.transactions(row.order_id).await;
    let provider = asked.last().map_or("soap", |call| call.provider);
    calls.extend(asked);
    let Ok(list) = answer else { return Ok(Looked::Silent(calls)) };
    let mut connection = house.connection().await?;
    let taken = store::taken_transactions(&mut connection, row.order_id, row.attempt_id.0).await?;
    drop(connection);
    let reference = row.attempt_id.to_string();
    let wanted = Wanted {
        kind: TransactionKind::Charge,
        reference: &reference,
        money: row.money(),
        taken: &taken.into_iter().collect(),
    };
    match find(&list, &wanted) {
        Finding::Found(transaction) => {
            let (state, code) = match &transaction.verdict {
                Verdict::Approved => (State::Captured, None),
                Verdict::Declined(code) => (State::Declined, Some(code.as_str())),
            };
            let (now, id) = (house.ctx.clock.now(), Some(transaction.transaction_id.as_str()));
            let settled = Settled { state, provider, transaction_id: id, decline_code: code, now };
            settle(house, row, &settled, &calls).await.map(Looked::Settled)
        }
        Finding::Nothing => Ok(Looked::Nothing(calls)),
        Finding::WrongAmount(transaction) => {
            let (attempt_id, transaction_id) = (row.attempt_id, &transaction.transaction_id);
            tracing::error!(%attempt_id, transaction_id, "the provider charged another amount");
            Ok(Looked::Silent(calls))
        }
    }
}

/// Leaves an attempt to be asked for later.
pub async fn park(
    house: &House,
    row: &AttemptRow,
    quiet_from: Timestamp,
    calls: &[CallRow],
) -> anyhow::Result<()> {
    let due_at = house.ctx.clock.now().plus(ask_again_after(row.asks));
    let mut tx = house.ctx.pool.begin().await?;
    attempts::park(&mut tx, row.attempt_id, house.owner, quiet_from, due_at).await?;
    store::add_calls(&mut tx, row.attempt_id.0, calls).await?;
    tx.commit().await?;
    Ok(())
}

/// Writes the outcome and its events, once.
pub async fn settle(
    house: &House,
    row: &AttemptRow,
    settled: &Settled<'_>,
    calls: &[CallRow],
) -> anyhow::Result<Known> {
    let mut tx = house.ctx.pool.begin().await?;
    let first = attempts::settle(&mut tx, row.attempt_id, settled, calls).await?;
    if first {
        let events = events(house, row, settled)?;
        house.ctx.outbox.append_all(&mut tx, events).await?;
    }
    tx.commit().await?;
    if !first {
        let row = attempts::find(&house.ctx.pool, row.attempt_id).await?;
        return row.as_ref().map(Known::of).ok_or_else(|| anyhow::anyhow!("the attempt is gone"));
    }
    tracing::info!(
        order_id = %row.order_id, attempt_id = %row.attempt_id, provider = settled.provider,
        state = ?settled.state, "payment attempt settled"
    );
    Ok(Known {
        state: settled.state,
        payment_id: row.payment_id,
        decline_code: settled.decline_code.map(str::to_owned),
    })
}

/// Nothing is published for what was never sent: the saga has its answer.
fn events(
    house: &House,
    row: &AttemptRow,
    settled: &Settled<'_>,
) -> Result<Vec<NewEvent>, serde_json::Error> {
    let ids = &house.ctx.ids;
    let (order_id, payment_id) = (row.order_id, row.payment_id);
    let (amount, currency) = (row.money().amount(), row.currency);
    let provider = settled.provider.to_owned();
    Ok(match settled.state {
        State::Captured => {
            let authorized = PaymentAuthorized {
                order_id,
                payment_id,
                amount,
                currency,
                provider: provider.clone(),
            };
            let captured = PaymentCaptured { order_id, payment_id, amount, currency, provider };
            vec![NewEvent::of(ids, &authorized)?, NewEvent::of(ids, &captured)?]
        }
        State::Declined => {
            let code = settled.decline_code.unwrap_or("card_declined").to_owned();
            let is_final = false;
            let failed =
                PaymentFailed { order_id, payment_id, amount, currency, provider, code, is_final };
            vec![NewEvent::of(ids, &failed)?]
        }
        State::Running | State::Unknown | State::NotSent => Vec::new(),
    })
}

/// Goes on with an attempt whose time has come: asks first, and sends again
/// only what is certainly not charged.
pub async fn resume(house: &House, row: AttemptRow) -> anyhow::Result<()> {
    let calls = match look(house, &row, Vec::new()).await? {
        Looked::Settled(_) => return Ok(()),
        Looked::Silent(calls) => return park(house, &row, row.quiet_from, &calls).await,
        Looked::Nothing(calls) => calls,
    };
    let silence = Silence {
        now: house.ctx.clock.now(),
        quiet_from: row.quiet_from,
        created_at: row.created_at,
        sends: u32::try_from(row.sends).unwrap_or(u32::MAX),
    };
    match after_silence(silence, house.patience(house.settings.attempts)) {
        AfterSilence::AskAgain => park(house, &row, row.quiet_from, &calls).await,
        AfterSilence::SendAgain => send_again(house, row, calls).await,
        AfterSilence::GiveUp => {
            let settled = Settled {
                state: State::NotSent,
                provider: &row.provider,
                transaction_id: None,
                decline_code: None,
                now: silence.now,
            };
            settle(house, &row, &settled, &calls).await.map(drop)
        }
    }
}

async fn send_again(house: &House, row: AttemptRow, calls: Vec<CallRow>) -> anyhow::Result<()> {
    let sealed = row.token_sealed.as_deref().ok_or_else(|| anyhow::anyhow!("no token"))?;
    let token = Token::parse(&house.ctx.cipher.open(TOKEN_COLUMN, sealed)?)?;
    let mut driver = Driver::new(house, row, token);
    driver.calls = calls;
    driver.primary_sends = u32::try_from(driver.row.sends).unwrap_or(u32::MAX);
    let name = house.gateways.primary.name();
    match driver.claim(name).await? {
        Some(send_before) => driver.run(send_before).await.map(drop),
        None => Ok(()),
    }
}
