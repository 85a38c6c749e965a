//! Driving an attempt: sent, retried while that is safe, failed over only when
//! nothing can have arrived; what is sent without an answer is asked for before
//! anything else.

use std::time::{Duration, Instant};

use shared_types::Timestamp;
use shared_types::payments::Purpose;

use crate::capture::{Known, NOTHING, Outcome, Replayed, settle};
use crate::domain::{
    AfterSilence, Finding, Silence, Token, Transaction, TransactionKind, Verdict, Wanted,
    after_silence, find,
};
use crate::house::{House, ask_again_after};
use crate::provider::{CallRow, Charge, Decided, FollowUp, Gateways, Guarded, Trouble};
use crate::reconcile::mark_mismatch;
use crate::store;
use crate::store::attempts::{self, AttemptRow, Operation, State};

/// Sends until there is an answer, the tries are used up, or the outcome is
/// unknown. A failure of our own database leaves the attempt to reconciliation.
pub async fn drive(
    house: &House,
    row: AttemptRow,
    token: Option<Token>,
    send_before: Instant,
) -> Known {
    let pending = Known::of(&row);
    let attempt_id = row.attempt_id;
    let driven = match Driver::new(house, row, token) {
        Ok(driver) => driver.run(send_before).await,
        Err(error) => Err(error),
    };
    driven.unwrap_or_else(|error| {
        tracing::error!(%attempt_id, error = format!("{error:#}"), "an attempt is left to reconciliation");
        pending
    })
}

/// What is sent.
enum Move {
    Charge(Charge),
    Capture(FollowUp),
    Void(FollowUp),
}

impl Move {
    fn of(row: &AttemptRow, token: Option<Token>) -> anyhow::Result<Self> {
        Ok(match row.operation {
            Operation::Charge => Move::Charge(Charge {
                order_id: row.order_id,
                attempt_id: row.attempt_id,
                money: row.money(),
                token: token.ok_or_else(|| anyhow::anyhow!("a charge without token"))?,
                manual: row.manual,
                return_url: row.return_url.clone(),
            }),
            Operation::Capture => Move::Capture(follow_up(row)),
            Operation::Void => Move::Void(follow_up(row)),
        })
    }

    async fn send(
        &self,
        gateway: &Guarded,
        send_before: Instant,
    ) -> (Result<Decided, Trouble>, CallRow) {
        match self {
            Move::Charge(charge) => gateway.charge(charge, send_before).await,
            Move::Capture(step) => gateway.capture(step, send_before).await,
            Move::Void(step) => gateway.void(step, send_before).await,
        }
    }
}

/// The step of an attempt that follows an authorisation.
pub fn follow_up(row: &AttemptRow) -> FollowUp {
    let transaction_id = row.authorization_id.as_ref().or(row.transaction_id.as_ref());
    FollowUp {
        order_id: row.order_id,
        attempt_id: row.attempt_id,
        transaction_id: transaction_id.cloned().unwrap_or_default(),
        money: row.money(),
    }
}

struct Driver<'a> {
    house: &'a House,
    row: AttemptRow,
    what: Move,
    /// Preferred first; an attempt that goes on starts within its ledger.
    route: Vec<&'a Guarded>,
    at: usize,
    /// Through the present provider.
    sends: u32,
    /// No try of this attempt has left the process so far.
    nothing_left: bool,
    /// An earlier try may have arrived: only an answer ends the attempt.
    may_have_arrived: bool,
    calls: Vec<CallRow>,
}

impl<'a> Driver<'a> {
    fn new(house: &'a House, row: AttemptRow, token: Option<Token>) -> anyhow::Result<Self> {
        let what = Move::of(&row, token)?;
        let gateways = &house.gateways;
        let route = match row.operation {
            Operation::Charge => {
                let mut route = gateways.route(row.purpose, row.currency, &row.method, row.manual);
                let first =
                    route.iter().position(|g| Gateways::share_ledger(g.name(), &row.provider));
                route.drain(..first.unwrap_or(0));
                route
            }
            // Only the provider that authorised knows of it.
            Operation::Capture | Operation::Void => {
                gateways.find(&row.provider).into_iter().collect()
            }
        };
        anyhow::ensure!(!route.is_empty(), "no provider for the attempt is switched on");
        let (at, sends) = (0, u32::try_from(row.sends).unwrap_or(1).saturating_sub(1));
        Ok(Driver {
            house,
            row,
            what,
            route,
            at,
            sends,
            nothing_left: true,
            may_have_arrived: false,
            calls: Vec::new(),
        })
    }

