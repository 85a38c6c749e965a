//! What operators do about money whose outcome is not known: see it, ask again
//! now, settle it by hand, decide what the risk check left to a person. Each is
//! one transaction with its audit entry.

use platform::audit::Entry;
use platform::auth::Principal;
use platform::error::{ApiError, Kind};
use platform::paging::{Paging, page};
use platform::validate::Checks;
use serde::Deserialize;
use shared_types::payments::{FoundOut, OpenKind, OpenOutcome, ReviewInput, SettleInput};
use shared_types::{AttemptId, Page, RefundId, Role, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::capture::{self, NOTHING, Outcome};
use crate::domain::Verdict;
use crate::house::House;
use crate::notifications::by_hand;
use crate::provider::Decided;
use crate::refund;
use crate::store::attempts::{self, AttemptRow, Operation, State};
use crate::store::open::{self, OpenFilter, OpenRow};
use crate::store::refunds;

const REASON_CHARS: std::ops::RangeInclusive<usize> = 3..=500;
const EVIDENCE_CHARS: std::ops::RangeInclusive<usize> = 3..=500;

/// ADMIN or OPERATOR.
fn require_operator(caller: &Principal) -> Result<(), ApiError> {
    if caller.has_role(Role::Admin) {
        return Ok(());
    }
    caller.require_role(Role::Operator)
}

fn not_found() -> ApiError {
    ApiError::not_found("payments.no_such_outcome")
}

fn target(row: &OpenRow) -> String {
    match row.kind {
        OpenKind::Attempt => format!("payment_attempt:{}", row.id),
        OpenKind::Refund => format!("refund:{}", row.id),
    }
}

/// What the list is narrowed to.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, rename_all = "camelCase")]
pub struct OpenQuery {
    /// `ATTEMPT` or `REFUND`.
    kind: Option<String>,
    /// `UNKNOWN`, `REVIEW`, `WAITING`, `RUNNING`; several with commas. The first
    /// three when absent.
    state: Option<String>,
    /// `soap`, `rest`, `stripe`, `adyen`.
    provider: Option<String>,
    /// At least this old.
    min_age_seconds: Option<String>,
    /// At least this many minor units of its currency.
    min_amount_minor: Option<String>,
}

fn bad(field: &str, message: &str) -> ApiError {
    let mut checks = Checks::new();
    checks.fail(field, "invalid", message);
    let fields = checks.into_errors();
    ApiError::new(Kind::Unparseable, "request.query", format!("{field} {message}"))
        .with_fields(fields)
}

fn number(field: &str, text: Option<&String>) -> Result<i64, ApiError> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(0) };
    let number: Option<i64> = text.parse().ok().filter(|n| (0..=1_000_000_000_000).contains(n));
    number.ok_or_else(|| bad(field, "must be a number from 0"))
}

const STATES: [&str; 4] = ["UNKNOWN", "REVIEW", "WAITING", "RUNNING"];

/// Oldest first.
pub async fn list(
    house: &House,
    caller: &Principal,
    query: &OpenQuery,
    paging: &Paging,
) -> Result<Page<OpenOutcome>, ApiError> {
    require_operator(caller)?;
    let kind = match query.kind.as_deref().filter(|k| !k.is_empty()) {
        Some(word) => Some(word.parse().map_err(|_| bad("kind", "must be ATTEMPT or REFUND"))?),
        None => None,
    };
    let words = query.state.as_deref().filter(|s| !s.is_empty());
    let states: Vec<String> = match words {
        Some(words) => words.split(',').map(|word| word.trim().to_owned()).collect(),
        None => STATES[..3].iter().map(|s| (*s).to_owned()).collect(),
    };
    if states.iter().any(|state| !STATES.contains(&state.as_str())) {
        return Err(bad("state", "must be UNKNOWN, REVIEW, WAITING or RUNNING"));
    }
    let age = number("minAgeSeconds", query.min_age_seconds.as_ref())?;
    let now = house.ctx.clock.now();
    let limit = paging.limit()?;
    let filter = OpenFilter {
        kind,
        states: &states,
        provider: query.provider.as_deref().filter(|p| !p.is_empty()),
        created_before: now.minus(std::time::Duration::from_secs(age.unsigned_abs())),
        min_minor: number("minAmountMinor", query.min_amount_minor.as_ref())?,
        after: paging.position::<(Timestamp, Uuid)>()?,
        limit,
    };
    let rows = open::list(&house.ctx.pool, &filter).await?;
    let positions: Vec<(Timestamp, Uuid)> = rows.iter().map(|r| (r.created_at, r.id)).collect();
    let views: Vec<(OpenOutcome, (Timestamp, Uuid))> =
        rows.into_iter().map(|row| row.view(now)).zip(positions).collect();
    let paged = page(views, limit, |(_, position)| *position);
    let items = paged.items.into_iter().map(|(view, _)| view).collect();
    Ok(Page { items, page_info: paged.page_info })
}

