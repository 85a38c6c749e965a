//! Publishes the outbox of one service, in aggregate order, until the broker
//! has acknowledged every row.
//!
//! One relay per schema is active, across processes: it holds a session lock
//! on a connection of its own and reads and deletes through that same
//! connection, so that losing the lock ends its work; others stand by. Rows
//! are found by being there, never by "id greater than the last", so that one
//! committed late is not skipped. A row leaves only after its acknowledgement.

mod gauges;
mod pace;
mod publish;
mod record;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::ClientConfig;
use sqlx::{Connection, PgConnection};

use self::pace::Pace;
use self::publish::{Publisher, Round};
use self::record::Row;
use crate::config::{Broker, EngineMode};
use crate::news::News;
use crate::service::Context;
use crate::wakes::Wakes;

/// Rows of one round.
const BATCH: i64 = 1_000;
/// From one round to the next, at least: a round costs the embedded broker a
/// transaction for each partition, however few rows it has.
const BEAT_EMBEDDED: Duration = Duration::from_millis(20);
const BEAT: Duration = Duration::from_millis(2);
/// How often somebody who stands by asks for the lock.
const STANDBY: Duration = Duration::from_millis(500);
/// NOTIFY takes less than 8,000 bytes; keys that are followed are far shorter.
const MAX_KEY_BYTES: usize = 1_000;
/// What was committed before the drain is published within this.
const DRAIN: Duration = Duration::from_secs(4);
/// The drain ends when nothing was found for this long.
const QUIET: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// The publishing half of a service's outbox.
pub struct Relay {
    ctx: Context,
    producer: ClientConfig,
    news: News,
    /// Who follows what the events are about, in any process.
    wakes: Option<Wakes>,
    beat: Duration,
    /// When the drain began.
    draining_since: Option<Instant>,
}

impl Relay {
    /// A relay for the service of `ctx`. Fails when the broker's configured
    /// properties make no client.
    pub fn new(ctx: Context, broker: &Broker) -> anyhow::Result<Self> {
        let producer = crate::kafka::producer(broker, ctx.service);
        // Creating one finds a wrong property now instead of later.
        Publisher::new(&producer).context("broker.properties")?;
        let beat = match broker.mode {
            EngineMode::Embedded => BEAT_EMBEDDED,
            EngineMode::External => BEAT,
        };
        let news = News::default();
        Ok(Relay { ctx, producer, news, wakes: None, beat, draining_since: None })
    }

    /// Tells consumers in this process what was published.
    pub fn telling(mut self, news: News) -> Self {
        self.news = news;
        self
    }

    /// Tells `wakes` the partition keys of what is published. Before the broker has
    /// it: the change is committed, and whoever follows it reads the database.
    pub fn waking(mut self, wakes: Option<Wakes>) -> Self {
        self.wakes = wakes;
        self
    }

