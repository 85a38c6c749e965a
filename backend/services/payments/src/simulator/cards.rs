//! Card payments in steps, over the ledger that all endpoints share: what the
//! Stripe- and Adyen-like endpoints have in common.
//!
//! Unlike the legacy gateway these recognise repeats: the first answer to a key
//! is given again. The ledger gets an entry when money moves or is declined.

mod actions;
mod adyen;
mod effects;
mod notify;
mod stripe;
mod tokens;

use std::time::Duration;

use axum::Router;
use serde_json::Value;
use sha2::{Digest, Sha256};
use shared_types::{Currency, Money, Timestamp};
use sqlx::{FromRow, PgConnection};

use super::behaviour::{Deed, Meaning, meaning};
use super::gateway::{Gateway, Reply};
use super::ledger;

pub fn router() -> Router<Gateway> {
    Router::new()
        .merge(stripe::router())
        .merge(adyen::router())
        .merge(actions::router())
        .merge(tokens::router())
}

#[derive(Clone, Debug, FromRow)]
pub struct CardPayment {
    pub id: String,
    pub via: String,
    pub order_id: String,
    pub attempt_id: String,
    pub amount_minor: i64,
    pub captured_minor: i64,
    pub currency: Currency,
    pub manual: bool,
    pub token: String,
    pub status: String,
    pub decline_code: Option<String>,
    pub return_url: Option<String>,
    pub action_result: Option<String>,
    pub at: Timestamp,
}

impl CardPayment {
    pub fn money(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
}

/// A refund as the ledger has it.
#[derive(Clone, Debug)]
pub struct Refunded {
    pub id: String,
    pub refund_id: String,
    pub money: Money,
    pub charge: String,
}

/// What is asked of the gateway.
#[derive(Clone, Debug)]
pub enum Ask {
    Create {
        order_id: String,
        attempt_id: String,
        money: Money,
        manual: bool,
        token: String,
        return_url: Option<String>,
        /// A card that needs an action is declined instead.
        no_action: bool,
        confirm: bool,
    },
    Confirm {
        id: String,
        token: Option<String>,
    },
    /// `reference`: under which its notification comes, where there is one.
    Capture {
        id: String,
        units: Option<Money>,
        reference: String,
    },
    Cancel {
        id: String,
        reference: String,
    },
    Refund {
        id: String,
        money: Option<Money>,
        refund_id: String,
    },
    /// The buyer did it, or would not.
    Act {
        id: String,
        approve: bool,
    },
    /// What the redirect brought back.
    Details {
        result: String,
    },
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum Done {
    Payment(CardPayment),
    Refund(Refunded),
    No { code: &'static str, text: String },
}

/// An answer in the words of an endpoint.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: u16,
    pub body: Value,
}

/// How an endpoint says what became of something.
pub type Words = fn(&Done, &str) -> Answered;

/// A call: under its key it happens once.
pub struct Call {
    pub via: &'static str,
    pub key: Option<String>,
    pub ask: Ask,
    pub words: Words,
    /// Where the caller found us, for addresses in answers.
    pub base: String,
}

/// Tries for a free key lock.
const KEY_TRIES: u32 = 200;

impl Gateway {
    /// Does what is asked as the controls have it; runs to its end even when
    /// the caller hangs up.
    pub async fn card(&self, call: Call) -> Reply<Answered> {
        let gateway = self.clone();
        self.unhurried(async move {
            match gateway.card_now(&call).await {
                Ok(reply) => reply,
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "a simulated card call failed");
                    Reply::Lost
                }
            }
        })
        .await
    }

    async fn card_now(&self, call: &Call) -> sqlx::Result<Reply<Answered>> {
        let deed = match &call.ask {
            Ask::Act { .. } => Deed::Work,
            ask => self.deed_of(ask).await?,
        };
        match deed {
            Deed::Fault => return Ok(super::gateway::unavailable()),
            Deed::LostBefore => return Ok(Reply::Lost),
            Deed::Slow => tokio::time::sleep(self.controls().slow()).await,
            Deed::Work | Deed::Decline | Deed::LostAfter | Deed::Duplicate => {}
        }
        let answered = self.once(call, deed == Deed::Decline).await?;
        Ok(match deed {
            Deed::LostAfter => Reply::Lost,
            _ => Reply::Answer(answered),
        })
    }