async fn found(tx: &mut PgConnection, id: Uuid) -> Result<OpenRow, ApiError> {
    open::find(tx, id).await?.ok_or_else(not_found)
}

fn decided(row: &OpenRow) -> ApiError {
    let detail = format!("It is {}: nothing is to be decided.", row.state);
    let state = serde_json::Value::from(row.state.as_str());
    ApiError::new(Kind::Conflict, "payments.outcome_known", detail).with_extension("state", state)
}

fn under_way() -> ApiError {
    let detail = "Somebody works on it in this moment; try again soon.";
    ApiError::new(Kind::Conflict, "payments.in_progress", detail)
        .retry_after(std::time::Duration::from_secs(2))
}

/// Reconciliation asks the provider now, not when it would have.
pub async fn ask(house: &House, caller: &Principal, id: Uuid) -> Result<OpenOutcome, ApiError> {
    require_operator(caller)?;
    let now = house.ctx.clock.now();
    let mut tx = house.ctx.pool.begin().await?;
    let row = found(&mut tx, id).await?;
    if !open::make_due(&mut tx, id, now).await? {
        return Err(match row.state.as_str() {
            "RUNNING" | "UNKNOWN" | "WAITING" => under_way(),
            _ => decided(&row),
        });
    }
    let entry = Entry::new(caller.actor(), "payment.ask_again", target(&row));
    house.ctx.audit.record(&mut tx, entry).await?;
    let row = found(&mut tx, id).await?;
    tx.commit().await?;
    Ok(row.view(now))
}

/// Settles what no provider can tell any more, on evidence.
pub async fn settle(
    house: &House,
    caller: &Principal,
    id: Uuid,
    input: &SettleInput,
) -> Result<OpenOutcome, ApiError> {
    require_operator(caller)?;
    let mut checks = Checks::new();
    let outcome = checks.required("outcome", input.outcome);
    let evidence = checks.text("evidence", &input.evidence, EVIDENCE_CHARS);
    let reason = checks.text("reason", &input.reason, REASON_CHARS);
    let transaction = input.transaction_id.as_deref().map(str::trim).filter(|t| !t.is_empty());
    if outcome == Some(FoundOut::Done) {
        checks.required("transactionId", transaction);
    }
    if let Some(transaction) = transaction {
        checks.text("transactionId", transaction, 1..=200);
    }
    checks.finish()?;
    let Some(outcome) = outcome else { return Err(not_found()) };
    let now = house.ctx.clock.now();
    let mut tx = house.ctx.pool.begin().await?;
    let row = found(&mut tx, id).await?;
    if row.state == "RUNNING" {
        return Err(under_way());
    }
    if !matches!(row.state.as_str(), "UNKNOWN" | "WAITING") {
        return Err(decided(&row));
    }
    let done = outcome == FoundOut::Done;
    let first = match row.kind {
        OpenKind::Attempt => settle_attempt(house, &mut tx, id, done, transaction).await?,
        OpenKind::Refund => settle_refund(house, &mut tx, id, done, transaction).await?,
    };
    if !first {
        return Err(under_way());
    }
    let word = outcome.as_str();
    by_hand(&mut tx, id, &row.provider, word, &evidence, now).await?;
    let why = format!("{word}: {reason} (evidence: {evidence})");
    let after = found(&mut tx, id).await?;
    let entry = Entry::new(caller.actor(), "payment.settle_by_hand", target(&row))
        .before(&row.state)
        .after(&after.state)
        .because(why);
    house.ctx.audit.record(&mut tx, entry).await?;
    tx.commit().await?;
    Ok(after.view(now))
}

