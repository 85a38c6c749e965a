//! Messages that an operator sends back, or gives up.

use sqlx::{PgConnection, Row};

use super::attempt::{self, Origin, Outcome};
use super::message::{Failure, Incoming, REDRIVE_OF};
use super::parking::count_dead;
use super::{REDRIVE_CONSUMER, REDRIVE_OUTCOME, REDRIVE_RESULTS, RETRY_AFTER, Shared};
use crate::consumer::HandleError;
use crate::outbox::{Outbox, RawRecord};

/// Tells the one who sent a message back that it is settled, on the transaction
/// that settles it.
#[derive(Clone, Copy, Debug)]
pub struct Receipt<'a> {
    outbox: &'a Outbox,
    consumer: &'static str,
    of: &'a str,
}

/// The receipt owed for `message`; none when nobody sent it back.
pub fn receipt<'a>(shared: &'a Shared, message: &'a Incoming) -> Option<Receipt<'a>> {
    let of = message.headers.get(REDRIVE_OF)?;
    Some(Receipt { outbox: &shared.ctx.outbox, consumer: shared.consumer.name, of })
}

impl Receipt<'_> {
    pub async fn give(&self, tx: &mut PgConnection, outcome: Outcome) -> anyhow::Result<()> {
        let outcome = match outcome {
            Outcome::Done => "done",
            Outcome::Duplicate => "duplicate",
            Outcome::Ignored => "ignored",
            // Not settled here: it waits in `parked`, or somebody else has it.
            Outcome::Behind | Outcome::Gone => return Ok(()),
        };
        let headers =
            [(REDRIVE_OF, self.of), (REDRIVE_CONSUMER, self.consumer), (REDRIVE_OUTCOME, outcome)];
        let record = RawRecord {
            topic: REDRIVE_RESULTS.to_owned(),
            key: Some(self.of.as_bytes().to_vec()),
            value: None,
            headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        self.outbox.append_raw(tx, record).await
    }
}

/// Settles a message that came back. False when nothing of it is parked here:
/// then it is handled like any other.
pub async fn settle(shared: &Shared, message: &Incoming) -> anyhow::Result<bool> {
    let row = sqlx::query(
        "SELECT id, dead_at IS NOT NULL AS dead FROM parked
         WHERE consumer = $1 AND topic = $2 AND kafka_partition = $3 AND kafka_offset = $4",
    )
    .bind(shared.consumer.name)
    .bind(&message.topic)
    .bind(message.partition)
    .bind(message.offset)
    .fetch_optional(&shared.ctx.pool)
    .await?;
    let Some(row) = row else { return Ok(message.is_discard()) };
    if !row.try_get::<bool, _>("dead")? {
        // It is being tried already; the one that waits here decides.
        tracing::info!(consumer = shared.consumer.name, "redrive of a message that is not dead");
        return Ok(true);
    }
    let id: i64 = row.try_get("id")?;
    if message.is_discard() {
        discard(shared, id).await?;
    } else {
        again(shared, id, message).await?;
    }
    // Followers may go on, or a retry is due soon.
    shared.changed.notify_one();
    Ok(true)
}

async fn discard(shared: &Shared, id: i64) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM parked WHERE id = $1 AND dead_at IS NOT NULL")
        .bind(id)
        .execute(&shared.ctx.pool)
        .await?;
    Ok(())
}

async fn again(shared: &Shared, id: i64, message: &Incoming) -> anyhow::Result<()> {
    let attempted = async {
        let event = attempt::decode(&message.value)?;
        let (pool, now) = (&shared.ctx.pool, shared.ctx.clock.now());
        let receipt = receipt(shared, message);
        attempt::run_from(&shared.consumer, pool, now, &event, Origin::Dead { id }, receipt).await
    };
    let error = match attempted.await {
        Ok(_) => return Ok(()),
        Err(HandleError::Dependency(error)) => return Err(error),
        Err(error) => error,
    };
    let hopeless = matches!(error, HandleError::Poison { .. });
    revive(shared, id, message, &Failure::of(&error), hopeless).await
}

/// The message failed again: it starts over with its retries, in its old
/// place, or is dead again at once.
async fn revive(
    shared: &Shared,
    id: i64,
    message: &Incoming,
    failure: &Failure,
    hopeless: bool,
) -> anyhow::Result<()> {
    let now = shared.ctx.clock.now();
    let (retry_at, dead_at) =
        if hopeless { (None, Some(now)) } else { (Some(now.plus(RETRY_AFTER[0])), None) };
    let mut tx = shared.ctx.pool.begin().await?;
    let changed = sqlx::query(
        "UPDATE parked SET value = $2, headers = $3, attempts = 1, first_failed_at = $4,
                           retry_at = $5, dead_at = $6, error_code = $7, error = $8
         WHERE id = $1 AND dead_at IS NOT NULL",
    )
    .bind(id)
    .bind(&message.value)
    .bind(sqlx::types::Json(&message.headers))
    .bind(now)
    .bind(retry_at)
    .bind(dead_at)
    .bind(&failure.code)
    .bind(&failure.error)
    .execute(&mut *tx)
    .await?;
    let dies = hopeless && changed.rows_affected() > 0;
    if dies {
        let record = message.dead_letter(shared.consumer.name, 1, failure, now);
        shared.ctx.outbox.append_raw(&mut tx, record).await?;
    }
    tx.commit().await?;
    if dies {
        count_dead(shared, failure);
    }
    Ok(())
}
