//! The Kafka client: receives, deals out to lanes, follows rebalances, and is
//! made anew when it fails for good.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Message, Statistics};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lane::Lane;
use super::message::Incoming;
use super::nap::{self, Nap};
use super::{Shared, backlog, redrive_topic};
use crate::news::News;

/// The stream is asked again after this long, in case a wake-up got lost.
const ASK_AGAIN: Duration = Duration::from_secs(5);
const REMAKE: Duration = Duration::from_secs(1);
/// Lanes get this long to finish the message they work on.
const LANES_END: Duration = Duration::from_secs(10);
/// Leaving the group and the last commit.
const LEAVE: Duration = Duration::from_secs(3);
const SAME_ERROR_EVERY: Duration = Duration::from_secs(10);
/// With more messages waiting than this, a client is far behind.
const FAR_BEHIND: i64 = 2_000;
/// With fewer than this it has caught up.
const NEARLY_THERE: i64 = 200;
/// A change of clients costs a rebalance: not more often than this.
const STAY: Duration = Duration::from_secs(5);
const METADATA: Duration = Duration::from_secs(2);

type Partition = (String, i32);

/// Ends lanes whose partition goes to somebody else, and measures lag.
pub struct Watch {
    consumer: &'static str,
    lanes: Mutex<HashMap<Partition, CancellationToken>>,
    fatal: AtomicBool,
    /// Messages that wait in the partitions of this client, as last heard.
    behind: AtomicI64,
    /// Partitions were given to this client since it was last asked.
    assigned: AtomicBool,
}

impl Watch {
    /// Whether partitions were given to this client since the last question.
    pub(super) fn was_assigned(&self) -> bool {
        self.assigned.swap(false, Ordering::Relaxed)
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<Partition, CancellationToken>> {
        self.lanes.lock().unwrap_or_else(|p| p.into_inner())
    }
}

impl ClientContext for Watch {
    fn stats(&self, statistics: Statistics) {
        let mut behind: Option<i64> = None;
        for topic in statistics.topics.values() {
            for partition in topic.partitions.values().filter(|p| p.partition >= 0) {
                let labels = [
                    ("consumer", self.consumer.to_owned()),
                    ("topic", topic.topic.clone()),
                    ("partition", partition.partition.to_string()),
                ];
                // Unknown (-1) until the first commit, and for partitions of others.
                let lag = partition.consumer_lag.max(0);
                if partition.consumer_lag >= 0 {
                    behind = Some(behind.unwrap_or(0) + lag);
                }
                metrics::gauge!("consumer_lag", &labels).set(lag as f64);
            }
        }
        if let Some(behind) = behind {
            self.behind.store(behind, Ordering::Relaxed);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fatal.store(true, Ordering::Relaxed);
        }
        tracing::debug!(consumer = self.consumer, %error, reason, "Kafka client");
    }
}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let mut lanes = self.lanes();
            for element in list.elements() {
                if let Some(stop) = lanes.remove(&(element.topic().to_owned(), element.partition()))
                {
                    stop.cancel();
                }
            }
        }
    }

    fn post_rebalance(&self, client: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            tracing::debug!(consumer = self.consumer, partitions = list.count(), "assigned");
            self.assigned.store(true, Ordering::Relaxed);
            // A pause of the last owner, if that was us, must not stay.
            if list.count() > 0
                && let Err(error) = client.resume(list)
            {
                tracing::debug!(consumer = self.consumer, %error, "resuming");
            }
        }
    }
}

/// Asks whether the broker answers; cheap to clone.
#[derive(Clone)]
pub struct ConsumerHealth {
    topic: &'static str,
    current: Arc<Mutex<Weak<StreamConsumer<Watch>>>>,
}

impl ConsumerHealth {
    pub(super) fn new(topic: &'static str) -> Self {
        ConsumerHealth { topic, current: Arc::default() }
    }

    fn set(&self, consumer: &Arc<StreamConsumer<Watch>>) {
        *self.current.lock().unwrap_or_else(|p| p.into_inner()) = Arc::downgrade(consumer);
    }

