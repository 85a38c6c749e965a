//! The event log from its beginning to where it ends now.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::config::Broker;
use crate::consumer::Received;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Nothing for so long while something is missing: the log is gone.
const STALLED: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// An event, unless the record is none: that has long become a dead letter.
pub fn decoded(payload: Option<&[u8]>) -> Option<Received> {
    let event = serde_json::from_slice(payload?).ok();
    if event.is_none() {
        metrics::counter!("read_model_undecodable_total").increment(1);
    }
    event
}

/// Reads partitions from their beginning. Blocks: for threads that may.
pub struct Log {
    consumer: BaseConsumer,
    /// The next offset of each partition.
    next: BTreeMap<(String, i32), i64>,
    ends: BTreeMap<(String, i32), i64>,
}

impl Log {
    pub fn open(broker: &Broker, topics: &[&str]) -> anyhow::Result<Self> {
        let group = format!("replay-{}", uuid::Uuid::new_v4());
        let mut config = crate::kafka::consumer(broker, &group, Duration::from_millis(50));
        config.set("enable.auto.commit", "false").set("queued.min.messages", "100000");
        let consumer: BaseConsumer = config.create()?;
        let mut next = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for topic in topics {
            let metadata = consumer
                .fetch_metadata(Some(topic), ANSWER_WITHIN)
                .context("the event log does not answer")?;
            let found = metadata.topics().iter().find(|t| t.name() == *topic);
            let partitions = found.map(|t| t.partitions()).unwrap_or_default();
            ensure!(!partitions.is_empty(), "the event log has no topic {topic}");
            for partition in partitions {
                let (low, _) = consumer.fetch_watermarks(topic, partition.id(), ANSWER_WITHIN)?;
                list.add_partition_offset(topic, partition.id(), Offset::Offset(low))?;
                next.insert(((*topic).to_owned(), partition.id()), low);
            }
        }
        consumer.assign(&list)?;
        Ok(Log { consumer, next, ends: BTreeMap::new() })
    }

    /// Looks where the log ends now; how much is still to be read until there.
    pub fn look_ahead(&mut self) -> anyhow::Result<i64> {
        let mut left = 0;
        for ((topic, partition), next) in &self.next {
            let (_, high) = self.consumer.fetch_watermarks(topic, *partition, ANSWER_WITHIN)?;
            self.ends.insert((topic.clone(), *partition), high);
            left += (high - next).max(0);
        }
        Ok(left)
    }

    /// Topic, partition, next offset and the end last looked at.
    pub fn places(&self) -> Vec<(String, i32, i64, i64)> {
        let end = |place: &(String, i32), next: i64| self.ends.get(place).copied().unwrap_or(next);
        let places = self.next.iter();
        places.map(|(at, next)| (at.0.clone(), at.1, *next, end(at, *next))).collect()
    }

    /// The next events up to the end last looked at; none there.
    pub fn batch(&mut self, most: usize) -> anyhow::Result<Vec<Received>> {
        let (mut events, mut last) = (Vec::with_capacity(most), Instant::now());
        while events.len() < most && self.is_behind() {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) => {
                    let place = (message.topic().to_owned(), message.partition());
                    self.next.insert(place, message.offset() + 1);
                    events.extend(decoded(message.payload()));
                    last = Instant::now();
                }
                Some(Err(error)) if last.elapsed() > STALLED => return Err(error.into()),
                _ if last.elapsed() > STALLED => bail!("the event log stopped answering"),
                _ => {}
            }
        }
        Ok(events)
    }

    fn is_behind(&self) -> bool {
        self.next.iter().any(|(place, next)| self.ends.get(place).is_some_and(|end| next < end))
    }
}
