//! Subscriptions: streams of events from the router to clients.
//!
//! Each stream is a task between the router's connection and a short queue that
//! the client empties. The task sees to everything that ends a stream: the router,
//! the client, the caller's token, age, the drain.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use platform::auth::invalid_token;
use platform::lifecycle::Lifecycle;
use platform::{ApiError, Kind};
use shared_types::sse;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::config::SubscriptionConfig;
use super::{answer, upstream};

/// Bytes of one event.
const MAX_EVENT_BYTES: usize = 1 << 20;
/// Events that wait for a client.
const WAITING: usize = 4;
/// The router shows every ten seconds that it lives; one that does not is gone.
const SILENCE: Duration = Duration::from_secs(35);
/// When to try again where there is no place.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// When a client may come back that was sent away by a drain.
const BACK_AFTER: Duration = Duration::from_secs(1);

/// The streams of this process.
pub struct Streams {
    settings: SubscriptionConfig,
    lifecycle: Lifecycle,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// By `caller …` and `address …`.
    of: HashMap<String, usize>,
}

/// A stream's place among the limits; given back on drop.
pub struct Place {
    taken: Arc<Mutex<Taken>>,
    keys: [String; 2],
}

impl Streams {
    pub fn new(settings: SubscriptionConfig, lifecycle: Lifecycle) -> anyhow::Result<Self> {
        settings.check()?;
        Ok(Streams { settings, lifecycle, taken: Arc::default() })
    }

    /// A place for one more stream of `caller` at `address`.
    pub fn place(&self, caller: &str, address: &str) -> Result<Place, ApiError> {
        let keys = [format!("caller {caller}"), format!("address {address}")];
        let limits = [self.settings.max_per_caller, self.settings.max_per_address];
        let mut taken = lock(&self.taken);
        if taken.all >= self.settings.max_streams {
            let detail = "Too many live streams; try again later.";
            return Err(
                ApiError::unavailable("graph.streams_full", detail).retry_after(AGAIN_AFTER)
            );
        }
        for (key, limit) in keys.iter().zip(limits) {
            if taken.of.get(key).copied().unwrap_or(0) >= limit {
                let detail = format!("You have {limit} live streams already; end one first.");
                let error = ApiError::new(Kind::Limited, "graph.too_many_streams", detail);
                return Err(error.retry_after(AGAIN_AFTER));
            }
        }
        taken.all += 1;
        for key in &keys {
            *taken.of.entry(key.clone()).or_default() += 1;
        }
        metrics::gauge!("gateway_graphql_streams").set(taken.all as f64);
        Ok(Place { taken: self.taken.clone(), keys })
    }

    /// Hands `events` of the router to a client whose token is good for `time_left`.
    pub fn serve(
        &self,
        place: Place,
        events: Incoming,
        time_left: Duration,
        explorable: bool,
    ) -> Response {
        let (out, waiting) = mpsc::channel(WAITING);
        let now = Instant::now();
        let running = Running {
            events,
            reader: sse::Reader::new(MAX_EVENT_BYTES),
            heard: now,
            out,
            patience: self.settings.patience(),
            heartbeat: self.settings.heartbeat(),
            token_ends: now + time_left,
            ends: now + self.settings.longest(),
            lifecycle: self.lifecycle.clone(),
            explorable,
        };
        self.lifecycle.spawn("a stream of the graph", async move {
            let why = running.run().await;
            metrics::counter!("gateway_graphql_streams_ended_total", "why" => why).increment(1);
            drop(place);
            Ok(())
        });
        let taken = stream::unfold(waiting, |mut waiting| async move {
            let text: String = waiting.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), waiting))
        });
        answer::streamed(Body::from_stream(taken))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all -= 1;
        for key in &self.keys {
            if let Some(count) = taken.of.get_mut(key) {
                *count -= 1;
                if *count == 0 {
                    taken.of.remove(key);
                }
            }
        }
        metrics::gauge!("gateway_graphql_streams").set(taken.all as f64);
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One stream while it lasts.
struct Running {
    events: Incoming,
    reader: sse::Reader,
    /// When the router last said something.
    heard: Instant,
    out: mpsc::Sender<String>,
    patience: Duration,
    heartbeat: Duration,
    token_ends: Instant,
    ends: Instant,
    lifecycle: Lifecycle,
    explorable: bool,
}

