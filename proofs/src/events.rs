//! The event log as any Kafka client sees it: from a noted place to now.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub const ORDER: &str = "ecommerce.order.order";
pub const RESERVATION: &str = "ecommerce.inventory.reservation";
pub const PAYMENT: &str = "ecommerce.payment.payment";

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A drain that reads nothing for so long has lost its broker.
const STALLED: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);
/// After all that was expected came, so long is listened for what was not.
const AFTERWARDS: Duration = Duration::from_millis(1_500);

/// Where each partition ended at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marks(BTreeMap<String, BTreeMap<i32, i64>>);

impl Marks {
    /// Messages between two marks.
    pub fn between(before: &Marks, after: &Marks) -> u64 {
        let of = |marks: &Marks| -> i64 { marks.0.values().flat_map(BTreeMap::values).sum() };
        u64::try_from(of(after) - of(before)).unwrap_or(0)
    }
}

/// What proofs read of an envelope.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub event_id: String,
    pub event_type: String,
    pub partition_key: String,
    pub aggregate_version: i64,
    pub payload: Value,
}

impl Event {
    /// The skus that the payload names in `items` or `lines`, as keys.
    pub fn skus(&self) -> impl Iterator<Item = String> {
        ["items", "lines"]
            .into_iter()
            .filter_map(|name| self.payload[name].as_array())
            .flatten()
            .filter_map(|line| line["sku"].as_str())
            .map(str::to_lowercase)
    }
}

fn consumer(broker: &str) -> anyhow::Result<BaseConsumer> {
    let consumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("group.id", format!("proofs-{}", uuid::Uuid::new_v4()))
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "50")
        .set("allow.auto.create.topics", "false")
        .set("log_level", "3")
        .create()?;
    Ok(consumer)
}

/// Notes where `topics` end now.
pub async fn mark(broker: &str, topics: &[&str]) -> anyhow::Result<Marks> {
    let broker = broker.to_owned();
    let topics: Vec<String> = topics.iter().map(|t| (*t).to_owned()).collect();
    let work = move || {
        let consumer = consumer(&broker)?;
        let mut marks = Marks::default();
        for topic in topics {
            let metadata = consumer
                .fetch_metadata(Some(&topic), ANSWER_WITHIN)
                .with_context(|| format!("the event log at {broker} does not answer"))?;
            let found = metadata.topics().iter().find(|t| t.name() == topic);
            let partitions = found.map(|t| t.partitions()).unwrap_or_default();
            if partitions.is_empty() {
                bail!("the event log has no topic {topic}");
            }
            let ends = marks.0.entry(topic.clone()).or_default();
            for partition in partitions {
                let (_, high) = consumer.fetch_watermarks(&topic, partition.id(), ANSWER_WITHIN)?;
                ends.insert(partition.id(), high);
            }
        }
        Ok(marks)
    };
    tokio::task::spawn_blocking(work).await?
}

/// What a reader makes of events.
pub trait Fold: Send + 'static {
    fn take(&mut self, event: Event);
    /// All that is expected has come.
    fn complete(&self) -> bool;
}

/// Reads from `marks` to the end, and on while something is expected and new
/// events keep coming; after `quiet` without any it ends all the same. An event
/// delivered twice (same id) is taken once.
pub async fn follow<F: Fold>(
    broker: &str,
    marks: Marks,
    quiet: Duration,
    mut fold: F,
) -> anyhow::Result<F> {
    let broker = broker.to_owned();
    let work = move || {
        let mut tail = Tail::open(&broker, marks)?;
        let mut last_news = Instant::now();
        let mut completed: Option<Instant> = None;
        loop {
            if tail.drain(&mut fold)? > 0 {
                last_news = Instant::now();
            }
            if fold.complete() {
                let since = *completed.get_or_insert_with(Instant::now);
                if since.elapsed() >= AFTERWARDS {
                    return Ok(fold);
                }
            } else if last_news.elapsed() > quiet {
                return Ok(fold);
            }
        }
    };
    tokio::task::spawn_blocking(work).await?
}

struct Tail {
    consumer: BaseConsumer,
    next: BTreeMap<(String, i32), i64>,
    seen: HashSet<u128>,
}

impl Tail {
    fn open(broker: &str, marks: Marks) -> anyhow::Result<Self> {
        let consumer = consumer(broker)?;
        let mut list = TopicPartitionList::new();
        let mut next = BTreeMap::new();
        for (topic, ends) in marks.0 {
            for (partition, offset) in ends {
                list.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
                next.insert((topic.clone(), partition), offset);
            }
        }
        consumer.assign(&list)?;
        Ok(Tail { consumer, next, seen: HashSet::new() })
    }

    /// Reads to where the partitions end now; answers how many events were new.
    fn drain<F: Fold>(&mut self, fold: &mut F) -> anyhow::Result<usize> {
        let mut ends = BTreeMap::new();
        for (topic, partition) in self.next.keys() {
            let (_, high) = self.consumer.fetch_watermarks(topic, *partition, ANSWER_WITHIN)?;
            ends.insert((topic.clone(), *partition), high);
        }
        let (mut fresh, mut last) = (0, Instant::now());
        loop {
            let behind = self.next.iter().any(|(place, next)| *next < ends[place]);
            // With nothing left to read, one more poll is the pause.
            match self.consumer.poll(PAUSE) {
                Some(Ok(message)) => {
                    let place = (message.topic().to_owned(), message.partition());
                    self.next.insert(place, message.offset() + 1);
                    last = Instant::now();
                    let payload = message.payload().unwrap_or_default();
                    let event: Event = serde_json::from_slice(payload)
                        .with_context(|| format!("{}@{}", message.topic(), message.offset()))?;
                    let id: uuid::Uuid = event.event_id.parse()?;
                    if self.seen.insert(id.as_u128()) {
                        fresh += 1;
                        fold.take(event);
                    }
                }
                Some(Err(error)) if last.elapsed() > STALLED => return Err(error.into()),
                Some(Err(_)) => {}
                None if !behind => return Ok(fresh),
                None if last.elapsed() > STALLED => bail!("the event log stopped answering"),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_skus_without_regard_to_case() {
        let event: Event = serde_json::from_str(
            r#"{"eventId":"x","eventType":"t","partitionKey":"k","aggregateVersion":1,
                "payload":{"items":[{"sku":"A-1"}],"lines":[{"sku":"b-2"}]}}"#,
        )
        .unwrap();
        assert_eq!(event.skus().collect::<Vec<_>>(), ["a-1", "b-2"]);
    }
}