    async fn run(mut self, mut send_before: Instant) -> anyhow::Result<Known> {
        loop {
            let gateway = self.route[self.at];
            self.sends += 1;
            let (result, call) = self.what.send(gateway, send_before).await;
            self.calls.push(call);
            let held_back = match result {
                Ok(decided) => return self.decided(gateway.name(), decided).await,
                Err(Trouble::Refused { code, .. }) => {
                    let outcome = Outcome { decline_code: Some(&code), ..NOTHING };
                    return self.ended(State::Declined, gateway.name(), outcome).await;
                }
                Err(Trouble::Unknown(_)) => return self.ask().await,
                Err(Trouble::Undone(_)) => {
                    self.nothing_left = false;
                    false
                }
                Err(Trouble::NotSent { gate, .. }) => gate,
            };
            let (settings, lifecycle) = (&self.house.settings, &self.house.ctx.lifecycle);
            let limit = if self.at == 0 { settings.attempts } else { settings.fallback_attempts };
            if held_back || self.sends >= limit {
                if !self.fail_over(gateway.name()) {
                    return self.unsent(gateway.name()).await;
                }
            } else if !lifecycle.sleep(settings.backoff().delay(self.sends)).await {
                return self.unsent(gateway.name()).await;
            }
            match self.claim(self.route[self.at].name()).await? {
                Some(deadline) => send_before = deadline,
                None => return Ok(Known::of(&self.row)),
            }
        }
    }

