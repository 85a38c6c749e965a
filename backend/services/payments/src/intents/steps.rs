//! What follows an authorisation: capture, void, refund, and going on after the
//! buyer's action.

use http::StatusCode;
use platform::ApiError;
use platform::audit::Entry;
use platform::auth::Principal;
use platform::error::Kind;
use platform::http::Idempotent;
use platform::idempotency::{Answer, IdempotencyKey};
use platform::trace;
use platform::validate::Checks;
use shared_types::payments::{
    CaptureInput, IntentRefundInput, PaymentStatus, Refund as RefundView, RefundStatus, VoidInput,
};
use shared_types::{Money, PaymentId, RefundId};

use super::{
    answer, begun, declined, id_of, intent_only, mismatch, money, not_found, remember, remembered,
    require_staff, unavailable, wrong_state,
};
use crate::capture::{self, CaptureRefused, Known, NOTHING, Outcome, settle};
use crate::domain::Verdict;
use crate::drive::{follow_up, outcome_of, park};
use crate::house::House;
use crate::provider::Trouble;
use crate::refund::{self, Refund, Refunded};
use crate::store;
use crate::store::PaymentRow;
use crate::store::attempts::{AttemptRow, Operation, State};
use crate::store::intents::NewStep;

const REASON_CHARS: std::ops::RangeInclusive<usize> = 3..=500;

fn target(id: PaymentId) -> String {
    format!("payment:{id}")
}

/// Takes what was authorised, all or a part; the rest is released.
pub async fn capture_intent(
    house: &House,
    caller: &Principal,
    id: PaymentId,
    request: Idempotent<CaptureInput>,
) -> Result<Answer, ApiError> {
    require_staff(caller)?;
    let key = &request.key;
    if let Some(answer) = remembered(house, key).await? {
        return Ok(answer);
    }
    let payment = found(house, id).await?;
    let mut checks = Checks::new();
    let wanted = money(&mut checks, request.input.amount, payment.currency);
    checks.finish()?;
    let known = match begun(house, key, id).await? {
        Ok(known) => known,
        Err(attempt_id) => {
            let entry = Entry::new(caller.actor(), "payment.capture", target(id));
            let step = Step { operation: Operation::Capture, wanted, attempt_id, entry };
            take(house, id, key, step).await?
        }
    };
    stepped(house, key, known, "payments.capture_refused").await
}

/// Gives up what was authorised or waits for the buyer. What no provider knows
/// of is given up at once.
pub async fn void_intent(
    house: &House,
    caller: &Principal,
    id: PaymentId,
    request: Idempotent<VoidInput>,
) -> Result<Answer, ApiError> {
    require_staff(caller)?;
    let key = &request.key;
    if let Some(answer) = remembered(house, key).await? {
        return Ok(answer);
    }
    let mut checks = Checks::new();
    let reason = checks.text("reason", &request.input.reason, REASON_CHARS);
    checks.finish()?;
    found(house, id).await?;
    let entry = Entry::new(caller.actor(), "payment.void", target(id)).because(reason);
    let attempt_id = match begun(house, key, id).await? {
        Ok(known) => return stepped(house, key, known, "payments.void_refused").await,
        Err(attempt_id) => attempt_id,
    };
    if let Some(payment) = cancel_untried(house, id, &entry).await? {
        let answer = Answer::json(StatusCode::OK, &payment.view())?;
        return remember(house, key, answer).await;
    }
    let step = Step { operation: Operation::Void, wanted: None, attempt_id, entry };
    let known = take(house, id, key, step).await?;
    stepped(house, key, known, "payments.void_refused").await
}

async fn found(house: &House, id: PaymentId) -> Result<PaymentRow, ApiError> {
    let mut connection = house.connection().await?;
    let payment = store::find_payment(&mut connection, id).await?.ok_or_else(not_found)?;
    intent_only(payment)
}

/// None when a provider has to be told.
async fn cancel_untried(
    house: &House,
    id: PaymentId,
    entry: &Entry,
) -> Result<Option<PaymentRow>, ApiError> {
    let mut tx = house.ctx.pool.begin().await?;
    let payment = store::intents::lock(&mut tx, id).await?.ok_or_else(not_found)?;
    if !matches!(payment.status, PaymentStatus::Created | PaymentStatus::Declined) {
        return Ok(None);
    }
    store::intents::cancel(&mut tx, id, house.ctx.clock.now()).await?;
    let payment = store::find_payment(&mut tx, id).await?;
    house.ctx.audit.record(&mut tx, entry.clone()).await?;
    tx.commit().await?;
    Ok(payment)
}

