//! Charging: an attempt is checked for risk, recorded, and driven; its outcome
//! is written with its events, once.

use std::time::{Duration, Instant};

use contracts::events::payments::{PaymentAuthorized, PaymentCaptured, PaymentFailed};
use platform::error::{ApiError, Failure, Kind};
use platform::outbox::NewEvent;
use platform::telemetry::{self, SpanKind};
use platform::trace;
use shared_types::payments::{PaymentStatus, Purpose};
use shared_types::{AttemptId, Money, OrderId, PaymentId};
use sqlx::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::domain::Token;
use crate::domain::risk::{self, Facts, Risk};
use crate::drive::drive;
use crate::house::House;
use crate::provider::CallRow;
use crate::store;
use crate::store::attempts::{
    self, AttemptRow, Becomes, Claim, NewAttempt, Operation, Settled, State,
};

/// What is to be charged, checked.
pub struct Capture {
    pub attempt_id: AttemptId,
    /// Of an intent that stands already; an order's payment is made here.
    pub payment_id: Option<PaymentId>,
    pub order_id: OrderId,
    pub money: Money,
    pub token: Token,
    pub method: String,
    pub purpose: Purpose,
    /// Authorise only.
    pub manual: bool,
    /// Who pays, for the risk check: never a name.
    pub buyer: Option<String>,
    pub country: Option<String>,
    /// Where the buyer comes back to; without it nothing is asked of them.
    pub return_url: Option<String>,
    /// Of the request, so that its key is not used for another one.
    pub fingerprint: Option<[u8; 32]>,
}

/// What is known of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub state: State,
    pub payment_id: PaymentId,
    pub decline_code: Option<String>,
}

