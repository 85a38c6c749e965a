//! What providers tell by themselves: verified, matched with what was asked of
//! them, and taken once.

mod signatures;
pub mod verify;

use http::HeaderMap;
use platform::ApiError;
use platform::error::Kind;
use shared_types::{AttemptId, Money, RefundId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::capture;
use crate::domain::{Verdict, masked};
use crate::drive::outcome_of;
use crate::house::House;
use crate::provider::Decided;
use crate::refund;
use crate::store;
use crate::store::attempts::{self, AttemptRow, Operation, State};
use crate::store::notifications::{self as told, Told};
use crate::store::refunds::{self, RefundRow};

use verify::{BadNotification, Item};

/// What became of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It decided something.
    Settled,
    /// It says what is known.
    Known,
    /// It is about nothing that is decided here.
    Ignored,
    /// It was taken before.
    Repeated,
}

impl Heard {
    fn row_word(self) -> &'static str {
        match self {
            Heard::Settled => "settled",
            Heard::Known | Heard::Repeated => "known",
            Heard::Ignored => "ignored",
        }
    }
}

/// What a notification is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A charge, or the capture or void of one.
    Attempt(AttemptId),
    Refund(RefundId),
    /// Something that nobody here waits for.
    Nothing,
}

/// A verified notification in our words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub provider: &'static str,
    /// The provider's name of it; a repeat has the same.
    pub id: String,
    pub event: String,
    pub about: About,
    pub transaction_id: String,
    /// None where the event carries none.
    pub money: Option<Money>,
    pub verdict: Verdict,
}

fn bad(error: &BadNotification) -> ApiError {
    let (code, detail) = match error {
        BadNotification::Malformed(_) => ("payments.webhook_malformed", "It cannot be read."),
        BadNotification::Signature => {
            ("payments.webhook_signature", "It is not signed by the provider.")
        }
        BadNotification::Stale => ("payments.webhook_stale", "It is too old or from the future."),
        BadNotification::Account => {
            let detail = "It is for another account.";
            return ApiError::new(Kind::Refused, "payments.webhook_mismatch", detail);
        }
    };
    ApiError::new(Kind::Unparseable, code, detail)
}

fn counted(provider: &'static str, outcome: &'static str) {
    metrics::counter!(
        "payment_notifications_total", "provider" => provider, "outcome" => outcome
    )
    .increment(1);
}

fn refused(provider: &'static str, error: BadNotification) -> ApiError {
    counted(provider, "refused");
    // Not signed yet: what it says may be anybody's words.
    let why = masked(&error.to_string());
    tracing::warn!(provider, error = why, "a notification was refused");
    bad(&error)
}

fn switched_off() -> ApiError {
    ApiError::not_found("payments.webhook_unknown")
}

/// One event of Stripe's.
pub async fn stripe(house: &House, headers: &HeaderMap, body: &[u8]) -> Result<Heard, ApiError> {
    let settings = &house.settings.stripe;
    if !settings.enabled {
        return Err(switched_off());
    }
    let header = headers.get("stripe-signature").and_then(|v| v.to_str().ok()).unwrap_or("");
    let now = house.ctx.clock.now().unix_millis() / 1_000;
    let tolerance = i64::try_from(settings.webhook_tolerance_seconds).unwrap_or(300);
    let verified = verify::stripe(&settings.webhook_secrets, header, body, now, tolerance);
    let notice = verified
        .and_then(|()| verify::stripe_event(body))
        .map_err(|error| refused("stripe", error))?;
    hear(house, &notice).await
}

/// A batch of Adyen's: all of it is verified before any of it counts.
pub async fn adyen(house: &House, body: &[u8]) -> Result<(), ApiError> {
    let settings = &house.settings.adyen;
    if !settings.enabled {
        return Err(switched_off());
    }
    let verified: Result<Vec<Item>, _> =
        verify::adyen(&settings.hmac_keys, &settings.merchant_account, body);
    let items = verified.map_err(|error| refused("adyen", error))?;
    let notices: Result<Vec<Notice>, _> = items.iter().map(verify::adyen_item).collect();
    for notice in notices.map_err(|error| refused("adyen", error))? {
        hear(house, &notice).await?;
    }
    Ok(())
}

/// Takes a notification with what it decides, in one transaction.
async fn hear(house: &House, notice: &Notice) -> Result<Heard, ApiError> {
    let mut tx = house.ctx.pool.begin().await?;
    if told::is_known(&mut tx, notice.provider, &notice.id).await? {
        counted(notice.provider, "repeated");
        return Ok(Heard::Repeated);
    }
    let (subject, heard) = match &notice.about {
        About::Attempt(id) => (Some(id.0), attempt(house, &mut tx, notice, *id).await?),
        About::Refund(id) => (Some(id.0), giveback(house, &mut tx, notice, *id).await?),
        About::Nothing => (None, Heard::Ignored),
    };
    let message = masked(&format!("{} {}", notice.transaction_id, notice.verdict.word()));
    let row = Told {
        provider: notice.provider,
        notification_id: &notice.id,
        event: &notice.event,
        subject,
        outcome: heard.row_word(),
        message: &message,
        now: house.ctx.clock.now(),
    };
    if !told::take(&mut tx, &row).await? {
        // The same at the same moment: the other one counts.
        tx.rollback().await?;
        counted(notice.provider, "repeated");
        return Ok(Heard::Repeated);
    }
    tx.commit().await?;
    counted(notice.provider, heard.row_word());
    tracing::info!(
        provider = notice.provider, event = notice.event, subject = ?subject, outcome = heard.row_word(),
        "a notification was taken"
    );
    Ok(heard)
}