struct Step {
    operation: Operation,
    /// Of a capture: this much, or all.
    wanted: Option<Money>,
    attempt_id: shared_types::AttemptId,
    entry: Entry,
}

/// Takes the payment under its lock, and drives the step.
async fn take(
    house: &House,
    id: PaymentId,
    key: &IdempotencyKey,
    step: Step,
) -> Result<Known, ApiError> {
    let permit = house.running.clone().try_acquire_owned();
    let permit = permit.map_err(|_| CaptureRefused::Busy)?;
    let mut tx = house.ctx.pool.begin().await?;
    let payment = store::intents::lock(&mut tx, id).await?.ok_or_else(not_found)?;
    let money = allowed(&payment, &step)?;
    let (claim, send_before) = house.claim();
    let context = trace::current();
    let new = NewStep {
        attempt_id: step.attempt_id,
        operation: step.operation,
        money,
        fingerprint: &key.fingerprint,
        claim: &claim,
        trace_id: &context.trace_id,
        correlation_id: &context.correlation_id,
    };
    let row = store::intents::begin_step(&mut tx, &payment, &new).await?;
    house.ctx.audit.record(&mut tx, step.entry).await?;
    tx.commit().await?;
    let pending = Known::of(&row);
    let answer = capture::spawn(house, row, None, send_before, permit);
    Ok(capture::wait(house, pending, answer).await)
}

/// How much a step is about; 409 when the payment is not ready for it.
fn allowed(payment: &PaymentRow, step: &Step) -> Result<Money, ApiError> {
    let all = Money::new(payment.amount_minor, payment.currency);
    match (step.operation, payment.status) {
        (Operation::Capture, PaymentStatus::Authorized) => {
            let money = step.wanted.unwrap_or(Money::new(payment.authorized_minor, all.currency));
            if money.minor > payment.authorized_minor {
                let left = Money::new(payment.authorized_minor, all.currency).amount();
                let detail = format!("At most {left} {} is authorised.", all.currency);
                return Err(ApiError::new(Kind::Conflict, "payments.capture_too_much", detail)
                    .with_exact("authorized", &left));
            }
            Ok(money)
        }
        (Operation::Void, PaymentStatus::Authorized | PaymentStatus::RequiresAction) => Ok(all),
        (_, status) => Err(wrong_state(status)),
    }
}

async fn stepped(
    house: &House,
    key: &IdempotencyKey,
    known: Known,
    refused: &'static str,
) -> Result<Answer, ApiError> {
    if known.state != State::Declined {
        return answer(house, key, known).await;
    }
    let code = declined(&known).extensions.get("declineCode").cloned().unwrap_or_default();
    let detail = "The provider refused; the payment stands as it did.";
    let error = ApiError::new(Kind::Conflict, refused, detail).with_extension("declineCode", code);
    remember(house, key, Answer::problem(&error)).await
}

/// Asks the provider what became of the buyer's action.
pub async fn proceed(
    house: &House,
    payment: &PaymentRow,
    result: Option<&str>,
) -> Result<Known, ApiError> {
    let (claim, send_before) = house.claim();
    let claimed = store::intents::claim_action(&house.ctx.pool, payment.payment_id, &claim).await?;
    let Some(row) = claimed else {
        // Another confirmation, or a notification, has it.
        let status = store::intents::status(&house.ctx.pool, payment.payment_id).await?;
        return Err(wrong_state(status.unwrap_or(payment.status)));
    };
    let Some(gateway) = house.gateways.find(&row.provider) else {
        return Err(still(house, payment, &row, Vec::new()).await?);
    };
    let (answer, call) = gateway.proceed(&follow_up(&row), result, send_before).await;
    let calls = vec![call];
    match answer {
        Ok(mut decided) => {
            // Only the caller knows that it was for later capture.
            if row.manual && !gateway.answers_questions() && decided.verdict == Verdict::Approved {
                decided.verdict = Verdict::Authorized;
            }
            if let Verdict::ActionRequired(url) = &mut decided.verdict
                && url.is_empty()
            {
                *url = payment.next_action_url.clone().unwrap_or_default();
            }
            let Some(outcome) = outcome_of(&row, gateway.name(), &decided) else {
                let id = Some(decided.transaction_id.as_str());
                park(house, &row, house.ctx.clock.now(), id, &calls).await?;
                return Ok(Known { state: State::Unknown, ..Known::of(&row) });
            };
            Ok(settle(house, &row, &outcome, &calls).await?)
        }
        Err(Trouble::Unknown(_)) if !gateway.answers_questions() => {
            park(house, &row, house.ctx.clock.now(), None, &calls).await?;
            Ok(Known { state: State::Unknown, ..Known::of(&row) })
        }
        Err(Trouble::Refused { code, .. }) => {
            still(house, payment, &row, calls).await?;
            let detail = "The provider does not accept what the action brought.";
            Err(ApiError::new(Kind::Conflict, "payments.action_refused", detail)
                .with_extension("declineCode", serde_json::Value::from(code)))
        }
        Err(_) => Err(still(house, payment, &row, calls).await?),
    }
}

