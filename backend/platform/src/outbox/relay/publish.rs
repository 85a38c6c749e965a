//! One round of sending: everything in order, then every acknowledgement.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};
use sqlx::{Connection, PgConnection};

use super::record::Row;

/// How long a topic that the broker does not know is left alone at first.
const HOLD_TOPIC: Duration = Duration::from_secs(1);
const MAX_HOLD_TOPIC: Duration = Duration::from_secs(30);
/// A topic still unknown at this try is refused for good.
const UNKNOWN_TOPIC_TRIES: u32 = 6;
/// While acknowledgements are missing, how often the lock's connection is tried.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// What a round came to.
#[derive(Default)]
pub(super) struct Round {
    pub(super) acknowledged: Vec<i64>,
    /// Refused for good, with the reason.
    pub(super) refused: Vec<(i64, String)>,
    /// The producer stopped itself so that no gap appears.
    pub(super) needs_new_producer: bool,
    /// The drain ended before the broker answered.
    pub(super) given_up: bool,
}

impl Round {
    pub(super) fn progressed(&self) -> bool {
        !self.acknowledged.is_empty() || !self.refused.is_empty()
    }
}

struct Held {
    until: Instant,
    tries: u32,
}

/// The producer, and what it learned about topics and keys.
pub(super) struct Publisher {
    producer: FutureProducer,
    service: String,
    held: BTreeMap<String, Held>,
    /// Keys whose oldest row was refused together with others: next time each
    /// row goes alone, which shows who is to blame.
    suspects: BTreeSet<(String, String)>,
}

/// What an error says about the record.
enum Verdict {
    Permanent,
    UnknownTopic,
    Later,
}

impl Publisher {
    pub(super) fn new(config: &ClientConfig) -> anyhow::Result<Self> {
        let producer: FutureProducer = config.create().context("making a producer")?;
        let service = config.get("client.id").unwrap_or_default().to_owned();
        Ok(Publisher { producer, service, held: BTreeMap::new(), suspects: BTreeSet::new() })
    }

    /// The same knowledge with a new producer.
    pub(super) async fn renewed(self, config: &ClientConfig) -> anyhow::Result<Self> {
        let Publisher { producer, held, suspects, .. } = self;
        // Dropping waits for the client's thread.
        tokio::task::spawn_blocking(move || drop(producer)).await.context("ending a producer")?;
        Ok(Publisher { held, suspects, ..Publisher::new(config)? })
    }

    /// Topics to leave alone for now.
    pub(super) fn held_topics(&self) -> Vec<String> {
        let now = Instant::now();
        self.held.iter().filter(|(_, h)| h.until > now).map(|(topic, _)| topic.clone()).collect()
    }