fn refuse(notice: &Notice, subject: Uuid, code: &'static str, why: &str) -> ApiError {
    let (provider, event) = (notice.provider, &notice.event);
    counted(provider, "refused");
    tracing::error!(provider, event, %subject, code, why, "a notification was refused");
    let kind = match code {
        "payments.webhook_unknown" => Kind::NotFound,
        "payments.webhook_conflict" => Kind::Conflict,
        _ => Kind::Refused,
    };
    ApiError::new(kind, code, why)
}

const UNKNOWN: &str = "payments.webhook_unknown";
const MISMATCH: &str = "payments.webhook_mismatch";
const CONFLICT: &str = "payments.webhook_conflict";

async fn attempt(
    house: &House,
    tx: &mut PgConnection,
    notice: &Notice,
    id: AttemptId,
) -> Result<Heard, ApiError> {
    let refuse = |code, why| Err(refuse(notice, id.0, code, why));
    let Some(row) = attempts::lock(tx, id).await? else {
        return refuse(UNKNOWN, "There is no such payment.");
    };
    if row.provider != notice.provider {
        return refuse(MISMATCH, "The payment went through another provider.");
    }
    if notice.money.is_some_and(|money| money.currency != row.currency) {
        return refuse(MISMATCH, "The payment has another currency.");
    }
    if notice.money.is_some_and(|money| money != row.money()) {
        return refuse(MISMATCH, "The payment is of another amount.");
    }
    let mut verdict = notice.verdict.clone();
    // An authorisation is a charge unless the capture is still to come.
    if verdict == Verdict::Approved && row.manual && row.operation == Operation::Charge {
        verdict = Verdict::Authorized;
    }
    let decided = Decided { transaction_id: notice.transaction_id.clone(), verdict };
    let Some(outcome) = outcome_of(&row, notice.provider, &decided) else {
        return Ok(Heard::Ignored);
    };
    match row.state {
        State::Running | State::Unknown | State::RequiresAction => {
            let known = capture::settle_in(house, tx, &row, &outcome, &[]).await?;
            Ok(if known.is_some() { Heard::Settled } else { Heard::Known })
        }
        state if state == outcome.state => Ok(Heard::Known),
        // What comes after an authorisation is told about its own attempt.
        State::Authorized if outcome.state == State::Captured => Ok(Heard::Known),
        _ if later_steps(&row, outcome.state) => Ok(Heard::Known),
        _ => refuse(CONFLICT, "It contradicts what is settled; a person has to look."),
    }
}

/// Old news about a charge that has gone on since.
fn later_steps(row: &AttemptRow, told: State) -> bool {
    matches!(
        (row.state, told),
        (State::Captured, State::Authorized | State::RequiresAction)
            | (State::Authorized | State::Declined, State::RequiresAction)
            // An authorisation given up is not a charge that was declined.
            | (State::Authorized, State::Declined)
    )
}

async fn giveback(
    house: &House,
    tx: &mut PgConnection,
    notice: &Notice,
    id: RefundId,
) -> Result<Heard, ApiError> {
    let refuse = |code, why| Err(refuse(notice, id.0, code, why));
    let Some(row): Option<RefundRow> = refunds::lock(tx, id).await? else {
        return refuse(UNKNOWN, "There is no such refund.");
    };
    if row.provider != notice.provider {
        return refuse(MISMATCH, "The refund went through another provider.");
    }
    if notice.money.is_some_and(|money| money.currency != row.currency) {
        return refuse(MISMATCH, "The refund has another currency.");
    }
    if notice.money.is_some_and(|money| money != row.money()) {
        return refuse(MISMATCH, "The refund is of another amount.");
    }
    let succeeded = match &notice.verdict {
        Verdict::Approved => true,
        Verdict::Declined(_) => false,
        _ => return Ok(Heard::Ignored),
    };
    match (row.state, succeeded) {
        (refunds::State::Succeeded, true) | (refunds::State::Failed, false) => Ok(Heard::Known),
        (refunds::State::Succeeded | refunds::State::Failed, _) => {
            refuse(CONFLICT, "It contradicts what is settled; a person has to look.")
        }
        _ => {
            let verdict = notice.verdict.clone();
            let decided = Decided { transaction_id: notice.transaction_id.clone(), verdict };
            let settled =
                refund::settle_in(house, tx, &row, notice.provider, &decided, &[]).await?;
            Ok(if settled.is_some() { Heard::Settled } else { Heard::Known })
        }
    }
}

/// The row about what an operator found out.
pub async fn by_hand(
    tx: &mut PgConnection,
    subject: Uuid,
    provider: &str,
    outcome: &str,
    evidence: &str,
    now: shared_types::Timestamp,
) -> sqlx::Result<()> {
    let message = masked(evidence);
    store::notifications::heard(tx, subject, provider, "settled_by_hand", outcome, &message, now)
        .await
}