/// Puts the attempt back to wait for its buyer.
async fn still(
    house: &House,
    payment: &PaymentRow,
    row: &AttemptRow,
    calls: Vec<crate::provider::CallRow>,
) -> Result<ApiError, ApiError> {
    let provider = row.provider.clone();
    let outcome = Outcome {
        state: State::RequiresAction,
        provider: &provider,
        next_action_url: payment.next_action_url.as_deref(),
        ..NOTHING
    };
    settle(house, row, &outcome, &calls).await?;
    Ok(unavailable())
}

/// Gives money of an intent back.
pub async fn refund_intent(
    house: &House,
    caller: &Principal,
    id: PaymentId,
    request: Idempotent<IntentRefundInput>,
) -> Result<Answer, ApiError> {
    require_staff(caller)?;
    let key = &request.key;
    if let Some(answer) = remembered(house, key).await? {
        return Ok(answer);
    }
    let payment = found(house, id).await?;
    let mut checks = Checks::new();
    let reason = checks.text("reason", &request.input.reason, REASON_CHARS);
    let wanted = money(&mut checks, request.input.amount, payment.currency);
    checks.finish()?;
    let refund_id = RefundId(id_of(key));
    let mut connection = house.connection().await?;
    let earlier = store::refunds::find(&mut connection, refund_id).await?;
    drop(connection);
    let money = match &earlier {
        Some(row) if row.fingerprint.as_deref() != Some(&key.fingerprint[..]) => {
            return Err(mismatch());
        }
        Some(row) => row.money(),
        None => wanted.unwrap_or(Money::new(payment.refundable_minor(), payment.currency)),
    };
    if money.minor <= 0 {
        return Err(too_much(&payment, payment.refundable_minor()));
    }
    let entry = Entry::new(caller.actor(), "payment.refund", target(id)).because(reason.clone());
    let input = Refund {
        refund_id,
        order_id: payment.order_id,
        money,
        reason,
        fingerprint: Some(key.fingerprint),
        audit: Some(entry),
    };
    let status = match refund::refund(house, input).await? {
        Refunded::Done => RefundStatus::Succeeded,
        Refunded::Pending => RefundStatus::Pending,
        Refunded::TooMuch { refundable_minor } => {
            return Err(too_much(&payment, refundable_minor));
        }
        Refunded::NothingCaptured => return Err(too_much(&payment, 0)),
    };
    let body = RefundView {
        refund_id,
        order_id: payment.order_id,
        amount: money.amount(),
        currency: money.currency,
        status,
    };
    let answer = Answer::json(StatusCode::CREATED, &body)?;
    match status {
        RefundStatus::Pending => Ok(answer),
        _ => remember(house, key, answer).await,
    }
}

fn too_much(payment: &PaymentRow, left_minor: i64) -> ApiError {
    if payment.captured_minor == 0 {
        let detail = "Nothing was captured for this payment.";
        return ApiError::new(Kind::Conflict, "payments.nothing_captured", detail);
    }
    let left = Money::new(left_minor.max(0), payment.currency).amount();
    let detail = format!("At most {left} {} can still be refunded.", payment.currency);
    ApiError::new(Kind::Conflict, "payments.refund_too_much", detail)
        .with_exact("refundable", &left)
}