impl Known {
    pub fn of(row: &AttemptRow) -> Self {
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

/// What stands before anything is sent.
enum Gate {
    Open,
    /// A person decides.
    Review(&'static str),
    /// Declined without asking anybody.
    Refuse(&'static str),
}

/// Charges, and answers with what is known in time. The work goes on whether
/// or not anybody waits for it.
pub async fn capture(house: &House, input: Capture) -> Result<Known, ApiError> {
    let permit = house.running.clone().try_acquire_owned();
    let permit = permit.map_err(|_| CaptureRefused::Busy)?;
    let money = input.money;
    let route = house.gateways.route(input.purpose, money.currency, &input.method, input.manual);
    let token_hash = house.ctx.cipher.blind_index(TOKEN_HASH, input.token.reveal());
    let gate = match route.is_empty() {
        true => Gate::Refuse("method_not_accepted"),
        false => judge(house, &input, &token_hash).await?,
    };
    let (claim, send_before) = house.claim();
    let Some(row) = begin(house, &input, &token_hash, &gate, &claim).await? else {
        drop(permit);
        return repeated(house, &input).await;
    };
    let pending = Known::of(&row);
    match gate {
        Gate::Open => {}
        Gate::Review(reason) => {
            tracing::warn!(attempt_id = %row.attempt_id, reason, "a payment waits for a person");
            return Ok(pending);
        }
        Gate::Refuse(code) => {
            let provider = row.provider.clone();
            let outcome = Outcome { state: State::Declined, provider: &provider, ..NOTHING };
            let outcome = Outcome { decline_code: Some(code), ..outcome };
            return Ok(settle(house, &row, &outcome, &[]).await?);
        }
    }
    Ok(wait(house, pending, spawn(house, row, Some(input.token), send_before, permit)).await)
}

/// What is known in time. What is not decided then, or was let go, is left to
/// reconciliation.
pub async fn wait(house: &House, pending: Known, answer: oneshot::Receiver<Known>) -> Known {
    match tokio::time::timeout(house.settings.answer_within(), answer).await {
        Ok(Ok(known)) => known,
        _ => pending,
    }
}

/// Under which tokens are hashed, to count how often one is used.
const TOKEN_HASH: &str = "payment_attempts.token_hash";

/// The risk check. What it counts is read only when a limit needs it.
async fn judge(house: &House, input: &Capture, token_hash: &[u8]) -> Result<Gate, ApiError> {
    let rules = &house.settings.risk;
    if !rules.enabled {
        return Ok(Gate::Open);
    }
    let (mut same_token, mut same_buyer) = (0, 0);
    if rules.review_attempts > 0 || rules.refuse_attempts > 0 {
        let since = house.ctx.clock.now().minus(Duration::from_secs(rules.window_seconds));
        let buyer = input.buyer.as_deref();
        let counted = attempts::velocity(&house.ctx.pool, token_hash, buyer, since).await?;
        same_token = u32::try_from(counted.0).unwrap_or(u32::MAX);
        same_buyer = u32::try_from(counted.1).unwrap_or(u32::MAX);
    }
    let amount_major = risk::major(input.money.minor, input.money.currency.digits());
    let country = input.country.as_deref();
    let facts = Facts { same_token, same_buyer, amount_major, country };
    let (gate, verdict) = match rules.judge(&facts) {
        Risk::Allow => (Gate::Open, "allow"),
        Risk::Review(reason) => (Gate::Review(reason), "review"),
        Risk::Refuse(reason) => (Gate::Refuse(reason), "refuse"),
    };
    metrics::counter!("payment_risk_checks_total", "verdict" => verdict).increment(1);
    Ok(gate)
}

async fn begin(
    house: &House,
    input: &Capture,
    token_hash: &[u8],
    gate: &Gate,
    claim: &Claim,
) -> Result<Option<AttemptRow>, ApiError> {
    let context = trace::current();
    let (token_key, token_sealed) = house.vault.seal(&input.token)?;
    let route =
        house.gateways.route(input.purpose, input.money.currency, &input.method, input.manual);
    // What is refused was not sent either: it is written down like a review and
    // settled next, so that a crash between leaves it to a person.
    let risk_reason = match gate {
        Gate::Open => None,
        Gate::Review(reason) | Gate::Refuse(reason) => Some(*reason),
    };
    let new = NewAttempt {
        attempt_id: input.attempt_id,
        payment_id: input.payment_id.unwrap_or_else(|| house.ctx.ids.next()),
        order_id: input.order_id,
        money: input.money,
        method: &input.method,
        purpose: input.purpose,
        manual: input.manual,
        token_sealed: &token_sealed,
        token_key: token_key.as_deref(),
        token_hash: Some(token_hash),
        buyer: input.buyer.as_deref(),
        return_url: input.return_url.as_deref(),
        fingerprint: input.fingerprint.as_ref().map(|f| &f[..]),
        risk_reason,
        provider: route.first().map_or("soap", |gateway| gateway.name()),
        claim,
        trace_id: &context.trace_id,
        correlation_id: &context.correlation_id,
    };
    Ok(attempts::begin(&house.ctx.pool, &new).await?)
}

/// Drives an attempt in a task of its own.
pub fn spawn(
    house: &House,
    row: AttemptRow,
    token: Option<Token>,
    send_before: Instant,
    permit: OwnedSemaphorePermit,
) -> oneshot::Receiver<Known> {
    let (answer, waiting) = oneshot::channel();
    let (working, context) = (house.clone(), trace::current().child());
    house.ctx.lifecycle.spawn("payment attempt", async move {
        let span = telemetry::begin("payments", SpanKind::Internal, &context, || {
            "payment attempt".to_owned()
        });
        let known = trace::within(context, drive(&working, row, token, send_before)).await;
        span.end_with(false, || vec![("payment.state", format!("{:?}", known.state))]);
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

/// The provider named a charge that pays for another attempt.
#[derive(Debug, thiserror::Error)]
#[error("the answer names the charge of another attempt")]
pub struct Replayed;

/// How an attempt ended, in the words of its own operation.
#[derive(Clone, Copy)]
pub struct Outcome<'a> {
    pub state: State,
    pub provider: &'a str,
    pub transaction_id: Option<&'a str>,
    pub decline_code: Option<&'a str>,
    /// With [`State::RequiresAction`].
    pub next_action_url: Option<&'a str>,
    /// What a void found when it came too late.
    pub captured_meanwhile: bool,
}

/// To start an [`Outcome`] from.
pub const NOTHING: Outcome<'static> = Outcome {
    state: State::NotSent,
    provider: "",
    transaction_id: None,
    decline_code: None,
    next_action_url: None,
    captured_meanwhile: false,
};

/// What the payment becomes when an attempt of it ends so.
fn becomes<'a>(row: &'a AttemptRow, outcome: &Outcome<'a>) -> Becomes<'a> {
    let before = row.status_before.unwrap_or(PaymentStatus::Created);
    let (status, captured_minor, authorized_minor) = match (row.operation, outcome.state) {
        _ if outcome.captured_meanwhile => (PaymentStatus::Captured, Some(row.amount_minor), None),
        (Operation::Charge | Operation::Capture, State::Captured) => {
            (PaymentStatus::Captured, Some(row.amount_minor), None)
        }
        (Operation::Charge, State::Authorized) => {
            (PaymentStatus::Authorized, None, Some(row.amount_minor))
        }
        (Operation::Charge, State::RequiresAction) => (PaymentStatus::RequiresAction, None, None),
        (Operation::Charge, State::Declined) => (PaymentStatus::Declined, None, None),
        (Operation::Charge, _) => (PaymentStatus::Created, None, None),
        (Operation::Void, State::Voided) => (PaymentStatus::Canceled, None, Some(0)),
        (Operation::Capture | Operation::Void, _) => (before, None, None),
    };
    let named = matches!(row.operation, Operation::Charge)
        && matches!(outcome.state, State::Captured | State::Authorized | State::RequiresAction);
    Becomes {
        status,
        captured_minor,
        authorized_minor,
        transaction_id: outcome.transaction_id.filter(|_| named),
        next_action_url: outcome.next_action_url,
        if_undecided: row.operation != Operation::Charge
            && !matches!(outcome.state, State::Captured | State::Voided)
            && !outcome.captured_meanwhile,
    }
}

/// Writes the outcome and its events, once. Fails with [`Replayed`] when the
/// charge is accounted for already.
pub async fn settle(
    house: &House,
    row: &AttemptRow,
    outcome: &Outcome<'_>,
    calls: &[CallRow],
) -> anyhow::Result<Known> {
    let mut tx = house.ctx.pool.begin().await?;
    let known = settle_in(house, &mut tx, row, outcome, calls).await?;
    tx.commit().await?;
    match known {
        Some(known) => Ok(known),
        None => {
            let row = attempts::find(&house.ctx.pool, row.attempt_id).await?;
            row.as_ref().map(Known::of).ok_or_else(|| anyhow::anyhow!("the attempt is gone"))
        }
    }
}

/// The same on a transaction of somebody else's; None when the outcome stands
/// already.
pub async fn settle_in(
    house: &House,
    tx: &mut PgConnection,
    row: &AttemptRow,
    outcome: &Outcome<'_>,
    calls: &[CallRow],
) -> anyhow::Result<Option<Known>> {
    let settled = Settled {
        state: outcome.state,
        provider: outcome.provider,
        transaction_id: outcome.transaction_id,
        decline_code: outcome.decline_code,
        now: house.ctx.clock.now(),
        payment: becomes(row, outcome),
    };
    if outcome.state == State::Voided {
        // Attempts before their payment, as everybody locks them.
        attempts::end_action(tx, row.payment_id, settled.now).await?;
    }
    let first = match attempts::settle(tx, row.attempt_id, &settled, calls).await {
        Err(sqlx::Error::Database(e)) if e.is_unique_violation() => return Err(Replayed.into()),
        other => other?,
    };
    if !first {
        return Ok(None);
    }
    let events = events(house, row, outcome)?;
    house.ctx.outbox.append_all(tx, events).await?;
    metrics::counter!(
        "payments_settled_total",
        "provider" => outcome.provider.to_owned(), "state" => outcome.state.word()
    )
    .increment(1);
    tracing::info!(
        order_id = %row.order_id, attempt_id = %row.attempt_id, provider = outcome.provider,
        operation = row.operation.word(), state = outcome.state.word(), "payment attempt settled"
    );
    Ok(Some(Known {
        state: outcome.state,
        payment_id: row.payment_id,
        decline_code: outcome.decline_code.map(str::to_owned),
    }))
}

/// Nothing is published for what was never sent: the caller has its answer.
fn events(
    house: &House,
    row: &AttemptRow,
    outcome: &Outcome<'_>,
) -> Result<Vec<NewEvent>, serde_json::Error> {
    let ids = &house.ctx.ids;
    let (order_id, payment_id) = (row.order_id, row.payment_id);
    let (amount, currency) = (row.money().amount(), row.currency);
    let provider = || outcome.provider.to_owned();
    let authorized =
        || PaymentAuthorized { order_id, payment_id, amount, currency, provider: provider() };
    let captured =
        || PaymentCaptured { order_id, payment_id, amount, currency, provider: provider() };
    Ok(match (row.operation, outcome.state) {
        _ if outcome.captured_meanwhile => vec![NewEvent::of(ids, &captured())?],
        (Operation::Charge, State::Captured) => {
            vec![NewEvent::of(ids, &authorized())?, NewEvent::of(ids, &captured())?]
        }
        (Operation::Charge, State::Authorized) => vec![NewEvent::of(ids, &authorized())?],
        (Operation::Capture, State::Captured) => vec![NewEvent::of(ids, &captured())?],
        (Operation::Charge, State::Declined) => {
            let code = outcome.decline_code.unwrap_or("card_declined").to_owned();
            let (is_final, provider) = (false, provider());
            let failed =
                PaymentFailed { order_id, payment_id, amount, currency, provider, code, is_final };
            vec![NewEvent::of(ids, &failed)?]
        }
        _ => Vec::new(),
    })
}
