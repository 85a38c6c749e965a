//! Runs a service's [`Consumer`] against the broker.
//!
//! One client per service. Each partition has a lane, a task that takes its
//! messages in chunks and works on several keys of a chunk at once, the
//! messages of one key in order. What fails is parked in the database and
//! tried again by the [`retry`] half; offsets are stored when a chunk is
//! settled. Delivery is at least once; the inbox makes the effect once.

pub(crate) mod attempt;
mod backlog;
mod chunk;
mod client;
mod lane;
mod live;
mod message;
mod nap;
mod parking;
mod redrive;
mod retry;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use tokio::sync::{Notify, Semaphore};

pub use attempt::Outcome;
pub use client::ConsumerHealth;
pub(crate) use message::presentable;
pub use message::{REDRIVE_DISCARD, REDRIVE_OF};

/// Where consumers say what became of messages that were sent back to them.
pub const REDRIVE_RESULTS: &str = "redrive.results";
/// Of a result: the consumer, and `done`, `duplicate` or `ignored`.
pub const REDRIVE_CONSUMER: &str = "x-redrive-consumer";
pub const REDRIVE_OUTCOME: &str = "x-redrive-outcome";

use super::Consumer;
use crate::config::Broker;
use crate::news::News;
use crate::service::Context;

/// Waits before the second, third and fourth attempt.
pub const RETRY_AFTER: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Where an operator sends messages back to one consumer.
pub fn redrive_topic(consumer: &str) -> String {
    format!("redrive.{consumer}")
}

/// Where the messages of `topic` go that no retry could help.
pub fn dead_letter_topic(topic: &str) -> String {
    format!("{topic}.DLQ")
}

/// How much may wait in the `parked` table.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages of one consumer; beyond, it stops taking new ones.
    pub parked: i64,
    /// Messages of one key; beyond, its partition stops.
    pub parked_per_key: i64,
    /// Events worked on at the same time.
    pub at_once: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { parked: 10_000, parked_per_key: 1_000, at_once: 6 }
    }
}

/// The running half of a service's consumer.
pub struct Runner {
    shared: Arc<Shared>,
    client: ClientConfig,
    /// For times in which it is far behind.
    patient: Option<ClientConfig>,
    /// Where all publishers are in this process: their word.
    news: Option<News>,
    health: ConsumerHealth,
}

/// What lanes and the retry half share.
struct Shared {
    ctx: Context,
    consumer: Consumer,
    limits: Limits,
    permits: Semaphore,
    /// Rows in `parked`, as last counted and changed since.
    parked: AtomicI64,
    /// Something in `parked` changed.
    changed: Notify,
    /// A dependency is away or a limit reached.
    paused: AtomicBool,
}

impl Runner {
    /// A runner for the service of `ctx`. Fails when the broker's configured
    /// properties make no client.
    pub fn new(ctx: Context, consumer: Consumer, broker: &Broker) -> anyhow::Result<Self> {
        Self::with_limits(ctx, consumer, broker, Limits::default())
    }

    pub fn with_limits(
        ctx: Context,
        consumer: Consumer,
        broker: &Broker,
        mut limits: Limits,
    ) -> anyhow::Result<Self> {
        let client = crate::kafka::consumer(broker, consumer.name, consumer.fetch_wait);
        client.create_native_config().context("broker.properties")?;
        let patient = crate::kafka::patient(broker, &client);
        // Requests of the same service need connections too.
        let connections = ctx.pool.options().get_max_connections() as usize;
        limits.at_once = limits.at_once.min(connections / 2).max(1);
        let topic = consumer.topics().first().copied().unwrap_or_default();
        let health = ConsumerHealth::new(topic);
        let shared = Arc::new(Shared {
            ctx,
            consumer,
            permits: Semaphore::new(limits.at_once),
            limits,
            parked: AtomicI64::new(0),
            changed: Notify::new(),
            paused: AtomicBool::new(false),
        });
        Ok(Runner { shared, client, patient, news: None, health })
    }

    /// Lets the consumer rest while nothing is published: right where every
    /// relay whose topics it reads tells `news`.
    pub fn resting(mut self, news: News) -> Self {
        nap::prepare(&mut self.client);
        // One fetch at a time, and nobody waits for it: that is patience enough.
        self.patient = None;
        self.news = Some(news);
        self
    }

    /// Whether the broker answers this consumer.
    pub fn health(&self) -> ConsumerHealth {
        self.health.clone()
    }

    /// Consumes until the drain; outages of database or broker only delay.
    pub async fn run(self) -> anyhow::Result<()> {
        let Runner { shared, client, patient, news, health } = self;
        let house = shared.ctx.lifecycle.clone();
        house.spawn(format!("{} retries", shared.consumer.name), retry::run(shared.clone()));
        let paces = client::Paces { live: &client, patient: patient.as_ref(), news: news.as_ref() };
        client::run(shared, paces, &health).await
    }
}

impl Shared {
    fn pause(&self, why: &str) {
        if !self.paused.swap(true, Ordering::Relaxed) {
            tracing::warn!(consumer = self.consumer.name, why, "consumer pauses");
        }
        metrics::gauge!("consumer_paused", "consumer" => self.consumer.name).set(1.0);
    }

    fn resume(&self) {
        if self.paused.swap(false, Ordering::Relaxed) {
            tracing::info!(consumer = self.consumer.name, "consumer goes on");
            metrics::gauge!("consumer_paused", "consumer" => self.consumer.name).set(0.0);
        }
    }

    fn has_room(&self) -> bool {
        self.parked.load(Ordering::Relaxed) < self.limits.parked
    }

    fn parked_one_more(&self) {
        self.parked.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }
}