    /// Publishes until the drain; outages of database or broker only delay.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let ctx = self.ctx.clone();
        tokio::select! {
            done = self.publish_until_drained() => done,
            never = gauges::run(&ctx) => never,
        }
    }

    async fn publish_until_drained(&mut self) -> anyhow::Result<()> {
        let mut backoff = Duration::from_millis(50);
        loop {
            let began = Instant::now();
            match self.session().await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!(
                        service = self.ctx.service,
                        error = format!("{error:#}"),
                        "relay starts again"
                    );
                }
            }
            if began.elapsed() > Duration::from_secs(30) {
                backoff = Duration::from_millis(50);
            }
            if !self.rest(backoff).await {
                return Ok(());
            }
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    /// One connection: waits for the lock, then publishes until the drain is
    /// over or the connection breaks.
    async fn session(&mut self) -> anyhow::Result<()> {
        let mut connection = self.ctx.pool.acquire().await.context("connecting")?.detach();
        while !lock(&mut connection).await? {
            if !self.ctx.lifecycle.sleep(STANDBY).await {
                return Ok(());
            }
        }
        tracing::debug!(service = self.ctx.service, "relay is active");
        let outcome = self.publish(&mut connection).await;
        // Closing gives the lock back; when that fails the server notices.
        let _ = connection.close().await;
        outcome
    }

    async fn publish(&mut self, connection: &mut PgConnection) -> anyhow::Result<()> {
        let mut publisher = Publisher::new(&self.producer)?;
        let mut pace = Pace::default();
        let mut last_found = Instant::now();
        let mut stuck = Duration::ZERO;
        loop {
            let (held, began) = (publisher.held_topics(), Instant::now());
            let rows = Row::load(connection, BATCH, &held).await.context("reading the outbox")?;
            let full = rows.len() as i64 == BATCH;
            if rows.is_empty() {
                if self.is_draining() && (last_found.elapsed() > QUIET || self.drain_is_over()) {
                    return Ok(());
                }
                let draining = self.is_draining();
                pace.wait(&self.ctx.outbox, draining).await;
                continue;
            }
            last_found = Instant::now();
            self.tell(connection, &rows).await?;
            let round = publisher.round(&rows, connection, &mut || self.drain_is_over()).await?;
            self.settle(connection, &rows, &round).await?;
            if round.given_up {
                return Ok(());
            }
            if round.needs_new_producer {
                publisher = publisher.renewed(&self.producer).await?;
            }
            if round.progressed() {
                stuck = Duration::ZERO;
                pace.found(full);
                if !full {
                    tokio::time::sleep(self.beat.saturating_sub(began.elapsed())).await;
                }
            } else {
                stuck = (stuck * 2).clamp(Duration::from_millis(100), MAX_BACKOFF);
                if !self.rest(stuck).await {
                    return Ok(());
                }
            }
        }
    }

    async fn tell(&self, connection: &mut PgConnection, rows: &[Row]) -> anyhow::Result<()> {
        let Some(wakes) = &self.wakes else { return Ok(()) };
        let keys: BTreeSet<&str> = rows.iter().map(|row| row.partition_key.as_str()).collect();
        let keys: Vec<&str> = keys.into_iter().filter(|key| key.len() <= MAX_KEY_BYTES).collect();
        wakes.tell(connection, &keys).await.context("telling of changes")
    }

    /// Deletes what was acknowledged; moves aside what was refused for good.
    async fn settle(
        &self,
        connection: &mut PgConnection,
        rows: &[Row],
        round: &Round,
    ) -> anyhow::Result<()> {
        let service = self.ctx.service;
        if !round.acknowledged.is_empty() {
            let acknowledged = rows.iter().filter(|row| round.acknowledged.contains(&row.id));
            self.news.published(acknowledged.map(|row| row.topic.as_str()));
            sqlx::query("DELETE FROM outbox WHERE id = ANY($1)")
                .bind(&round.acknowledged)
                .execute(&mut *connection)
                .await
                .context("deleting published rows")?;
            metrics::counter!("outbox_published_total", "service" => service)
                .increment(round.acknowledged.len() as u64);
        }
        for (id, reason) in &round.refused {
            let Some(row) = rows.iter().find(|row| row.id == *id) else { continue };
            tracing::error!(
                service,
                id,
                topic = row.topic,
                reason,
                "the broker refused a record for good"
            );
            row.bury(connection, reason, &self.ctx).await.context("burying a row")?;
            metrics::counter!("outbox_refused_total", "service" => service).increment(1);
        }
        Ok(())
    }

    /// Sleeps, shorter while draining; false when the drain is over.
    async fn rest(&mut self, time: Duration) -> bool {
        if !self.ctx.lifecycle.sleep(time).await {
            tokio::time::sleep(time.min(Duration::from_millis(100))).await;
        }
        !self.drain_is_over()
    }

    fn is_draining(&mut self) -> bool {
        let draining = self.ctx.lifecycle.is_draining();
        if draining {
            self.draining_since.get_or_insert_with(Instant::now);
        }
        draining
    }

    fn drain_is_over(&mut self) -> bool {
        self.is_draining() && self.draining_since.is_some_and(|since| since.elapsed() > DRAIN)
    }
}

/// The lock of this schema's relay; dies with the session.
async fn lock(connection: &mut PgConnection) -> anyhow::Result<bool> {
    sqlx::query_scalar(
        "SELECT pg_try_advisory_lock(hashtext('outbox relay'), hashtext(current_schema()))",
    )
    .fetch_one(connection)
    .await
    .context("asking for the relay's lock")
}