async fn settle_attempt(
    house: &House,
    tx: &mut PgConnection,
    id: Uuid,
    done: bool,
    transaction: Option<&str>,
) -> Result<bool, ApiError> {
    let Some(row) = attempts::lock(tx, AttemptId(id)).await? else { return Ok(false) };
    if row.state != State::Unknown {
        return Ok(false);
    }
    let state = match (done, row.operation) {
        (false, _) => State::NotSent,
        (true, Operation::Charge) if row.manual => State::Authorized,
        (true, Operation::Charge | Operation::Capture) => State::Captured,
        (true, Operation::Void) => State::Voided,
    };
    let provider = row.provider.clone();
    let transaction_id = transaction.filter(|_| done);
    let outcome = Outcome { state, provider: &provider, transaction_id, ..NOTHING };
    match capture::settle_in(house, tx, &row, &outcome, &[]).await {
        Ok(known) => Ok(known.is_some()),
        Err(error) if error.is::<capture::Replayed>() => {
            let detail = "This transaction pays for another attempt already.";
            Err(ApiError::new(Kind::Conflict, "payments.transaction_taken", detail))
        }
        Err(error) => Err(error.into()),
    }
}

async fn settle_refund(
    house: &House,
    tx: &mut PgConnection,
    id: Uuid,
    done: bool,
    transaction: Option<&str>,
) -> Result<bool, ApiError> {
    let Some(row) = refunds::lock(tx, RefundId(id)).await? else { return Ok(false) };
    if !matches!(row.state, refunds::State::Unknown | refunds::State::Waiting) {
        return Ok(false);
    }
    let verdict = match done {
        true => Verdict::Approved,
        false => Verdict::Declined("settled_by_hand".to_owned()),
    };
    let transaction_id = transaction.filter(|_| done).unwrap_or_default().to_owned();
    let decided = Decided { transaction_id, verdict };
    let provider = row.provider.clone();
    let settled = refund::settle_in(house, tx, &row, &provider, &decided, &[]).await?;
    Ok(settled.is_some())
}

/// Lets go what the risk check held back, or declines it.
pub async fn review(
    house: &House,
    caller: &Principal,
    id: Uuid,
    input: &ReviewInput,
) -> Result<OpenOutcome, ApiError> {
    require_operator(caller)?;
    let mut checks = Checks::new();
    let approve = checks.required("approve", input.approve);
    let reason = checks.text("reason", &input.reason, REASON_CHARS);
    checks.finish()?;
    let approve = approve.unwrap_or(false);
    let permit = house.running.clone().try_acquire_owned();
    let permit = permit.map_err(|_| capture::CaptureRefused::Busy)?;
    let (claim, send_before) = house.claim();
    let mut tx = house.ctx.pool.begin().await?;
    let row = found(&mut tx, id).await?;
    let attempt: AttemptRow = match attempts::lock(&mut tx, AttemptId(id)).await? {
        Some(attempt) if attempt.state == State::Review => attempt,
        _ => return Err(decided(&row)),
    };
    let word = if approve { "approved" } else { "refused" };
    let entry = Entry::new(caller.actor(), "payment.review", target(&row))
        .before(&row.state)
        .after(word)
        .because(format!("{word}: {reason}"));
    let started = if approve {
        attempts::release(&mut tx, attempt.attempt_id, &claim).await?
    } else {
        let provider = attempt.provider.clone();
        let outcome = Outcome {
            state: State::Declined,
            provider: &provider,
            decline_code: Some("risk_refused"),
            ..NOTHING
        };
        capture::settle_in(house, &mut tx, &attempt, &outcome, &[]).await?;
        None
    };
    house.ctx.audit.record(&mut tx, entry).await?;
    let after = found(&mut tx, id).await?;
    tx.commit().await?;
    if let Some(attempt) = started {
        let sealed = attempt.token_sealed.as_deref().unwrap_or_default();
        let token = house.vault.open(attempt.token_key.as_deref(), sealed)?;
        // Nobody waits: the answer is in the payment.
        drop(capture::spawn(house, attempt, Some(token), send_before, permit));
    }
    Ok(after.view(house.ctx.clock.now()))
}