    /// Chance and script first, then the token.
    async fn deed_of(&self, ask: &Ask) -> sqlx::Result<Deed> {
        let drawn = self.drawn().await;
        let Ask::Create { token, order_id, attempt_id, .. } = ask else { return Ok(drawn) };
        match (drawn, meaning(Some(token))) {
            (Deed::Work, Meaning::Does(Deed::LostBefore)) => {
                // Only once per attempt, so that a careful caller gets through.
                let attempt = format!("{order_id}/{attempt_id}");
                let first =
                    ledger::first_loss(self.pool(), &attempt, self.ctx().clock.now()).await?;
                Ok(if first { Deed::LostBefore } else { Deed::Work })
            }
            (Deed::Work, Meaning::Does(its)) => Ok(its),
            (drawn, _) => Ok(drawn),
        }
    }

    /// The first answer to a key is the answer to every repeat.
    async fn once(&self, call: &Call, decline: bool) -> sqlx::Result<Answered> {
        let Some(key) = &call.key else {
            let mut tx = self.pool().begin().await?;
            let done = self.perform(&mut tx, call.via, &call.ask, decline).await?;
            tx.commit().await?;
            self.tell(call, &done);
            return Ok((call.words)(&done, &call.base));
        };
        let fingerprint = Sha256::digest(format!("{:?}", call.ask)).to_vec();
        for _ in 0..KEY_TRIES {
            let mut tx = self.pool().begin().await?;
            let locked: bool =
                sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))")
                    .bind(format!("{}/{key}", call.via))
                    .fetch_one(&mut *tx)
                    .await?;
            if !locked {
                drop(tx);
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            if let Some(earlier) = answered(&mut tx, call.via, key, &fingerprint).await? {
                return Ok(earlier.unwrap_or_else(|| other_payload(call)));
            }
            let done = self.perform(&mut tx, call.via, &call.ask, decline).await?;
            let answer = (call.words)(&done, &call.base);
            remember(&mut tx, call.via, key, &fingerprint, &answer, self.ctx().clock.now()).await?;
            tx.commit().await?;
            self.tell(call, &done);
            return Ok(answer);
        }
        let text = "the first call with this key still runs".to_owned();
        Ok((call.words)(&Done::No { code: "in_progress", text }, &call.base))
    }
}

fn other_payload(call: &Call) -> Answered {
    let text = "this key was used with another payload".to_owned();
    (call.words)(&Done::No { code: "idempotency_error", text }, &call.base)
}

/// None: not answered yet; Some(None): answered, but to another payload.
async fn answered(
    tx: &mut PgConnection,
    via: &str,
    key: &str,
    fingerprint: &[u8],
) -> sqlx::Result<Option<Option<Answered>>> {
    let row: Option<(Vec<u8>, i16, String)> = sqlx::query_as(
        "SELECT fingerprint, status, body FROM card_answers WHERE via = $1 AND key = $2",
    )
    .bind(via)
    .bind(key)
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|(of, status, body)| {
        let body = serde_json::from_str(&body).unwrap_or_default();
        (of == fingerprint).then(|| Answered { status: status.unsigned_abs(), body })
    }))
}

async fn remember(
    tx: &mut PgConnection,
    via: &str,
    key: &str,
    fingerprint: &[u8],
    answer: &Answered,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO card_answers (via, key, fingerprint, status, body, at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(via)
    .bind(key)
    .bind(fingerprint)
    .bind(i16::try_from(answer.status).unwrap_or(500))
    .bind(answer.body.to_string())
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// Payments of an order through one endpoint.
pub async fn of_order(
    gateway: &Gateway,
    via: &str,
    order_id: &str,
) -> sqlx::Result<Vec<CardPayment>> {
    sqlx::query_as(
        "SELECT * FROM card_payments WHERE via = $1 AND order_id = $2 ORDER BY id DESC LIMIT 100",
    )
    .bind(via)
    .bind(order_id)
    .fetch_all(gateway.pool())
    .await
}

/// One payment.
pub async fn find(gateway: &Gateway, id: &str) -> sqlx::Result<Option<CardPayment>> {
    sqlx::query_as("SELECT * FROM card_payments WHERE id = $1")
        .bind(id)
        .fetch_optional(gateway.pool())
        .await
}
