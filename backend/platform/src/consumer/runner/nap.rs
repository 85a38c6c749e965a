//! Rest for a consumer that has nothing to do.
//!
//! The embedded broker answers a waiting fetch by asking its database again
//! and again, for each partition: a dozen clients that wait cost most of a
//! core. Where every publisher is in this process, a client stops fetching
//! once it is quiet and goes on when a relay tells it. Now and then it looks
//! by itself, for records that somebody put there from outside.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{Consumer as _, StreamConsumer};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::client::{Dealer, Watch};

/// Without a message for this long, fetching stops.
const QUIET: Duration = Duration::from_secs(2);
/// While fetching is stopped, how often it looks by itself.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long such a look lasts.
const LOOK: Duration = Duration::from_millis(500);
/// A client that was woken is asked for at most this long.
const NUDGE: Duration = Duration::from_millis(500);

/// Whether a client fetches, and until when.
pub struct Nap {
    word: Arc<Notify>,
    is_resting: bool,
    /// When to stop fetching, or to look.
    at: Instant,
}

impl Nap {
    /// Awake; `word` comes when something was published.
    pub fn new(word: Arc<Notify>) -> Self {
        Nap { word, is_resting: false, at: Instant::now() + QUIET }
    }

    /// A message came: stay awake.
    pub fn stir(&mut self) {
        self.at = Instant::now() + QUIET;
    }
}

/// Waits until there is something to change and changes it; for ever without
/// a nap. May be dropped while it waits.
pub async fn turn_over(nap: &mut Option<Nap>, dealer: &Dealer<'_>) {
    let Some(nap) = nap else { return std::future::pending().await };
    tokio::select! {
        () = nap.word.notified() => {
            wake(nap, dealer.consumer);
            nap.stir();
        }
        () = tokio::time::sleep_until(nap.at) => {
            let assigned = dealer.consumer.context().was_assigned();
            if assigned {
                // New partitions are fetched whatever was stopped before.
                nap.is_resting = false;
                nap.stir();
            } else if nap.is_resting {
                wake(nap, dealer.consumer);
                nap.at = Instant::now() + LOOK;
            } else if dealer.is_idle() && rest(dealer.consumer) {
                nap.is_resting = true;
                nap.at = Instant::now() + LOOK_EVERY;
            } else {
                nap.stir();
            }
        }
    }
}

/// Stops fetching; false when it goes on.
fn rest(consumer: &StreamConsumer<Watch>) -> bool {
    let paused = consumer.assignment().and_then(|all| consumer.pause(&all));
    paused.inspect_err(|error| tracing::debug!(%error, "resting")).is_ok()
}

/// Fetches again, at once.
fn wake(nap: &mut Nap, consumer: &Arc<StreamConsumer<Watch>>) {
    if !std::mem::take(&mut nap.is_resting) {
        return;
    }
    let all = match consumer.assignment() {
        Ok(all) => all,
        Err(error) => {
            tracing::debug!(%error, "waking");
            return;
        }
    };
    if let Err(error) = consumer.resume(&all) {
        tracing::debug!(%error, "waking");
    }
    // The client's own thread sleeps for up to a second unless it is asked
    // something; what it answers does not matter.
    let Some((topic, partition)) =
        all.elements().first().map(|e| (e.topic().to_owned(), e.partition()))
    else {
        return;
    };
    let consumer = consumer.clone();
    tokio::task::spawn_blocking(move || {
        drop(consumer.fetch_watermarks(&topic, partition, NUDGE));
    });
}