    /// Fails with the reason when the broker does not answer within 2 s.
    pub async fn check(&self) -> anyhow::Result<()> {
        let consumer = self.current.lock().unwrap_or_else(|p| p.into_inner()).upgrade();
        let consumer = consumer.context("the consumer is not running")?;
        let topic = self.topic;
        let asked = tokio::task::spawn_blocking(move || {
            consumer.fetch_metadata(Some(topic), METADATA).map(drop)
        });
        asked.await.context("asking the broker")?.context("the broker does not answer")
    }
}

/// How a consumer may ask the broker.
pub struct Paces<'a> {
    pub live: &'a ClientConfig,
    /// For times in which this consumer is far behind.
    pub patient: Option<&'a ClientConfig>,
    /// With word from all publishers, it asks nothing while nothing happens.
    pub news: Option<&'a News>,
}

/// Consumes until the drain.
pub async fn run(
    shared: Arc<Shared>,
    paces: Paces<'_>,
    health: &ConsumerHealth,
) -> anyhow::Result<()> {
    let Paces { live, patient, news } = paces;
    let topics: Vec<&'static str> = shared.consumer.topics().to_vec();
    let mut is_far = match patient {
        Some(_) => backlog::of(live, topics).await > FAR_BEHIND,
        None => false,
    };
    while !shared.ctx.lifecycle.is_draining() {
        let config = patient.filter(|_| is_far).unwrap_or(live);
        let turn = Turn { at: Instant::now(), is_far, may_change: patient.is_some() };
        metrics::gauge!("consumer_catching_up", "consumer" => shared.consumer.name)
            .set(if is_far { 1.0 } else { 0.0 });
        match once(&shared, config, health, &turn, news).await {
            Ok(End::Drained) => break,
            Ok(End::Changed) => {
                is_far = !is_far;
                tracing::info!(consumer = shared.consumer.name, is_far, "another pace");
                continue;
            }
            Err(error) => {
                let (consumer, error) = (shared.consumer.name, format!("{error:#}"));
                tracing::error!(consumer, error, "Kafka client failed, making a new one");
                metrics::counter!("consumer_restarts_total", "consumer" => consumer).increment(1);
            }
        }
        shared.ctx.lifecycle.sleep(REMAKE).await;
    }
    Ok(())
}

/// Why a client's life ended.
enum End {
    Drained,
    /// It fell behind, or has caught up.
    Changed,
}

/// What a client is for.
struct Turn {
    at: Instant,
    is_far: bool,
    may_change: bool,
}

impl Turn {
    /// Whether a client of the other kind would do better now.
    fn is_over(&self, behind: i64) -> bool {
        let other = if self.is_far { behind < NEARLY_THERE } else { behind > FAR_BEHIND };
        self.may_change && other && self.at.elapsed() > STAY
    }
}

/// One client's life; an error when another one has to follow.
async fn once(
    shared: &Arc<Shared>,
    config: &ClientConfig,
    health: &ConsumerHealth,
    turn: &Turn,
    news: Option<&News>,
) -> anyhow::Result<End> {
    let watch = Watch {
        consumer: shared.consumer.name,
        lanes: Mutex::default(),
        fatal: AtomicBool::new(false),
        behind: AtomicI64::new(if turn.is_far { i64::MAX } else { 0 }),
        assigned: AtomicBool::new(false),
    };
    let consumer: StreamConsumer<Watch> = config.create_with_context(watch)?;
    let consumer = Arc::new(consumer);
    let redrive = redrive_topic(shared.consumer.name);
    let mut topics: Vec<&str> = shared.consumer.topics().to_vec();
    topics.push(&redrive);
    consumer.subscribe(&topics).context("subscribing")?;
    health.set(&consumer);
    let mut dealer =
        Dealer { shared, consumer: &consumer, lanes: HashMap::new(), alive: TaskTracker::new() };
    let nap = news.map(|news| Nap::new(news.listen(&topics), shared.consumer.fetch_wait));
    let outcome = receive(&mut dealer, &redrive, turn, nap).await;
    dealer.end().await;
    drop(dealer);
    leave(consumer).await;
    outcome
}

