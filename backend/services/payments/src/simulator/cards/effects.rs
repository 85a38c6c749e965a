//! What happens in the ledger when something is asked.

use shared_types::{Money, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Ask, CardPayment, Done, Refunded};
use crate::simulator::behaviour::{Meaning, meaning};
use crate::simulator::gateway::Gateway;
use crate::simulator::ledger::{self, NewEntry};
use crate::soap::messages::Status;

impl Gateway {
    /// On the caller's transaction; `decline`: whatever the card would say.
    pub(super) async fn perform(
        &self,
        tx: &mut PgConnection,
        via: &'static str,
        ask: &Ask,
        decline: bool,
    ) -> sqlx::Result<Done> {
        let now = self.ctx().clock.now();
        match ask {
            Ask::Create { money, confirm, .. } => {
                let declines = decline || self.controls().declines(*money);
                let payment = insert(tx, via, ask, now).await?;
                match confirm {
                    true => authorize(tx, payment, None, no_action(ask), declines, now).await,
                    false => Ok(Done::Payment(payment)),
                }
            }
            Ask::Confirm { id, token } => match lock(tx, via, id).await? {
                Some(payment) if payment.status == "NEW" => {
                    authorize(tx, payment, token.as_deref(), false, decline, now).await
                }
                found => Ok(unexpected(found.as_ref(), "be confirmed")),
            },
            Ask::Capture { id, units, .. } => match lock(tx, via, id).await? {
                Some(payment) if payment.status == "AUTHORIZED" => {
                    capture(tx, payment, *units, now).await
                }
                found => Ok(unexpected(found.as_ref(), "be captured")),
            },
            Ask::Cancel { id, .. } => match lock(tx, via, id).await? {
                Some(p)
                    if matches!(p.status.as_str(), "NEW" | "REQUIRES_ACTION" | "AUTHORIZED") =>
                {
                    Ok(Done::Payment(set(tx, p, "CANCELED", None, 0).await?))
                }
                found => Ok(unexpected(found.as_ref(), "be canceled")),
            },
            Ask::Refund { id, money, refund_id } => {
                let refused = decline;
                refund(tx, via, id, *money, refund_id, refused, now).await
            }
            Ask::Act { id, approve } => match lock_any(tx, id).await? {
                Some(p) if p.status == "REQUIRES_ACTION" => act(tx, p, *approve, now).await,
                found => Ok(unexpected(found.as_ref(), "be acted on")),
            },
            Ask::Details { result } => match by_result(tx, via, result).await? {
                Some(p) if p.status == "REQUIRES_ACTION" => {
                    finish(tx, p, result.starts_with("ok_"), now).await
                }
                found => Ok(unexpected(found.as_ref(), "go on")),
            },
        }
    }
}

fn no_action(ask: &Ask) -> bool {
    matches!(ask, Ask::Create { no_action: true, .. })
}

fn unexpected(found: Option<&CardPayment>, what: &str) -> Done {
    match found {
        None => Done::No { code: "resource_missing", text: "there is no such payment".to_owned() },
        Some(payment) => {
            let text = format!("a payment that is {} cannot {what}", payment.status);
            Done::No { code: "payment_intent_unexpected_state", text }
        }
    }
}

async fn insert(
    tx: &mut PgConnection,
    via: &str,
    ask: &Ask,
    now: Timestamp,
) -> sqlx::Result<CardPayment> {
    let Ask::Create { order_id, attempt_id, money, manual, token, return_url, .. } = ask else {
        return Err(sqlx::Error::RowNotFound);
    };
    let id = Uuid::now_v7().simple();
    let id = if via == "STRIPE" { format!("pi_{id}") } else { format!("PSP{id}").to_uppercase() };
    sqlx::query_as(
        "INSERT INTO card_payments (id, via, order_id, attempt_id, amount_minor, currency, manual,
             token, status, return_url, at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'NEW', $9, $10) RETURNING *",
    )
    .bind(id)
    .bind(via)
    .bind(order_id)
    .bind(attempt_id)
    .bind(money.minor)
    .bind(money.currency)
    .bind(manual)
    .bind(token)
    .bind(return_url)
    .bind(now)
    .fetch_one(tx)
    .await
}

pub async fn lock_any(tx: &mut PgConnection, id: &str) -> sqlx::Result<Option<CardPayment>> {
    sqlx::query_as("SELECT * FROM card_payments WHERE id = $1 FOR UPDATE")
        .bind(id)
        .fetch_optional(tx)
        .await
}

async fn lock(tx: &mut PgConnection, via: &str, id: &str) -> sqlx::Result<Option<CardPayment>> {
    Ok(lock_any(tx, id).await?.filter(|payment| payment.via == via))
}

async fn by_result(
    tx: &mut PgConnection,
    via: &str,
    result: &str,
) -> sqlx::Result<Option<CardPayment>> {
    sqlx::query_as("SELECT * FROM card_payments WHERE action_result = $1 AND via = $2 FOR UPDATE")
        .bind(result)
        .bind(via)
        .fetch_optional(tx)
        .await
}

async fn set(
    tx: &mut PgConnection,
    payment: CardPayment,
    status: &str,
    decline_code: Option<&str>,
    captured_minor: i64,
) -> sqlx::Result<CardPayment> {
    sqlx::query_as(
        "UPDATE card_payments SET status = $2, decline_code = $3, captured_minor = $4
         WHERE id = $1 RETURNING *",
    )
    .bind(payment.id)
    .bind(status)
    .bind(decline_code)
    .bind(captured_minor)
    .fetch_one(tx)
    .await
}

