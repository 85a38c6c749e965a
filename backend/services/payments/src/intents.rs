//! Payment intents: payments that belong to no order. Their creator confirms
//! them, staff and services capture, void and refund.
//!
//! A request's key names its attempt or refund, so that a repeat finds what the
//! first one did, also after a crash in between.

mod steps;

use std::collections::HashMap;

use http::StatusCode;
use platform::ApiError;
use platform::auth::Principal;
use platform::error::Kind;
use platform::http::Idempotent;
use platform::idempotency::{self, Answer, Entered, IdempotencyKey};
use platform::validate::Checks;
use shared_types::payments::{
    CaptureMethod, ConfirmInput, IntentInput, PaymentAttempt, PaymentAttempts, PaymentStatus,
    Purpose,
};
use shared_types::{AttemptId, Currency, Money, OrderId, PaymentId, Role};
use uuid::Uuid;

use crate::capture::{self, Capture, Known};
use crate::client::MAX_MINOR;
use crate::domain::Token;
use crate::house::House;
use crate::store;
pub use crate::store::PaymentRow;
use crate::store::attempts::{self, State};
use crate::store::intents::NewIntent;

pub use steps::{capture_intent, refund_intent, void_intent};

pub fn not_found() -> ApiError {
    ApiError::not_found("payments.not_found")
}

/// SUPPORT and above, and service accounts.
pub fn require_staff(caller: &Principal) -> Result<(), ApiError> {
    match caller.is_service() {
        true => Ok(()),
        false => caller.require_role(Role::Support),
    }
}

pub fn is_staff(caller: &Principal) -> bool {
    caller.is_service() || caller.has_role(Role::Support)
}

/// An intent belongs to who made it; an order's payment to the holder of the
/// order's token.
fn is_owner(caller: &Principal, payment: &PaymentRow) -> bool {
    match payment.purpose {
        Purpose::Intent => payment.created_by == caller.actor(),
        Purpose::Order => caller.holds_grant("order", &payment.order_id.to_string()),
    }
}

/// The payment as it stands.
pub async fn get(
    house: &House,
    caller: &Principal,
    id: PaymentId,
) -> Result<shared_types::payments::Payment, ApiError> {
    let mut connection = house.connection().await?;
    let payment = store::find_payment(&mut connection, id).await?;
    visible(caller, payment)?.map(PaymentRow::view).ok_or_else(not_found)
}

/// The payment, when it is the caller's; others are for staff.
pub fn visible(
    caller: &Principal,
    payment: Option<PaymentRow>,
) -> Result<Option<PaymentRow>, ApiError> {
    if !payment.as_ref().is_some_and(|p| is_owner(caller, p)) {
        require_staff(caller)?;
    }
    Ok(payment)
}

/// Payments by id, whoever may see them: one statement.
pub async fn payments_by_id(
    house: &House,
    ids: &[PaymentId],
) -> Result<HashMap<PaymentId, PaymentRow>, ApiError> {
    let mut connection = house.connection().await?;
    let found = store::find_payments(&mut connection, ids).await?;
    Ok(found.into_iter().map(|p| (p.payment_id, p)).collect())
}

/// The payments of orders, whoever may see them: one statement.
pub async fn payments_of_orders(
    house: &House,
    ids: &[OrderId],
) -> Result<HashMap<OrderId, PaymentRow>, ApiError> {
    let mut connection = house.connection().await?;
    let found = store::find_payments_of_orders(&mut connection, ids).await?;
    Ok(found.into_iter().map(|p| (p.order_id, p)).collect())
}

/// The attempts of several payments, with what was said to providers or
/// without: two statements for each of these.
pub async fn attempts_of(
    house: &House,
    wanted: &[(PaymentId, bool)],
) -> Result<HashMap<(PaymentId, bool), Vec<PaymentAttempt>>, ApiError> {
    let mut connection = house.connection().await?;
    let mut all = HashMap::new();
    for with_calls in [true, false] {
        let alike = wanted.iter().filter(|(_, calls)| *calls == with_calls);
        let ids: Vec<PaymentId> = alike.map(|(id, _)| *id).collect();
        if ids.is_empty() {
            continue;
        }
        let found = store::intents::attempts_of(&mut connection, &ids, with_calls).await?;
        all.extend(found.into_iter().map(|(id, list)| ((id, with_calls), list)));
    }
    Ok(all)
}