    /// Only what certainly never left may go another way.
    fn fail_over(&mut self, from: &'static str) -> bool {
        let allowed = self.nothing_left
            && !self.may_have_arrived
            && self.house.settings.fallback_attempts > 0
            && self.at + 1 < self.route.len();
        if allowed {
            self.at += 1;
            self.sends = 0;
            let to = self.route[self.at].name();
            metrics::counter!("payment_fallbacks_total", "from" => from, "to" => to).increment(1);
        }
        allowed
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

    async fn decided(self, provider: &'static str, decided: Decided) -> anyhow::Result<Known> {
        self.house.share.note(self.at > 0);
        let Some(outcome) = outcome_of(&self.row, provider, &decided) else {
            // Taken in: a notification, or asking again, tells the rest.
            let now = self.house.ctx.clock.now();
            let id = Some(decided.transaction_id.as_str()).filter(|id| !id.is_empty());
            park(self.house, &self.row, now, id, &self.calls).await?;
            return Ok(Known { state: State::Unknown, ..Known::of(&self.row) });
        };
        match settle(self.house, &self.row, &outcome, &self.calls).await {
            // Somebody else's answer says nothing about this attempt.
            Err(error) if error.is::<Replayed>() => {
                tracing::error!(attempt_id = %self.row.attempt_id, provider, "{error}");
                self.ask().await
            }
            other => other,
        }
    }

    async fn ended(
        self,
        state: State,
        provider: &str,
        outcome: Outcome<'_>,
    ) -> anyhow::Result<Known> {
        let outcome = Outcome { state, provider, ..outcome };
        settle(self.house, &self.row, &outcome, &self.calls).await
    }

    /// The tries are used up. That is the end only when none can have arrived.
    async fn unsent(self, provider: &'static str) -> anyhow::Result<Known> {
        if self.may_have_arrived {
            park(self.house, &self.row, self.row.quiet_from, None, &self.calls).await?;
            return Ok(Known { state: State::Unknown, ..Known::of(&self.row) });
        }
        self.ended(State::NotSent, provider, NOTHING).await
    }

    /// Sent without an answer: ask at once; what stays unknown is parked.
    async fn ask(self) -> anyhow::Result<Known> {
        let quiet_from = self.house.ctx.clock.now();
        match look(self.house, &self.row, self.calls).await? {
            Looked::Settled(known) => Ok(known),
            Looked::Nothing(calls) | Looked::Silent(calls) => {
                park(self.house, &self.row, quiet_from, None, &calls).await?;
                Ok(Known { state: State::Unknown, ..Known::of(&self.row) })
            }
        }
    }
}

/// What an answer means for an attempt; None when it does not decide.
pub fn outcome_of<'a>(
    row: &AttemptRow,
    provider: &'a str,
    decided: &'a Decided,
) -> Option<Outcome<'a>> {
    let id = Some(decided.transaction_id.as_str()).filter(|id| !id.is_empty());
    let base = Outcome { provider, transaction_id: id, ..NOTHING };
    let of = |state| Some(Outcome { state, ..base });
    let declined =
        |code: &'a str| Some(Outcome { state: State::Declined, decline_code: Some(code), ..base });
    match (row.operation, &decided.verdict) {
        (_, Verdict::Received) => None,
        (Operation::Charge, Verdict::Approved) => of(State::Captured),
        (Operation::Charge, Verdict::Authorized) => of(State::Authorized),
        (Operation::Charge, Verdict::Canceled) => declined("canceled"),
        // Nobody follows where no buyer comes back from.
        (Operation::Charge, Verdict::ActionRequired(url))
            if url.is_empty() || row.purpose == Purpose::Order =>
        {
            declined("requires_action")
        }
        (Operation::Charge, Verdict::ActionRequired(url)) => {
            Some(Outcome { state: State::RequiresAction, next_action_url: Some(url), ..base })
        }
        (Operation::Capture, Verdict::Approved) => of(State::Captured),
        (Operation::Capture, Verdict::Canceled) => declined("canceled"),
        (Operation::Void, Verdict::Canceled) => of(State::Voided),
        (Operation::Void, Verdict::Approved) => {
            let outcome = declined("already_captured")?;
            Some(Outcome { captured_meanwhile: true, ..outcome })
        }
        (_, Verdict::Declined(code)) => declined(code),
        // Neither captured nor voided: asked again.
        (Operation::Capture | Operation::Void, _) => None,
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
    if house.gateways.find(&row.provider).is_some_and(|g| !g.answers_questions()) {
        return Ok(Looked::Silent(calls));
    }
    let (answer, asked) = house.gateways.transactions(&row.provider, row.order_id).await;
    let provider = asked.last().map_or("soap", |call| call.provider);
    calls.extend(asked);
    let Ok(list) = answer else { return Ok(Looked::Silent(calls)) };
    let finding = match row.operation {
        Operation::Charge => {
            let mut connection = house.connection().await?;
            let taken =
                store::taken_transactions(&mut connection, row.order_id, row.attempt_id.0).await?;
            drop(connection);
            let reference = row.attempt_id.to_string();
            let wanted = Wanted {
                kind: TransactionKind::Charge,
                reference: &reference,
                money: row.money(),
                taken: &taken.into_iter().collect(),
            };
            find(&list, &wanted)
        }
        Operation::Capture | Operation::Void => step_found(row, &list),
    };
    match finding {
        Finding::Found(transaction) => {
            let verdict = transaction.verdict;
            let decided = Decided { transaction_id: transaction.transaction_id, verdict };
            let Some(outcome) = outcome_of(row, provider, &decided) else {
                return Ok(Looked::Silent(calls));
            };
            settle(house, row, &outcome, &calls).await.map(Looked::Settled)
        }
        Finding::Nothing => Ok(Looked::Nothing(calls)),
        Finding::WrongAmount(transaction) => {
            let (attempt_id, transaction_id) = (row.attempt_id, &transaction.transaction_id);
            tracing::error!(%attempt_id, transaction_id, "the provider charged another amount");
            mark_mismatch(&mut calls, transaction_id);
            Ok(Looked::Silent(calls))
        }
    }
}

