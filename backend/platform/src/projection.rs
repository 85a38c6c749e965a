//! Read models: tables that are a fold over the event log, and disposable.
//!
//! [`live`] keeps one up to date in batches; [`replay()`] rebuilds it beside the
//! live one while traffic goes on, compares row by row and swaps. A fold is
//! idempotent by itself (each row knows the version it has seen), so neither
//! needs an inbox: reading a stretch of the log twice changes nothing.

mod log;
mod replay;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use rdkafka::Message as _;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use sha2::{Digest, Sha256};
use sqlx::{Acquire as _, PgConnection};

pub use replay::{Part, Plan, Report, plan, replay};

use crate::consumer::Received;
use crate::service::Context;

/// A table that is a fold over events.
///
/// The table has the columns `version` (of the newest event seen) and
/// `updated_at` (when that happened), and nothing refers to it.
#[async_trait]
pub trait ReadModel: Send + Sync + 'static {
    /// As people name it: `order-summaries`.
    fn name(&self) -> &'static str;
    /// The live table.
    fn table(&self) -> &'static str;
    /// Its primary key: one column, or several with commas.
    fn key(&self) -> &'static str;
    fn topics(&self) -> &'static [&'static str];
    /// Folds events, in the order of the log, into `table`, which is the live
    /// one or a copy. What a row has seen already, and what cannot be decoded,
    /// changes nothing.
    async fn fold(
        &self,
        tx: &mut PgConnection,
        table: &str,
        events: &[Received],
    ) -> anyhow::Result<()>;
}

/// Events of one transaction of the live fold.
const BATCH: usize = 500;
/// How long a batch may fill.
const FILL: Duration = Duration::from_millis(200);
const FETCH_WAIT: Duration = Duration::from_millis(250);
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The advisory lock between folding and swapping.
fn lock_id(model: &dyn ReadModel) -> i64 {
    let digest = Sha256::digest(format!("read model {}", model.table()));
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(bytes)
}

/// Folds what comes until the drain; outages of database or broker only delay.
pub async fn live(ctx: Context, model: Arc<dyn ReadModel>) -> anyhow::Result<()> {
    while !ctx.lifecycle.is_draining() {
        let Err(error) = follow(&ctx, &*model).await else { break };
        let error = format!("{error:#}");
        tracing::warn!(model = model.name(), error, "a read model starts reading again");
        ctx.lifecycle.sleep(AGAIN).await;
    }
    Ok(())
}

async fn follow(ctx: &Context, model: &dyn ReadModel) -> anyhow::Result<()> {
    let group = format!("{}.{}", ctx.service, model.name());
    let broker = &ctx.config.ground.broker;
    let consumer: StreamConsumer = crate::kafka::consumer(broker, &group, FETCH_WAIT).create()?;
    consumer.subscribe(model.topics()).context("subscribing")?;
    loop {
        let Some(batch) = next_batch(ctx, &consumer).await? else { return Ok(()) };
        let mut pause = AGAIN;
        while let Err(error) = fold_once(ctx, model, &batch.events).await {
            let error = format!("{error:#}");
            tracing::warn!(model = model.name(), error, "a read model waits");
            if !ctx.lifecycle.sleep(pause).await {
                return Ok(());
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        for (topic, partition, offset) in &batch.ends {
            // Not ours any more: its next owner reads the stretch again.
            let _ = consumer.store_offset(topic, *partition, *offset);
        }
        metrics::counter!("read_model_events_total", "model" => model.name())
            .increment(batch.events.len() as u64);
    }
}

#[derive(Default)]
struct Batch {
    events: Vec<Received>,
    /// The last offset of each partition.
    ends: std::collections::BTreeSet<(String, i32, i64)>,
}

/// Waits for events and then a little for more; none when draining began.
async fn next_batch(ctx: &Context, consumer: &StreamConsumer) -> anyhow::Result<Option<Batch>> {
    let mut batch = Batch::default();
    let mut until: Option<tokio::time::Instant> = None;
    let mut taken = 0;
    while taken < BATCH {
        let rest = until.unwrap_or_else(|| tokio::time::Instant::now() + Duration::from_secs(3600));
        let message = tokio::select! {
            biased;
            () = ctx.lifecycle.draining() => return Ok(None),
            message = consumer.recv() => message?,
            () = tokio::time::sleep_until(rest) => break,
        };
        until.get_or_insert_with(|| tokio::time::Instant::now() + FILL);
        taken += 1;
        let (topic, partition) = (message.topic().to_owned(), message.partition());
        batch.ends.retain(|(t, p, _)| (t, *p) != (&topic, partition));
        batch.ends.insert((topic, partition, message.offset()));
        batch.events.extend(log::decoded(message.payload()));
    }
    Ok(Some(batch))
}

async fn fold_once(
    ctx: &Context,
    model: &dyn ReadModel,
    events: &[Received],
) -> anyhow::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let mut connection = ctx.pool.acquire().await?;
    let mut tx = connection.begin().await?;
    // A swap waits for us, and we for it.
    sqlx::query("SELECT pg_advisory_xact_lock_shared($1)")
        .bind(lock_id(model))
        .execute(&mut *tx)
        .await?;
    model.fold(&mut tx, model.table(), events).await?;
    Ok(tx.commit().await?)
}