/// Its attempts; what was said to providers only for staff.
pub async fn list_attempts(
    house: &House,
    caller: &Principal,
    id: PaymentId,
) -> Result<PaymentAttempts, ApiError> {
    let mut connection = house.connection().await?;
    let payment = store::find_payment(&mut connection, id).await?;
    if !payment.as_ref().is_some_and(|p| is_owner(caller, p)) {
        require_staff(caller)?;
    }
    let payment = payment.ok_or_else(not_found)?;
    let with_calls = is_staff(caller);
    let items = store::intents::attempts(&mut connection, payment.payment_id, with_calls).await?;
    Ok(PaymentAttempts { items })
}

/// The intent of a request, found for its owner or staff.
async fn find_intent(
    house: &House,
    caller: &Principal,
    id: PaymentId,
) -> Result<PaymentRow, ApiError> {
    let mut connection = house.connection().await?;
    let payment = store::find_payment(&mut connection, id).await?.ok_or_else(not_found)?;
    if !is_owner(caller, &payment) && !is_staff(caller) {
        return Err(not_found());
    }
    intent_only(payment)
}

/// 409 for what the saga of an order alone may move.
fn intent_only(payment: PaymentRow) -> Result<PaymentRow, ApiError> {
    match payment.purpose {
        Purpose::Intent => Ok(payment),
        Purpose::Order => {
            let detail =
                "It belongs to an order: pay at /orders/{id}/pay, refund at /payments/refund.";
            Err(ApiError::new(Kind::Conflict, "payments.of_an_order", detail))
        }
    }
}

fn wrong_state(status: PaymentStatus) -> ApiError {
    let detail = format!("The payment is {status}.");
    let status = serde_json::Value::from(status.as_str());
    ApiError::new(Kind::Conflict, "payments.wrong_state", detail)
        .with_extension("paymentStatus", status)
}

fn unavailable() -> ApiError {
    let detail = "Nothing could be sent; no money moved. Please try again.";
    ApiError::unavailable("payments.unavailable", detail)
}

fn mismatch() -> ApiError {
    let detail = "This Idempotency-Key was used with another payload.";
    ApiError::new(Kind::Refused, "idempotency.mismatch", detail)
}

/// An amount of money in a request.
fn money(
    checks: &mut Checks,
    amount: Option<shared_types::Amount>,
    currency: Currency,
) -> Option<Money> {
    let money = match amount?.in_currency(currency) {
        Ok(money) => money,
        Err(error) => {
            checks.fail("amount", "invalid", error.to_string());
            return None;
        }
    };
    let in_range = (1..=MAX_MINOR).contains(&money.minor);
    checks.ensure(in_range, "amount", "out_of_range", "must be above zero and not that large");
    in_range.then_some(money)
}

