//! A plain Kafka reader.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message};
use serde_json::Value;

/// A message as any client sees it.
#[derive(Clone, Debug)]
pub struct Record {
    pub key: String,
    pub value: Value,
    pub headers: Vec<(String, String)>,
}

/// Reads `topic` from its beginning until `enough` says so, for at most
/// `within`. Blocking: call it from a blocking task.
pub fn read(
    broker: &str,
    topic: &str,
    within: Duration,
    enough: impl Fn(&[Record]) -> bool,
) -> anyhow::Result<Vec<Record>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("group.id", format!("e2e-{}", std::process::id()))
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", "20")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10))?;
    let mut wanted = rdkafka::TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
        wanted.add_partition_offset(topic, partition.id(), rdkafka::Offset::Beginning)?;
    }
    consumer.assign(&wanted)?;
    let deadline = Instant::now() + within;
    let mut records = Vec::new();
    while Instant::now() < deadline && !enough(&records) {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        records.push(record(&message));
    }
    anyhow::ensure!(enough(&records), "{topic}: {} messages and still not enough", records.len());
    Ok(records)
}

fn record(message: &impl Message) -> Record {
    use rdkafka::message::Headers;
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|h| (h.key.to_owned(), text(h.value))).collect()
    });
    Record {
        key: text(message.key()),
        value: serde_json::from_str(&text(message.payload())).unwrap_or(Value::Null),
        headers,
    }
}
