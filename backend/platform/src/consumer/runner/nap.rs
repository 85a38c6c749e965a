//! Rest for a consumer, between two fetches and when there is nothing to do.
//!
//! The embedded broker answers a waiting fetch by asking its database again
//! and again, for each partition: a dozen clients that wait cost most of a
//! core, and under load each of them fetches what little came since the last
//! fetch. Where every publisher is in this process, a client fetches only when
//! a relay said that there is something, once per beat, and rests in between.
//! Now and then it looks by itself, for records that somebody put there from
//! outside.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::time::Instant;

use super::client::{Dealer, Watch};
use crate::news::Ear;

/// After messages came, the next one would be there within this: what one fetch
/// brought is dealt out.
const DEALT: Duration = Duration::from_millis(3);
/// Without a message for this long, a fetch that was asked for brought nothing.
const NOTHING: Duration = Duration::from_millis(200);
/// A client that was just given partitions, or began, looks for so long.
const BEGINNING: Duration = Duration::from_secs(2);
/// How often it looks without having been told.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A client that was woken is asked for at most this long.
const NUDGE: Duration = Duration::from_millis(500);

/// A fetch that brought so many messages is followed by the next at once.
const MANY: usize = 100;

/// Settings of a client that rests: no fetch beyond the one that was asked for
/// while its messages are dealt out.
pub fn prepare(client: &mut ClientConfig) {
    client
        .set("fetch.wait.max.ms", "100")
        .set("queued.min.messages", "1")
        .set("fetch.queue.backoff.ms", "100");
}

/// Whether a client fetches, and until when.
pub struct Nap {
    ear: Arc<Ear>,
    /// From one fetch to the next, at least.
    beat: Duration,
    is_resting: bool,
    /// Topics that may have more than this waking brings.
    wanted: BTreeSet<String>,
    /// Messages since the client was last woken.
    brought: usize,
    /// When the client was last woken.
    woken: Instant,
    /// When to rest, or to wake.
    at: Instant,
}

impl Nap {
    /// Awake; `ear` hears what is published.
    pub fn new(ear: Arc<Ear>, beat: Duration) -> Self {
        let now = Instant::now();
        let wanted = BTreeSet::new();
        let (woken, at) = (now, now + BEGINNING);
        Nap { ear, beat, is_resting: false, wanted, brought: 0, woken, at }
    }

    /// A message of `topic` came.
    pub fn stir(&mut self, topic: &str) {
        // One fetch need not bring everything.
        if !self.wanted.contains(topic) {
            self.wanted.insert(topic.to_owned());
        }
        self.brought += 1;
        self.at = Instant::now() + DEALT;
    }

    /// Something was published.
    fn told(&mut self) {
        self.wanted.append(&mut self.ear.take());
        if self.is_resting {
            self.at = self.at.min(self.next_beat());
        }
    }

    fn next_beat(&self) -> Instant {
        let now = Instant::now();
        if self.brought < MANY { (self.woken + self.beat).max(now) } else { now }
    }
}

/// Waits until there is something to change and changes it; for ever without
/// a nap. May be dropped while it waits.
pub async fn turn_over(nap: &mut Option<Nap>, dealer: &Dealer<'_>) {
    let Some(nap) = nap else { return std::future::pending().await };
    tokio::select! {
        () = nap.ear.heard() => nap.told(),
        () = tokio::time::sleep_until(nap.at) => change(nap, dealer),
    }
}

fn change(nap: &mut Nap, dealer: &Dealer<'_>) {
    let now = Instant::now();
    if dealer.consumer.context().was_assigned() {
        // New partitions are fetched whatever was stopped before.
        nap.is_resting = false;
        nap.at = now + BEGINNING;
    } else if nap.is_resting {
        // What is published from here on is told again.
        nap.told();
        let wanted = std::mem::take(&mut nap.wanted);
        nap.is_resting = false;
        nap.brought = 0;
        nap.woken = now;
        nap.at = now + NOTHING;
        wake(dealer.consumer, &wanted);
    } else if dealer.may_rest() && rest(dealer.consumer) {
        nap.is_resting = true;
        nap.at = if nap.wanted.is_empty() { now + LOOK_EVERY } else { nap.next_beat() };
    } else {
        nap.at = now + NOTHING;
    }
}

/// Stops fetching; false when it goes on.
fn rest(consumer: &StreamConsumer<Watch>) -> bool {
    let paused = consumer.assignment().and_then(|all| consumer.pause(&all));
    paused.inspect_err(|error| tracing::debug!(%error, "resting")).is_ok()
}

/// Fetches from `topics` again, at once; from all when there are none.
fn wake(consumer: &Arc<StreamConsumer<Watch>>, topics: &BTreeSet<String>) {
    let all = match consumer.assignment() {
        Ok(all) => all,
        Err(error) => {
            tracing::debug!(%error, "waking");
            return;
        }
    };
    let mut wanted = TopicPartitionList::new();
    for place in all.elements() {
        if topics.is_empty() || topics.contains(place.topic()) {
            wanted.add_partition(place.topic(), place.partition());
        }
    }
    if let Err(error) = consumer.resume(&wanted) {
        tracing::debug!(%error, "waking");
    }
    // The client's own thread sleeps for up to a second unless it is asked
    // something; what it answers does not matter.
    let Some((topic, partition)) =
        wanted.elements().first().map(|e| (e.topic().to_owned(), e.partition()))
    else {
        return;
    };
    let consumer = consumer.clone();
    tokio::task::spawn_blocking(move || {
        drop(consumer.fetch_watermarks(&topic, partition, NUDGE));
    });
}
