//! How far a consumer is behind before it has begun.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Messages of `topics` that the group of `config` has not committed. Zero when
/// the broker does not say: then the client finds out by itself.
pub async fn of(config: &ClientConfig, topics: Vec<&'static str>) -> i64 {
    let config = config.clone();
    let asked = tokio::task::spawn_blocking(move || count(&config, &topics)).await;
    match asked {
        Ok(Ok(count)) => count,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the backlog is not known yet");
            0
        }
        Err(_) => 0,
    }
}

fn count(config: &ClientConfig, topics: &[&str]) -> anyhow::Result<i64> {
    let client: BaseConsumer = config.create()?;
    let mut places = TopicPartitionList::new();
    for topic in topics {
        let metadata = client.fetch_metadata(Some(topic), ANSWER_WITHIN)?;
        for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
            places.add_partition(topic, partition.id());
        }
    }
    let mut behind = 0;
    for place in client.committed_offsets(places, ANSWER_WITHIN)?.elements() {
        let (low, high) =
            client.fetch_watermarks(place.topic(), place.partition(), ANSWER_WITHIN)?;
        let next = match place.offset() {
            Offset::Offset(offset) => offset.max(low),
            _ => low,
        };
        behind += (high - next).max(0);
    }
    Ok(behind)
}
