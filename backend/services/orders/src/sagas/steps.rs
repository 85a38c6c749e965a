//! What each step does. No step changes this service's own state.

use contracts::generated::bellavista::{inventory::v1 as stock, payments::v1 as pay};
use platform::ApiError;
use platform::resilience::Backoff;
use shared_types::{AttemptId, OrderId, Timestamp};
use std::time::Duration;
use time::OffsetDateTime;

use crate::app::App;
use crate::domain::saga::{Input, State, Step};
use crate::outbound::CallError;
use crate::store;
use crate::store::sagas::{Loaded, RunningRefund};

/// The column name that payment tokens are sealed under.
pub const TOKEN: &str = "payment_attempts.token";

/// Does `step` and says what came of it. An error is about our own database.
pub async fn perform(app: &App, loaded: &Loaded, step: Step) -> Result<Input, ApiError> {
    Ok(match step {
        Step::HoldTimer => Input::HoldLost { released: false },
        Step::GiveUp => Input::TookTooLong,
        Step::EndRefunded => Input::RefundsDone,
        Step::Rest => Input::Nothing,
        Step::Reserve => {
            match reserve(app, loaded.order_id, &lines(app, loaded).await?, true).await {
                Ok(Reserved::Held(expires_at)) => Input::Held { expires_at },
                Ok(Reserved::Waiting) => Input::Waiting,
                // What inventory will not hold, now or ever, is short.
                Ok(Reserved::Short(_)) | Err(CallError::Refused(_)) => Input::Short,
                Err(error) => failed("reserving", &error),
            }
        }
        Step::Charge => charge(app, loaded).await,
        Step::AskOutcome => ask_outcome(app, loaded).await,
        Step::Confirm => confirm(app, loaded).await?,
        Step::Refund => match &loaded.refund {
            Some(refund) => refund_one(app, loaded, refund).await?,
            None => Input::Nothing,
        },
        Step::Release => release(app, loaded).await,
    })
}

fn failed(what: &str, error: &CallError) -> Input {
    Input::Failed { reason: format!("{what}: {error}") }
}

/// What inventory said to a reservation.
#[derive(Clone, Debug)]
pub enum Reserved {
    Held(Option<Timestamp>),
    /// The order waits its turn for units that are not there yet.
    Waiting,
    Short(Vec<stock::ShortLine>),
}

/// Asks inventory once to hold all `lines` or none.
pub async fn reserve(
    app: &App,
    order_id: OrderId,
    lines: &[stock::Line],
    accept_backorder: bool,
) -> Result<Reserved, CallError> {
    let request = stock::ReserveRequest {
        order_id: order_id.to_string(),
        lines: lines.to_vec(),
        ttl_seconds: 0,
        accept_backorder,
    };
    let out = &app.out;
    let answer = out.stock_gate.call(out.reserve_limit, out.stock.reserve(request)).await?;
    match answer.outcome() {
        stock::ReserveOutcome::Held if !answer.waiting.is_empty() => Ok(Reserved::Waiting),
        stock::ReserveOutcome::Held => {
            Ok(Reserved::Held(answer.expires_at.and_then(|at| time_of(at.seconds, at.nanos))))
        }
        stock::ReserveOutcome::Short => Ok(Reserved::Short(answer.short)),
        stock::ReserveOutcome::Unspecified => {
            Err(CallError::Away("an answer without outcome".to_owned()))
        }
    }
}

/// Which of `lines` inventory has too little of, when it would not even try.
pub async fn missing(app: &App, lines: &[stock::Line]) -> Vec<stock::ShortLine> {
    let skus = lines.iter().map(|l| l.sku.clone()).collect();
    let out = &app.out;
    let query = out.stock.query(stock::StockQuery { skus });
    let levels = match out.stock_gate.call(out.call_limit, query).await {
        Ok(status) => status.levels,
        Err(error) => {
            tracing::warn!(%error, "stock levels are not known");
            Vec::new()
        }
    };
    let available = |sku: &str| {
        let level = levels.iter().find(|l| l.sku.to_lowercase() == sku.to_lowercase());
        level.filter(|l| l.known).map_or(0, |l| l.available)
    };
    lines
        .iter()
        .map(|l| stock::ShortLine {
            sku: l.sku.clone(),
            requested: l.qty,
            available: available(&l.sku),
        })
        .filter(|short| short.available < short.requested)
        .collect()
}