async fn enter(
    tx: &mut PgConnection,
    payment: &CardPayment,
    money: Money,
    status: Status,
    reason: Option<&str>,
    now: Timestamp,
) -> sqlx::Result<()> {
    let new = NewEntry {
        transaction_id: &payment.id,
        order_id: &payment.order_id,
        refund: false,
        status,
        decline_reason: reason,
        money,
        attempt_id: Some(&payment.attempt_id),
        refund_id: None,
        refund_of: None,
        via: &payment.via,
        now,
    };
    ledger::add(tx, &new).await
}

/// What the card says.
async fn authorize(
    tx: &mut PgConnection,
    mut payment: CardPayment,
    token: Option<&str>,
    no_action: bool,
    decline: bool,
    now: Timestamp,
) -> sqlx::Result<Done> {
    if let Some(token) = token {
        token.clone_into(&mut payment.token);
    }
    let code = match meaning(Some(&payment.token)) {
        Meaning::Declined(code) => Some(code),
        Meaning::RequiresAction if no_action => Some("authentication_required"),
        Meaning::RequiresAction => {
            return Ok(Done::Payment(set(tx, payment, "REQUIRES_ACTION", None, 0).await?));
        }
        Meaning::Ok | Meaning::Does(_) => decline.then_some("card_declined"),
    };
    match code {
        Some(code) => declined(tx, payment, code, now).await,
        None => finish(tx, payment, true, now).await,
    }
}

async fn declined(
    tx: &mut PgConnection,
    payment: CardPayment,
    code: &str,
    now: Timestamp,
) -> sqlx::Result<Done> {
    enter(tx, &payment, payment.money(), Status::Declined, Some(code), now).await?;
    Ok(Done::Payment(set(tx, payment, "DECLINED", Some(code), 0).await?))
}

/// Authorised, or taken at once.
async fn finish(
    tx: &mut PgConnection,
    payment: CardPayment,
    approved: bool,
    now: Timestamp,
) -> sqlx::Result<Done> {
    if !approved {
        return declined(tx, payment, "authentication_failed", now).await;
    }
    if payment.manual {
        return Ok(Done::Payment(set(tx, payment, "AUTHORIZED", None, 0).await?));
    }
    let (money, minor) = (payment.money(), payment.amount_minor);
    enter(tx, &payment, money, Status::Approved, None, now).await?;
    Ok(Done::Payment(set(tx, payment, "CAPTURED", None, minor).await?))
}

async fn capture(
    tx: &mut PgConnection,
    payment: CardPayment,
    wanted: Option<Money>,
    now: Timestamp,
) -> sqlx::Result<Done> {
    let money = wanted.unwrap_or(payment.money());
    if money.currency != payment.currency || !(1..=payment.amount_minor).contains(&money.minor) {
        let text = "more than was authorised, or another currency".to_owned();
        return Ok(Done::No { code: "amount_too_large", text });
    }
    enter(tx, &payment, money, Status::Approved, None, now).await?;
    Ok(Done::Payment(set(tx, payment, "CAPTURED", None, money.minor).await?))
}

/// Where the result is handed over by the redirect, the payment goes on when
/// it is; else at once.
async fn act(
    tx: &mut PgConnection,
    payment: CardPayment,
    approve: bool,
    now: Timestamp,
) -> sqlx::Result<Done> {
    if payment.via == "STRIPE" {
        return finish(tx, payment, approve, now).await;
    }
    let word = if approve { "ok" } else { "no" };
    let result = format!("{word}_{}", Uuid::new_v4().simple());
    let payment =
        sqlx::query_as("UPDATE card_payments SET action_result = $2 WHERE id = $1 RETURNING *")
            .bind(payment.id)
            .bind(result)
            .fetch_one(tx)
            .await?;
    Ok(Done::Payment(payment))
}

async fn refund(
    tx: &mut PgConnection,
    via: &str,
    id: &str,
    wanted: Option<Money>,
    refund_id: &str,
    refused: bool,
    now: Timestamp,
) -> sqlx::Result<Done> {
    let missing = || Done::No {
        code: "resource_missing",
        text: "there is no such captured payment".to_owned(),
    };
    if lock(tx, via, id).await?.is_none() {
        return Ok(missing());
    }
    let Some(charge) = ledger::lock_charge(tx, Some(id), None).await? else {
        return Ok(missing());
    };
    let left = charge.amount_minor - ledger::refunded_minor(tx, id).await?;
    let money = wanted.unwrap_or(Money::new(left, charge.currency));
    if money.currency != charge.currency || !(1..=left).contains(&money.minor) {
        let text = "more than what is left of the charge, or another currency".to_owned();
        return Ok(Done::No { code: "amount_too_large", text });
    }
    if refused {
        let text = "the refund was refused".to_owned();
        return Ok(Done::No { code: "refund_declined", text });
    }
    let id = Uuid::now_v7().simple();
    let id = if via == "STRIPE" { format!("re_{id}") } else { format!("PSP{id}").to_uppercase() };
    let new = NewEntry {
        transaction_id: &id,
        order_id: &charge.order_id,
        refund: true,
        status: Status::Approved,
        decline_reason: None,
        money,
        attempt_id: None,
        refund_id: Some(refund_id),
        refund_of: Some(&charge.transaction_id),
        via,
        now,
    };
    ledger::add(tx, &new).await?;
    let (refund_id, charge) = (refund_id.to_owned(), charge.transaction_id);
    Ok(Done::Refund(Refunded { id, refund_id, money, charge }))
}