/// Why a stream ends, in a word for the metric.
enum End {
    /// The client is told nothing more.
    Quiet(&'static str),
    /// It is told why.
    Told(&'static str, ApiError),
}

impl Running {
    async fn run(mut self) -> &'static str {
        let (why, text) = match self.events_until_the_end().await {
            End::Quiet(why) => return why,
            End::Told(why, error) => (why, answer::last_words(&error)),
        };
        // Whoever does not take it sees the connection end.
        let _ = timeout(self.patience, self.out.send(text)).await;
        why
    }

    async fn events_until_the_end(&mut self) -> End {
        let mut beat = interval_at(Instant::now() + self.heartbeat, self.heartbeat);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (text, complete) = tokio::select! {
                biased;
                () = self.lifecycle.draining() => return restarting(),
                () = sleep_until(self.token_ends) => return End::Told("token", invalid_token()),
                () = sleep_until(self.ends) => return too_old(),
                () = self.out.closed() => return End::Quiet("client"),
                frame = self.events.frame() => match frame {
                    Some(Ok(frame)) => {
                        self.heard = Instant::now();
                        let bytes = frame.into_data().unwrap_or_default();
                        match self.read(&bytes) {
                            Ok(said) => said,
                            Err(end) => return end,
                        }
                    }
                    // It ended in the middle.
                    Some(Err(_)) | None => return End::Told("router", upstream::away()),
                },
                () = sleep_until(self.heard + SILENCE) => {
                    return End::Told("router", upstream::away());
                }
                _ = beat.tick() => (sse::HEARTBEAT.to_owned(), false),
            };
            if text.is_empty() {
                continue;
            }
            if let Some(end) = self.send(text).await {
                return end;
            }
            if complete {
                return End::Quiet("complete");
            }
        }
    }

    /// What these bytes of the router say, as the client is told, and whether that
    /// is all.
    fn read(&mut self, bytes: &[u8]) -> Result<(String, bool), End> {
        let events = self.reader.push(bytes).map_err(|sse::TooLong| {
            let detail = "An event would be too large; ask for fewer fields.";
            End::Told("too_large", ApiError::new(Kind::Refused, "graph.answer_too_large", detail))
        })?;
        let mut text = String::new();
        for event in events {
            match event.name.as_str() {
                "next" => {
                    let told = answer::event(&event.data, self.explorable);
                    text += &told.map_err(|refusal| End::Told("router", refusal.error))?;
                }
                "complete" => {
                    text += &sse::write("complete", "");
                    return Ok((text, true));
                }
                _ => {}
            }
        }
        Ok((text, false))
    }

    /// Waits until the client takes it, but not for ever.
    async fn send(&self, text: String) -> Option<End> {
        tokio::select! {
            biased;
            sent = timeout(self.patience, self.out.send(text)) => match sent {
                Ok(Ok(())) => None,
                Ok(Err(_)) => Some(End::Quiet("client")),
                Err(_) => Some(End::Quiet("slow")),
            },
            () = self.lifecycle.draining() => Some(restarting()),
        }
    }
}

fn restarting() -> End {
    let error = ApiError::unavailable("graph.away", "The shop restarts; subscribe again.");
    End::Told("drain", error.retry_after(BACK_AFTER))
}

fn too_old() -> End {
    let detail = "No stream lives longer; subscribe again.";
    End::Told("age", ApiError::new(Kind::Unavailable, "graph.stream_over", detail))
}