/// Makes an intent; nothing is sent yet.
pub async fn create(
    house: &House,
    caller: &Principal,
    request: Idempotent<IntentInput>,
) -> Result<Answer, ApiError> {
    let input = &request.input;
    let mut checks = Checks::new();
    if input.order_id.is_some() {
        let words = "orders are paid at /orders/{id}/pay: only their saga moves their money";
        checks.fail("orderId", "not_allowed", words);
    }
    let currency: Option<Currency> = checks.parse("currency", &input.currency);
    checks.required("amount", input.amount.as_ref());
    let money = currency.and_then(|currency| money(&mut checks, input.amount, currency));
    let country = input.country.as_deref().filter(|c| !c.is_empty());
    if let Some(country) = country {
        let code = country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        checks.ensure(code, "country", "invalid", "must be an ISO 3166 code such as DE");
    }
    checks.finish()?;
    let Some(money) = money else { return Err(ApiError::invalid(Vec::new())) };
    let capture_method = input.capture_method.unwrap_or(CaptureMethod::Automatic);
    let manual = capture_method == CaptureMethod::Manual;
    let route = house.gateways.route(Purpose::Intent, money.currency, "card", manual);
    let Some(provider) = route.first().map(|gateway| gateway.name()) else {
        let detail = "No provider takes payments of this kind in this currency.";
        return Err(ApiError::new(Kind::Refused, "payments.not_accepted", detail));
    };
    let mut work = match idempotency::enter(&house.ctx.pool, &request.key).await? {
        Entered::Replay(answer) => return Ok(answer),
        Entered::Run(work) => work,
    };
    let now = house.ctx.clock.now();
    let created_by = caller.actor();
    let new = NewIntent {
        payment_id: house.ctx.ids.next(),
        money,
        capture_method,
        country,
        created_by: &created_by,
        provider,
        now,
    };
    let payment = store::intents::insert(work.tx(), &new).await?;
    let location = format!("/api/v1/payments/{}", payment.payment_id);
    let answer = Answer::json(StatusCode::CREATED, &payment.view())?.located(location);
    work.finish(answer, now).await
}

/// What a confirmation asks for, checked.
struct Confirmation {
    payment_id: PaymentId,
    method: Option<(String, Token)>,
    return_url: Option<String>,
    action_result: Option<String>,
}

const MAX_URL_CHARS: usize = 2_000;

fn read(house: &House, input: &ConfirmInput) -> Result<Confirmation, ApiError> {
    let mut checks = Checks::new();
    let payment_id = checks.required("paymentId", input.payment_id);
    let mut method = None;
    if let Some(given) = &input.payment_method {
        let known = house.gateways.knows_method(&given.kind);
        checks.ensure(known, "paymentMethod.type", "unknown", "is no method that is taken here");
        match Token::parse(&given.token) {
            Ok(token) => method = Some((given.kind.clone(), token)),
            Err(error) => checks.fail("paymentMethod.token", "invalid", error.to_string()),
        }
    }
    let return_url = input.return_url.clone().filter(|url| !url.is_empty());
    if let Some(url) = &return_url {
        let web = url.len() <= MAX_URL_CHARS
            && reqwest::Url::parse(url).is_ok_and(|u| matches!(u.scheme(), "http" | "https"));
        checks.ensure(web, "returnUrl", "invalid", "must be an http or https address");
    }
    let action_result = input.action_result.as_ref();
    let action_result = action_result.map(|r| checks.text("actionResult", r, 1..=4_000));
    checks.finish()?;
    let Some(payment_id) = payment_id else { return Err(ApiError::invalid(Vec::new())) };
    Ok(Confirmation { payment_id, method, return_url, action_result })
}

