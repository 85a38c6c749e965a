//! Requests at a pace, by a fixed number of senders.
//!
//! A sender takes the next request, waits until it is due and sends it; latency
//! counts from the moment it was due, so that a shop that stalls cannot hide
//! those that would have come meanwhile. Without a rate all senders send as
//! fast as they are answered, and latency counts from sending.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::report::Latencies;

/// What became of a request: counted under this word.
pub type Word = String;

#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Requests per second; 0: as fast as they are answered.
    pub rate: u32,
    pub lasting: Duration,
    /// Requests under way at once.
    pub senders: usize,
}

#[derive(Debug, Default)]
pub struct Paced {
    pub answers: BTreeMap<Word, u64>,
    pub latencies: Latencies,
    pub took: Duration,
}

impl Paced {
    pub fn count(&self, word: &str) -> u64 {
        self.answers.get(word).copied().unwrap_or(0)
    }

    pub fn total(&self) -> u64 {
        self.answers.values().sum()
    }

    pub fn per_second(&self) -> f64 {
        self.total() as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }
}

/// Sends until time is up; `send` gets the number of its sender.
pub async fn run<F, Fut>(pace: Pace, send: F) -> anyhow::Result<Paced>
where
    F: Fn(usize) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Word> + Send,
{
    let (send, next) = (Arc::new(send), Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let end = started + pace.lasting;
    let mut senders = JoinSet::new();
    for sender in 0..pace.senders {
        let (send, next) = (send.clone(), next.clone());
        senders.spawn(async move {
            let mut seen = Paced::default();
            loop {
                let mut due = Instant::now();
                if pace.rate > 0 {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let nanos = number.saturating_mul(1_000_000_000) / u64::from(pace.rate);
                    due = started + Duration::from_nanos(nanos);
                }
                if due >= end {
                    return seen;
                }
                if due > Instant::now() {
                    sleep_until(due).await;
                }
                let word = send(sender).await;
                seen.latencies.add(due.elapsed());
                *seen.answers.entry(word).or_default() += 1;
            }
        });
    }
    let mut all = Paced::default();
    while let Some(seen) = senders.join_next().await {
        let seen = seen?;
        all.latencies.extend(&seen.latencies);
        for (word, count) in seen.answers {
            *all.answers.entry(word).or_default() += count;
        }
    }
    all.took = started.elapsed();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pace_is_kept_and_every_answer_is_counted() {
        let pace = Pace { rate: 1_000, lasting: Duration::from_millis(200), senders: 8 };
        let paced = run(pace, async |_| "ok".to_owned()).await.unwrap();
        assert_eq!((paced.count("ok"), paced.total()), (200, 200));
    }
}
