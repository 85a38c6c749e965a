//! Tries parked messages again: the first of each key when it is due, then the
//! ones behind it, in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sqlx::Row;

use super::Shared;
use super::attempt::{self, Origin};
use super::message::Failure;
use super::parking::{self, Parked};
use crate::consumer::HandleError;

/// How often due messages are looked for.
const EVERY: Duration = Duration::from_millis(200);
/// How often everything parked is looked at: counted, and searched for
/// messages left behind by a race.
const FULL_EVERY: Duration = Duration::from_secs(2);
/// Keys taken up in one look.
const KEYS: i64 = 64;
/// Without its dependency a message waits this long.
const DEPENDENCY_AWAY: Duration = Duration::from_secs(2);
/// The inbox remembers for so long; messages older than this never come again.
const INBOX_KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
const PRUNE_EVERY: Duration = Duration::from_secs(600);
const PRUNED_AT_ONCE: i64 = 20_000;

/// Works until the drain. An outage of the database only delays.
pub async fn run(shared: Arc<Shared>) -> anyhow::Result<()> {
    let house = shared.ctx.lifecycle.clone();
    let mut looked: Option<Instant> = None;
    let mut pruned: Option<Instant> = None;
    let mut changed = true;
    while !house.is_draining() {
        let full = changed || looked.is_none_or(|at| at.elapsed() >= FULL_EVERY);
        match look(&shared, full).await {
            Ok(()) if full => looked = Some(Instant::now()),
            Ok(()) => {}
            Err(error) => tracing::warn!(
                consumer = shared.consumer.name,
                error = format!("{error:#}"),
                "retries wait"
            ),
        }
        if pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            pruned = Some(Instant::now());
            if let Err(error) = prune(&shared).await {
                tracing::warn!(consumer = shared.consumer.name, %error, "inbox not pruned");
            }
        }
        changed = tokio::select! {
            () = shared.changed.notified() => true,
            awake = house.sleep(EVERY) => { if !awake { break; } false }
        };
    }
    Ok(())
}

async fn look(shared: &Shared, full: bool) -> anyhow::Result<()> {
    if full {
        count(shared).await?;
    }
    // Nothing parked, nothing to ask; the full look notices what others park.
    if !full && shared.parked.load(Ordering::Relaxed) == 0 {
        return Ok(());
    }
    let sql = if full { ANY_HEADS } else { DUE_HEADS };
    let heads: Vec<i64> = sqlx::query_scalar(sql)
        .bind(shared.consumer.name)
        .bind(shared.ctx.clock.now())
        .bind(KEYS)
        .fetch_all(&shared.ctx.pool)
        .await?;
    let work = heads.into_iter().map(|id| settle_key(shared, id));
    let mut results = futures_util::stream::iter(work).buffer_unordered(shared.limits.at_once);
    while let Some(result) = results.next().await {
        result?;
    }
    Ok(())
}

/// First messages of their key whose time has come.
const DUE_HEADS: &str = "
SELECT p.id FROM parked p
WHERE p.consumer = $1 AND p.retry_at <= $2 AND p.dead_at IS NULL
  AND (octet_length(p.message_key) = 0 OR NOT EXISTS (
        SELECT 1 FROM parked e
        WHERE e.consumer = $1 AND e.topic = p.topic AND e.message_key = p.message_key AND e.id < p.id))
ORDER BY p.retry_at LIMIT $3";

/// The same, and followers whose first message is gone.
const ANY_HEADS: &str = "
SELECT id FROM (
    SELECT DISTINCT ON (topic, message_key, lone) id, retry_at, dead_at
    FROM (SELECT *, CASE WHEN octet_length(message_key) = 0 THEN id ELSE 0 END AS lone
          FROM parked WHERE consumer = $1) AS mine
    ORDER BY topic, message_key, lone, id
) AS heads
WHERE dead_at IS NULL AND (retry_at IS NULL OR retry_at <= $2)
ORDER BY retry_at NULLS FIRST LIMIT $3";

const NEXT: &str = "
SELECT id FROM (
    SELECT id, dead_at, retry_at FROM parked
    WHERE consumer = $1 AND topic = $2 AND message_key = $3 ORDER BY id LIMIT 1
) AS head WHERE dead_at IS NULL AND retry_at IS NULL";

/// Tries the message `id`, then its followers until one fails.
async fn settle_key(shared: &Shared, id: i64) -> anyhow::Result<()> {
    let mut next = Some(id);
    while let Some(id) = next {
        if shared.ctx.lifecycle.is_draining() {
            return Ok(());
        }
        let Some(parked) = parking::load(&shared.ctx.pool, id).await? else { return Ok(()) };
        if !settle_one(shared, &parked).await? || parked.message.key.is_empty() {
            return Ok(());
        }
        next = sqlx::query_scalar(NEXT)
            .bind(shared.consumer.name)
            .bind(&parked.message.topic)
            .bind(&parked.message.key)
            .fetch_optional(&shared.ctx.pool)
            .await?;
    }
    Ok(())
}

/// True when the message is out of the way.
async fn settle_one(shared: &Shared, parked: &Parked) -> anyhow::Result<bool> {
    let _permit = shared.permits.acquire().await?;
    let attempted = async {
        let event = attempt::decode(&parked.message.value)?;
        let origin = Origin::Parked { id: parked.id, attempts: parked.attempts };
        let (pool, now) = (&shared.ctx.pool, shared.ctx.clock.now());
        let receipt = super::redrive::receipt(shared, &parked.message);
        attempt::run_from(&shared.consumer, pool, now, &event, origin, receipt).await
    };
    match attempted.await {
        Ok(_) => {
            shared.parked.fetch_sub(1, Ordering::Relaxed);
            Ok(true)
        }
        Err(HandleError::Dependency(error)) => {
            shared.pause(&super::message::presentable(&format!("{error:#}")));
            let until = shared.ctx.clock.now().plus(DEPENDENCY_AWAY);
            parking::put_off(shared, parked, until).await?;
            Ok(false)
        }
        Err(error) => {
            let hopeless = matches!(error, HandleError::Poison { .. });
            parking::failed_again(shared, parked, &Failure::of(&error), hopeless).await?;
            Ok(false)
        }
    }
}

async fn count(shared: &Shared) -> anyhow::Result<()> {
    let name = shared.consumer.name;
    let row = sqlx::query(
        "SELECT count(*) AS parked, count(dead_at) AS dead FROM parked WHERE consumer = $1",
    )
    .bind(name)
    .fetch_one(&shared.ctx.pool)
    .await?;
    let (parked, dead): (i64, i64) = (row.try_get("parked")?, row.try_get("dead")?);
    shared.parked.store(parked, Ordering::Relaxed);
    metrics::gauge!("consumer_parked", "consumer" => name).set((parked - dead) as f64);
    metrics::gauge!("consumer_dead", "consumer" => name).set(dead as f64);
    let full = f64::from(u8::from(parked >= shared.limits.parked));
    metrics::gauge!("consumer_parked_full", "consumer" => name).set(full);
    Ok(())
}

async fn prune(shared: &Shared) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM inbox WHERE (consumer, event_id) IN
           (SELECT consumer, event_id FROM inbox WHERE done_at < $1 LIMIT $2)",
    )
    .bind(shared.ctx.clock.now().minus(INBOX_KEPT))
    .bind(PRUNED_AT_ONCE)
    .execute(&shared.ctx.pool)
    .await?;
    Ok(())
}