/// The attempt or refund of a request: the same for a repeat.
fn id_of(key: &IdempotencyKey) -> Uuid {
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&key.scope[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

async fn remembered(house: &House, key: &IdempotencyKey) -> Result<Option<Answer>, ApiError> {
    let mut connection = house.connection().await?;
    idempotency::find(&mut connection, key).await
}

/// What an earlier request with this key began, if it counts: one that was
/// never sent begins anew under another id.
async fn begun(
    house: &House,
    key: &IdempotencyKey,
    payment_id: PaymentId,
) -> Result<Result<Known, AttemptId>, ApiError> {
    let id = AttemptId(id_of(key));
    let Some(row) = attempts::find(&house.ctx.pool, id).await? else { return Ok(Err(id)) };
    if row.payment_id != payment_id || row.fingerprint.as_deref() != Some(&key.fingerprint[..]) {
        return Err(mismatch());
    }
    match row.state {
        State::NotSent => Ok(Err(house.ctx.ids.next())),
        _ => Ok(Ok(Known::of(&row))),
    }
}

/// Charges or authorises; after the buyer's action, goes on with it.
pub async fn confirm(
    house: &House,
    caller: &Principal,
    request: Idempotent<ConfirmInput>,
) -> Result<Answer, ApiError> {
    let wanted = read(house, &request.input)?;
    let key = &request.key;
    if let Some(answer) = remembered(house, key).await? {
        return Ok(answer);
    }
    let payment = find_intent(house, caller, wanted.payment_id).await?;
    let known = match begun(house, key, payment.payment_id).await? {
        Ok(known) => known,
        Err(attempt_id) => match (payment.status, wanted.method.clone()) {
            (PaymentStatus::Created | PaymentStatus::Declined, Some(method)) => {
                charge(house, caller, &payment, &wanted, method, attempt_id, key).await?
            }
            (PaymentStatus::Created | PaymentStatus::Declined, None) => {
                let mut checks = Checks::new();
                checks.fail("paymentMethod", "required", "is required");
                checks.finish()?;
                return Err(not_found());
            }
            (PaymentStatus::RequiresAction, None) => {
                steps::proceed(house, &payment, wanted.action_result.as_deref()).await?
            }
            (PaymentStatus::RequiresAction, Some(_)) => {
                let detail = "The buyer's action is open: confirm without a method once it is \
                              done, or void the payment.";
                return Err(ApiError::new(Kind::Conflict, "payments.action_required", detail));
            }
            (status, _) => return Err(wrong_state(status)),
        },
    };
    answer(house, key, known).await
}

async fn charge(
    house: &House,
    caller: &Principal,
    payment: &PaymentRow,
    wanted: &Confirmation,
    (method, token): (String, Token),
    attempt_id: AttemptId,
    key: &IdempotencyKey,
) -> Result<Known, ApiError> {
    let storefront = || format!("http://{}/", house.ctx.config.ground.http.socket());
    let input = Capture {
        attempt_id,
        payment_id: Some(payment.payment_id),
        order_id: payment.order_id,
        money: Money::new(payment.amount_minor, payment.currency),
        token,
        method,
        purpose: Purpose::Intent,
        manual: payment.capture_method == CaptureMethod::Manual,
        buyer: Some(caller.actor()),
        country: payment.country.clone(),
        return_url: Some(wanted.return_url.clone().unwrap_or_else(storefront)),
        fingerprint: Some(key.fingerprint),
    };
    // Another attempt has the payment: over REST that is a conflict.
    capture::capture(house, input).await.map_err(|mut error| {
        if matches!(error.code, "payments.in_progress" | "payments.already_decided") {
            error.kind = Kind::Conflict;
        }
        error
    })
}

/// The answer to what became of an attempt, remembered when it decides.
async fn answer(house: &House, key: &IdempotencyKey, known: Known) -> Result<Answer, ApiError> {
    let mut connection = house.connection().await?;
    let payment = store::find_payment(&mut connection, known.payment_id).await?;
    let payment = payment.ok_or_else(not_found)?;
    let answer = match known.state {
        State::Captured | State::Authorized | State::RequiresAction | State::Voided => {
            Answer::json(StatusCode::OK, &payment.view())?
        }
        State::Running | State::Unknown | State::Review => {
            // Not remembered: the same request asks again.
            return Answer::json(StatusCode::ACCEPTED, &payment.view());
        }
        State::Declined => Answer::problem(&declined(&known)),
        State::NotSent => return Err(unavailable()),
    };
    remember(house, key, answer).await
}

/// Remembers an answer; the first one remembered is the one that is given.
async fn remember(house: &House, key: &IdempotencyKey, answer: Answer) -> Result<Answer, ApiError> {
    let mut connection = house.connection().await?;
    if idempotency::record(&mut connection, key, &answer, house.ctx.clock.now()).await? {
        return Ok(answer);
    }
    let first = idempotency::find(&mut connection, key).await?;
    Ok(first.unwrap_or(answer))
}

fn declined(known: &Known) -> ApiError {
    let code = known.decline_code.clone().unwrap_or_else(|| "card_declined".to_owned());
    let detail = "The payment was declined; no money moved.";
    ApiError::new(Kind::Declined, "payments.declined", detail)
        .with_extension("declineCode", serde_json::Value::from(code))
}