/// Asks up to `attempts` times while inventory is away.
pub async fn reserve_patiently(
    app: &App,
    order_id: OrderId,
    lines: &[stock::Line],
    attempts: u32,
) -> Result<Reserved, CallError> {
    let pauses = Backoff { first: Duration::from_millis(40), cap: Duration::from_millis(250) };
    let mut attempt = 1;
    loop {
        match reserve(app, order_id, lines, true).await {
            Err(CallError::Away(reason)) if attempt < attempts => {
                tracing::debug!(%order_id, reason, attempt, "inventory is away");
                tokio::time::sleep(pauses.delay(attempt)).await;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

fn time_of(seconds: i64, nanos: i32) -> Option<Timestamp> {
    let nanos = i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().map(Timestamp::new)
}

async fn lines(app: &App, loaded: &Loaded) -> Result<Vec<stock::Line>, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let sold = store::orders::sold_lines(&mut connection, loaded.order_id).await?;
    Ok(sold.iter().map(|l| line(l.sku.as_str(), l.qty)).collect())
}

pub fn line(sku: &str, qty: i64) -> stock::Line {
    stock::Line { sku: sku.to_owned(), qty, sale_id: String::new() }
}

/// Pins the hold, then captures under the attempt's id: sent twice it counts once.
async fn charge(app: &App, loaded: &Loaded) -> Input {
    let Some(attempt_id) = loaded.saga.attempt else {
        return Input::Failed { reason: "there is no attempt to charge".to_owned() };
    };
    match pin(app, loaded.order_id, true, !loaded.saga.automatic).await {
        Ok((true, _)) => capture(app, loaded, attempt_id).await,
        // An earlier life may have captured already: ask before giving up.
        Ok((false, _)) => match get_attempt(app, attempt_id).await {
            Ok(Some(answer)) => outcome(app, loaded, answer).await,
            Ok(None) => Input::HoldLost { released: false },
            Err(error) => failed("asking for the attempt", &error),
        },
        Err(error) => failed("pinning the hold", &error),
    }
}

async fn pin(
    app: &App,
    order_id: OrderId,
    pinned: bool,
    extend: bool,
) -> Result<(bool, Option<Timestamp>), CallError> {
    let request = stock::PinHoldRequest { order_id: order_id.to_string(), pinned, extend };
    let out = &app.out;
    match out.stock_gate.call(out.call_limit, out.stock.pin_hold(request)).await {
        Ok(answer) => {
            Ok((answer.held, answer.expires_at.and_then(|at| time_of(at.seconds, at.nanos))))
        }
        Err(CallError::Refused(status)) if status.code() == tonic::Code::NotFound => {
            Ok((false, None))
        }
        Err(error) => Err(error),
    }
}

async fn capture(app: &App, loaded: &Loaded, attempt_id: AttemptId) -> Input {
    let sealed = loaded.attempt.as_ref().and_then(|a| Some((a, a.token_sealed.as_ref()?)));
    let Some((attempt, sealed)) = sealed else {
        return Input::Failed { reason: "the attempt has no token".to_owned() };
    };
    let token = match app.ctx.cipher.open(TOKEN, sealed) {
        Ok(token) => token,
        Err(error) => return Input::Failed { reason: format!("{error:#}") },
    };
    let request = pay::CaptureRequest {
        attempt_id: attempt_id.to_string(),
        order_id: loaded.order_id.to_string(),
        amount_minor: loaded.saga.total_minor,
        currency: loaded.currency.to_string(),
        method_type: attempt.method.clone(),
        token,
    };
    let out = &app.out;
    match out.payments_gate.call(out.capture_limit, out.payments.capture(request)).await {
        Ok(answer) => outcome(app, loaded, answer).await,
        // Whether it was sent is not known: it is asked for before anything else.
        Err(CallError::Away(reason)) => {
            tracing::warn!(order_id = %loaded.order_id, reason, "a capture without answer");
            Input::OutcomeUnknown
        }
        Err(error) => failed("capturing", &error),
    }
}

async fn get_attempt(
    app: &App,
    attempt_id: AttemptId,
) -> Result<Option<pay::CaptureResponse>, CallError> {
    let request = pay::GetAttemptRequest { attempt_id: attempt_id.to_string() };
    let out = &app.out;
    match out.payments_gate.call(out.call_limit, out.payments.get_attempt(request)).await {
        Ok(answer) => Ok(answer.known.then_some(answer)),
        Err(CallError::Refused(status)) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn ask_outcome(app: &App, loaded: &Loaded) -> Input {
    let Some(attempt_id) = loaded.saga.attempt else {
        return Input::Failed { reason: "there is no attempt to ask for".to_owned() };
    };
    match get_attempt(app, attempt_id).await {
        Ok(Some(answer)) => outcome(app, loaded, answer).await,
        // The order has ended: what never arrived is not sent any more.
        Ok(None) if loaded.saga.state == State::Settling => Input::NotSent,
        // It never arrived; under the same id it cannot be charged twice.
        Ok(None) => capture(app, loaded, attempt_id).await,
        Err(error) => failed("asking for the attempt", &error),
    }
}

async fn outcome(app: &App, loaded: &Loaded, answer: pay::CaptureResponse) -> Input {
    match answer.outcome() {
        pay::CaptureOutcome::Captured => match answer.payment_id.parse() {
            Ok(payment) => Input::Captured { payment },
            Err(_) => Input::Failed { reason: "a capture without payment id".to_owned() },
        },
        pay::CaptureOutcome::Declined => {
            let code = match answer.decline_code.trim() {
                "" => "declined".to_owned(),
                code => code.chars().take(64).collect(),
            };
            let hold_expires_at = unpin(app, loaded).await;
            Input::Declined { code, hold_expires_at }
        }
        pay::CaptureOutcome::NotSent => Input::NotSent,
        pay::CaptureOutcome::Pending | pay::CaptureOutcome::Unspecified => Input::OutcomeUnknown,
    }
}

/// The hold runs again while the buyer looks for another card. When inventory
/// does not hear it, the saga's own timer releases the hold.
async fn unpin(app: &App, loaded: &Loaded) -> Option<Timestamp> {
    let ended = loaded.saga.state == State::Settling;
    let over = ended || loaded.saga.automatic || loaded.saga.declines + 1 >= app.rules.max_declines;
    if over {
        return None;
    }
    match pin(app, loaded.order_id, false, false).await {
        Ok((_, expires_at)) => expires_at,
        Err(error) => {
            tracing::warn!(order_id = %loaded.order_id, %error, "a hold stays pinned");
            None
        }
    }
}

async fn confirm(app: &App, loaded: &Loaded) -> Result<Input, ApiError> {
    match confirm_once(app, loaded.order_id).await {
        Ok(stock::ConfirmOutcome::Confirmed) => return Ok(Input::Confirmed),
        Ok(stock::ConfirmOutcome::HoldGone) => {}
        Ok(stock::ConfirmOutcome::Unspecified) => {
            return Ok(Input::Failed { reason: "confirming: no outcome".to_owned() });
        }
        Err(error) => return Ok(failed("confirming", &error)),
    }
    // Paid for: it cannot wait for units that may never come.
    let again = reserve(app, loaded.order_id, &lines(app, loaded).await?, false).await;
    Ok(match again {
        Ok(Reserved::Short(_) | Reserved::Waiting) | Err(CallError::Refused(_)) => Input::StockLost,
        Ok(Reserved::Held(_)) => match confirm_once(app, loaded.order_id).await {
            Ok(stock::ConfirmOutcome::Confirmed) => Input::Confirmed,
            Ok(_) => Input::Failed { reason: "confirming: the new hold is gone".to_owned() },
            Err(error) => failed("confirming", &error),
        },
        Err(error) => failed("reserving anew", &error),
    })
}

async fn confirm_once(app: &App, order_id: OrderId) -> Result<stock::ConfirmOutcome, CallError> {
    let request = stock::ConfirmRequest { order_id: order_id.to_string() };
    let out = &app.out;
    let answer = out.stock_gate.call(out.call_limit, out.stock.confirm(request)).await?;
    Ok(answer.outcome())
}

/// Gives back what was held for an order that is not stored. A failure only
/// makes the units wait for the end of the hold.
pub async fn release_unstored(app: &App, order_id: OrderId) {
    if let Err(error) = send_release(app, order_id).await {
        tracing::warn!(%order_id, %error, "stock of no order waits for the end of its hold");
    }
}

async fn send_release(app: &App, order_id: OrderId) -> Result<(), CallError> {
    let request = stock::ReleaseRequest { order_id: order_id.to_string() };
    let out = &app.out;
    out.stock_gate.call(out.call_limit, out.stock.release(request)).await.map(drop)
}

async fn release(app: &App, loaded: &Loaded) -> Input {
    match send_release(app, loaded.order_id).await {
        Ok(()) => Input::Released,
        Err(CallError::Refused(status)) if status.code() == tonic::Code::NotFound => {
            Input::Released
        }
        Err(error) => failed("releasing", &error),
    }
}

async fn refund_one(app: &App, loaded: &Loaded, refund: &RunningRefund) -> Result<Input, ApiError> {
    let (minor, actor) = (refund.amount_minor, refund.actor.clone());
    if !refund.restocking {
        let request = pay::RefundRequest {
            refund_id: refund.refund_id.to_string(),
            order_id: loaded.order_id.to_string(),
            amount_minor: minor,
            currency: loaded.currency.to_string(),
            reason: refund.cause.clone(),
        };
        let out = &app.out;
        let call = out.payments_gate.call(out.capture_limit, out.payments.refund(request)).await;
        let outcome = match call {
            Ok(answer) => answer.outcome(),
            Err(error) => return Ok(failed("refunding", &error)),
        };
        match outcome {
            pay::RefundOutcome::Refunded => {}
            pay::RefundOutcome::RefundPending | pay::RefundOutcome::Unspecified => {
                return Ok(Input::Failed { reason: "the refund is undecided".to_owned() });
            }
            pay::RefundOutcome::RefundTooMuch => {
                let reason = "payments refuses the refund: more than was captured".to_owned();
                return Ok(Input::RefundFailed { reason, actor });
            }
            pay::RefundOutcome::NothingCaptured => {
                let reason = "payments refuses the refund: nothing was captured".to_owned();
                return Ok(Input::RefundFailed { reason, actor });
            }
        }
    }
    let restocked = match refund.restock {
        true => restock(app, loaded.order_id, refund).await?,
        false => Ok(()),
    };
    Ok(match (restocked, refund.restocking) {
        (Ok(()), true) => Input::Restocked,
        (Ok(()), false) => Input::RefundDone { minor, actor },
        (Err(error), true) => failed("restocking", &error),
        (Err(error), false) => {
            tracing::warn!(order_id = %loaded.order_id, %error, "refunded, not restocked yet");
            Input::RefundPaid { minor, actor }
        }
    })
}

async fn restock(
    app: &App,
    order_id: OrderId,
    refund: &RunningRefund,
) -> Result<Result<(), CallError>, ApiError> {
    let mut connection = app.ctx.pool.acquire().await?;
    let units = store::refunds::lines(&mut connection, refund.refund_id).await?;
    drop(connection);
    if units.is_empty() {
        return Ok(Ok(()));
    }
    let request = stock::ReturnStockRequest {
        return_id: refund.refund_id.to_string(),
        order_id: order_id.to_string(),
        lines: units.iter().map(|(sku, qty)| line(sku.as_str(), *qty)).collect(),
    };
    let out = &app.out;
    let answer = out.stock_gate.call(out.call_limit, out.stock.return_stock(request)).await;
    Ok(answer.map(|_| ()))
}