    /// Sends `rows` in order and waits for the broker. `over` says that the
    /// drain's time is up; `lock` is the connection that holds the lock.
    pub(super) async fn round(
        &mut self,
        rows: &[Row],
        lock: &mut PgConnection,
        over: &mut (dyn FnMut() -> bool + Send),
    ) -> anyhow::Result<Round> {
        let mut round = Round::default();
        let (alone, together): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| self.suspects.contains(&key_of(row)));
        let mut tried = BTreeSet::new();
        for row in alone {
            // Of each suspect key only the oldest: what comes of it decides.
            if round.needs_new_producer || round.given_up || !tried.insert(key_of(row)) {
                continue;
            }
            self.send(&[row], true, lock, over, &mut round).await?;
        }
        if !together.is_empty() && !round.needs_new_producer && !round.given_up {
            self.send(&together, false, lock, over, &mut round).await?;
        }
        Ok(round)
    }

    async fn send(
        &mut self,
        rows: &[&Row],
        alone: bool,
        lock: &mut PgConnection,
        over: &mut (dyn FnMut() -> bool + Send),
        round: &mut Round,
    ) -> anyhow::Result<()> {
        let began = SystemTime::now();
        let mut waiting = FuturesUnordered::new();
        // Keys whose row could not even be handed over.
        let mut blocked = BTreeSet::new();
        for row in rows {
            if blocked.contains(&key_of(row)) {
                continue;
            }
            match self.hand_over(row) {
                Ok(delivery) => waiting.push(async move { (*row, delivery.await) }),
                Err(Refusal::ForGood(reason)) => round.refused.push((row.id, reason)),
                Err(Refusal::Full) => break,
                Err(Refusal::Failed(error)) => {
                    blocked.insert(key_of(row));
                    self.learn(row, alone, &error, round);
                }
            }
        }
        let mut ticks = tokio::time::interval(LOOK_AROUND);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.tick().await;
        while !waiting.is_empty() {
            tokio::select! {
                Some((row, result)) = waiting.next() => match result {
                    Ok(Ok(_)) => {
                        row.note_published(&self.service, began);
                        self.acknowledge(row, round);
                    }
                    Ok(Err((error, _))) => self.learn(row, alone, &error, round),
                    // The producer went away under us.
                    Err(_) => round.needs_new_producer = true,
                },
                _ = ticks.tick() => {
                    if over() {
                        round.given_up = true;
                        return Ok(());
                    }
                    lock.ping().await.context("the lock's connection is gone")?;
                }
            }
        }
        round.needs_new_producer |= self.producer.client().fatal_error().is_some();
        Ok(())
    }

    fn hand_over(&self, row: &Row) -> Result<DeliveryFuture, Refusal> {
        let record = row
            .record(&self.service)
            .map_err(|e| Refusal::ForGood(format!("it makes no record: {e:#}")))?;
        let mut future = FutureRecord::<[u8], [u8]>::to(&row.topic)
            .payload(&record.value)
            .headers(record.headers);
        if let Some(key) = &record.key {
            future = future.key(key);
        }
        self.producer.send_result(future).map_err(|(error, _)| match error.rdkafka_error_code() {
            Some(Code::QueueFull) => Refusal::Full,
            // Refused before it was sent: there is no gap.
            Some(Code::MessageSizeTooLarge) => {
                Refusal::ForGood(format!("{} bytes are too many", record.value.len()))
            }
            _ => Refusal::Failed(error),
        })
    }

    fn acknowledge(&mut self, row: &Row, round: &mut Round) {
        round.acknowledged.push(row.id);
        self.held.remove(&row.topic);
        self.suspects.remove(&key_of(row));
    }

    fn learn(&mut self, row: &Row, alone: bool, error: &KafkaError, round: &mut Round) {
        match verdict(error) {
            Verdict::Permanent if alone => {
                self.suspects.remove(&key_of(row));
                round.refused.push((row.id, error.to_string()));
            }
            Verdict::Permanent => {
                self.suspects.insert(key_of(row));
            }
            Verdict::UnknownTopic => {
                let now = Instant::now();
                let held =
                    self.held.entry(row.topic.clone()).or_insert(Held { until: now, tries: 0 });
                // The rows of one round count once.
                if held.until <= now {
                    held.tries += 1;
                    let wait = HOLD_TOPIC * 2u32.saturating_pow(held.tries);
                    held.until = now + wait.min(MAX_HOLD_TOPIC);
                }
                if held.tries >= UNKNOWN_TOPIC_TRIES {
                    round.refused.push((row.id, error.to_string()));
                }
            }
            Verdict::Later => {
                tracing::debug!(topic = row.topic, %error, "not acknowledged, sent again");
            }
        }
        round.needs_new_producer |= self.producer.client().fatal_error().is_some();
    }
}

enum Refusal {
    ForGood(String),
    Full,
    Failed(KafkaError),
}

fn key_of(row: &Row) -> (String, String) {
    (row.topic.clone(), row.partition_key.clone())
}

fn verdict(error: &KafkaError) -> Verdict {
    match error.rdkafka_error_code() {
        Some(
            Code::MessageSizeTooLarge
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::MessageBatchTooLarge
            | Code::InvalidTopic
            | Code::InvalidRequiredAcks
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::InvalidArgument
            | Code::PolicyViolation
            | Code::UnsupportedForMessageFormat,
        ) => Verdict::Permanent,
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            Verdict::UnknownTopic
        }
        _ => Verdict::Later,
    }
}