/// What the list says about a capture or void: whether the authorisation has
/// changed.
fn step_found(row: &AttemptRow, list: &[Transaction]) -> Finding {
    let authorized = row.authorization_id.as_deref();
    let same = |t: &&Transaction| {
        t.kind == TransactionKind::Charge && Some(t.transaction_id.as_str()) == authorized
    };
    let Some(found) = list.iter().find(same) else { return Finding::Nothing };
    match found.verdict {
        Verdict::Authorized | Verdict::ActionRequired(_) => Finding::Nothing,
        Verdict::Approved if row.operation == Operation::Capture && found.money != row.money() => {
            Finding::WrongAmount(found.clone())
        }
        _ => Finding::Found(found.clone()),
    }
}

/// Leaves an attempt to be asked for later.
pub async fn park(
    house: &House,
    row: &AttemptRow,
    quiet_from: Timestamp,
    transaction_id: Option<&str>,
    calls: &[CallRow],
) -> anyhow::Result<()> {
    let now = house.ctx.clock.now();
    // The first answer that decides comes when the gateway has settled.
    let settled = quiet_from.plus(house.settings.settlement_time());
    let due_at = match now.plus(ask_again_after(row.asks)) {
        later if now < settled && settled < later => settled,
        due_at => due_at,
    };
    let mut tx = house.ctx.pool.begin().await?;
    let id = row.attempt_id;
    attempts::park(&mut tx, id, house.owner, quiet_from, due_at, transaction_id).await?;
    store::add_calls(&mut tx, id.0, calls).await?;
    tx.commit().await?;
    Ok(())
}

/// How long a provider gives its first answer again to the same reference, less
/// a day.
pub const REPEATS_FOR: Duration = Duration::from_secs(6 * 24 * 3600);

/// Goes on with an attempt whose time has come: asks first, and sends again
/// only what is certainly not charged.
pub async fn resume(house: &House, row: AttemptRow) -> anyhow::Result<()> {
    let now = house.ctx.clock.now();
    if house.gateways.find(&row.provider).is_some_and(|g| !g.answers_questions()) {
        return repeat(house, row, now).await;
    }
    let calls = match look(house, &row, Vec::new()).await? {
        Looked::Settled(_) => return Ok(()),
        Looked::Silent(calls) => return park(house, &row, row.quiet_from, None, &calls).await,
        Looked::Nothing(calls) => calls,
    };
    let silence = Silence {
        now: house.ctx.clock.now(),
        quiet_from: row.quiet_from,
        created_at: row.created_at,
        sends: u32::try_from(row.sends).unwrap_or(u32::MAX),
    };
    match after_silence(silence, house.patience(house.settings.attempts)) {
        AfterSilence::AskAgain => park(house, &row, row.quiet_from, None, &calls).await,
        AfterSilence::SendAgain => send_again(house, row, calls, false).await,
        AfterSilence::GiveUp => {
            let provider = row.provider.clone();
            let outcome = Outcome { provider: &provider, ..NOTHING };
            settle(house, &row, &outcome, &calls).await.map(drop)
        }
    }
}

/// A provider that cannot be asked answers a repeat as it answered the first:
/// the repeat is the question. What it has taken in waits for its notification,
/// and what is too old for a person.
async fn repeat(house: &House, row: AttemptRow, now: Timestamp) -> anyhow::Result<()> {
    let settling = now < row.quiet_from.plus(house.settings.settlement_time());
    let too_old = now.since(row.created_at) >= REPEATS_FOR;
    if row.transaction_id.is_some() || settling || too_old {
        return park(house, &row, row.quiet_from, None, &[]).await;
    }
    send_again(house, row, Vec::new(), true).await
}

async fn send_again(
    house: &House,
    row: AttemptRow,
    calls: Vec<CallRow>,
    may_have_arrived: bool,
) -> anyhow::Result<()> {
    let token = match &row.token_sealed {
        Some(sealed) => Some(house.vault.open(row.token_key.as_deref(), sealed)?),
        None => None,
    };
    let mut driver = Driver::new(house, row, token)?;
    driver.calls = calls;
    driver.may_have_arrived = may_have_arrived;
    driver.sends = match may_have_arrived {
        true => 0,
        false => u32::try_from(driver.row.sends).unwrap_or(u32::MAX),
    };
    let name = driver.route[0].name();
    match driver.claim(name).await? {
        Some(send_before) => driver.run(send_before).await.map(drop),
        None => Ok(()),
    }
}