async fn receive(
    dealer: &mut Dealer<'_>,
    redrive: &str,
    turn: &Turn,
    mut nap: Option<Nap>,
) -> anyhow::Result<End> {
    let consumer = dealer.consumer;
    let mut last_error: Option<(KafkaError, Instant)> = None;
    loop {
        let received = tokio::select! {
            biased;
            () = dealer.shared.ctx.lifecycle.draining() => return Ok(End::Drained),
            received = tokio::time::timeout(ASK_AGAIN, consumer.recv()) => received.ok(),
            () = nap::turn_over(&mut nap, dealer) => None,
        };
        if let Some((code, reason)) = consumer.client().fatal_error() {
            anyhow::bail!("{code}: {reason}");
        }
        anyhow::ensure!(!consumer.context().fatal.load(Ordering::Relaxed), "fatal client error");
        if turn.is_over(consumer.context().behind.load(Ordering::Relaxed)) {
            return Ok(End::Changed);
        }
        match received {
            Some(Ok(message)) => {
                let place = (message.topic().to_owned(), message.partition(), message.offset());
                let incoming = Incoming::of(&message, redrive);
                if let Some(nap) = &mut nap {
                    nap.stir(message.topic());
                }
                drop(message);
                dealer.deal(place, incoming).await;
            }
            Some(Err(error)) => {
                let repeated = last_error
                    .as_ref()
                    .is_some_and(|(e, at)| *e == error && at.elapsed() < SAME_ERROR_EVERY);
                if !repeated {
                    tracing::warn!(consumer = dealer.shared.consumer.name, %error, "Kafka client");
                    last_error = Some((error, Instant::now()));
                }
            }
            None => {}
        }
    }
}

/// Deals messages out to the lanes of their partitions.
pub(super) struct Dealer<'a> {
    shared: &'a Arc<Shared>,
    pub(super) consumer: &'a Arc<StreamConsumer<Watch>>,
    lanes: HashMap<Partition, Lane>,
    alive: TaskTracker,
}

impl Dealer<'_> {
    /// Every partition is fetched: to rest and to wake changes all of them.
    pub(super) fn may_rest(&self) -> bool {
        self.lanes.values().all(Lane::is_fetched)
    }

    async fn deal(&mut self, (topic, partition, offset): (String, i32, i64), message: Incoming) {
        let place = (topic, partition);
        if self.lanes.get(&place).is_none_or(|lane| lane.stop.is_cancelled()) {
            let lane = self.open(&place);
            self.lanes.insert(place.clone(), lane);
        }
        if let Some(lane) = self.lanes.get(&place) {
            lane.push(self.consumer, message, offset).await;
        }
    }

    fn open(&mut self, place: &Partition) -> Lane {
        // Lanes of partitions that went away.
        self.lanes.retain(|_, lane| !lane.stop.is_cancelled());
        let stop = self.shared.ctx.lifecycle.soft_token().child_token();
        self.consumer.context().lanes().insert(place.clone(), stop.clone());
        let (topic, partition) = (&place.0, place.1);
        Lane::start(self.shared, self.consumer, topic, partition, stop, self.alive.token())
    }

    async fn end(&mut self) {
        for (_, lane) in self.lanes.drain() {
            lane.stop.cancel();
        }
        self.consumer.context().lanes().clear();
        self.alive.close();
        if tokio::time::timeout(LANES_END, self.alive.wait()).await.is_err() {
            tracing::warn!(consumer = self.shared.consumer.name, "lanes do not end");
        }
    }
}

/// Commits what is stored and leaves the group. On a thread of its own: with a
/// broker that is away this blocks for longer than we care to wait.
async fn leave(consumer: Arc<StreamConsumer<Watch>>) {
    let (done, left) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("kafka-leave".into()).spawn(move || {
        drop(consumer);
        // Nobody may wait any more.
        let _ = done.send(());
    });
    if thread.is_err() || tokio::time::timeout(LEAVE, left).await.is_err() {
        tracing::warn!("leaving the consumer group takes too long");
    }
}
