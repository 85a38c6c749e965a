//! Clients of the event log, set up the way the ground relies on.

use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::config::{Broker, EngineMode};
use crate::consumer::RawMessage;

/// Records above this are refused before they are sent.
pub const MAX_RECORD_BYTES: usize = 1_000_000;

/// A member that died is noticed after this; six seconds is the least that
/// brokers accept unless told otherwise.
const SESSION_TIMEOUT_MS: &str = "6000";

/// Where the broker listens: `host:port`, comma-separated.
pub fn bootstrap(broker: &Broker) -> String {
    match broker.mode {
        EngineMode::Embedded => format!("127.0.0.1:{}", broker.port),
        EngineMode::External => broker.bootstrap.clone(),
    }
}

/// What every client needs, with the configured properties on top.
pub fn client(broker: &Broker, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap(broker))
        .set("client.id", name)
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true")
        .set("log.connection.close", "false")
        .set_log_level(RDKafkaLogLevel::Error);
    for (key, value) in &broker.properties {
        config.set(key, value);
    }
    config
}

/// A producer that never loses, doubles or reorders what it was given.
///
/// A message never times out: while the broker is away it waits in its place,
/// so nothing behind it can overtake. A message refused for good makes the
/// whole producer fail (gapless), for the same reason.
pub fn producer(broker: &Broker, name: &str) -> ClientConfig {
    let mut config = client(broker, name);
    config
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        .set("message.timeout.ms", "0")
        .set("linger.ms", "1")
        .set("batch.size", "524288")
        .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
        .set("queue.buffering.max.messages", "10000")
        .set("queue.buffering.max.kbytes", "65536")
        .set("retry.backoff.ms", "50")
        .set("topic.metadata.propagation.max.ms", "10000")
        // The way Java clients choose a partition for a key.
        .set("partitioner", "murmur2_random");
    config
}

/// As much as a fetch from the embedded broker brings, about 400 events.
///
/// It reads as many records as a fetch may bring, with their headers, and then
/// throws away what it did not put together within half of the fetch's wait.
/// Without this limit a consumer that is behind makes it read ten thousand
/// records again and again for a handful each.
const EMBEDDED_FETCH_BYTES: &str = "400000";

/// The same consumer for a time in which it is far behind, if it needs to be
/// another one then: with a wait that is long enough for a fetch to bring
/// all it may from the embedded broker, also on a busy machine.
pub fn patient(broker: &Broker, live: &ClientConfig) -> Option<ClientConfig> {
    if broker.mode != EngineMode::Embedded {
        return None;
    }
    let mut patient = live.clone();
    patient
        .set("fetch.wait.max.ms", "5000")
        .set("socket.timeout.ms", "120000")
        // What is fetched ahead is thrown away when a lane is full.
        .set("queued.min.messages", "1");
    Some(patient)
}

/// A consumer in `group` whose offsets are stored by hand once the work is
/// committed; what is stored is committed twice a second and when it leaves.
pub fn consumer(broker: &Broker, group: &str, fetch_wait: Duration) -> ClientConfig {
    let mut config = client(broker, group);
    config
        .set("group.id", group)
        .set("enable.auto.offset.store", "false")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "500")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", SESSION_TIMEOUT_MS)
        .set("heartbeat.interval.ms", "2000")
        .set("max.poll.interval.ms", "300000")
        .set("partition.assignment.strategy", "roundrobin")
        .set("fetch.wait.max.ms", fetch_wait.as_millis().max(1).to_string())
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "20")
        .set("queued.min.messages", "1000")
        .set("queued.max.messages.kbytes", "16384")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set("statistics.interval.ms", "2000");
    if broker.mode == EngineMode::Embedded {
        for limit in ["message.max.bytes", "max.partition.fetch.bytes", "fetch.max.bytes"] {
            config.set(limit, EMBEDDED_FETCH_BYTES);
        }
    }
    // Longer than the default so that a slow fetch is not taken for a dead one.
    config.set("socket.timeout.ms", (60_000 + fetch_wait.as_millis()).to_string());
    config
}

/// A look around does not keep a person waiting longer.
const LOOK: Duration = Duration::from_millis(1_500);
/// Without news for this long, the end of the partition is reached.
const LOOK_QUIET: Duration = Duration::from_millis(500);

/// Reads the records of a partition up to `span` places around an offset, as
/// far as they come within a second and a half. Joins no group, moves nothing.
pub async fn around(
    broker: &Broker,
    name: &str,
    (topic, partition, offset): (&str, i32, i64),
    span: i64,
) -> anyhow::Result<Vec<RawMessage>> {
    let mut config = client(broker, name);
    config
        .set("group.id", format!("{name}.look"))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "50");
    let topic = topic.to_owned();
    let looked =
        tokio::task::spawn_blocking(move || look(&config, &topic, partition, offset, span));
    looked.await?
}

fn look(
    config: &ClientConfig,
    topic: &str,
    partition: i32,
    offset: i64,
    span: i64,
) -> anyhow::Result<Vec<RawMessage>> {
    let reader: BaseConsumer = config.create()?;
    let mut place = TopicPartitionList::new();
    let from = Offset::Offset((offset - span).max(0));
    place.add_partition_offset(topic, partition, from)?;
    reader.assign(&place)?;
    let (began, mut last) = (Instant::now(), Instant::now());
    let mut found = Vec::new();
    while began.elapsed() < LOOK && (found.is_empty() || last.elapsed() < LOOK_QUIET) {
        let Some(message) = reader.poll(Duration::from_millis(50)) else { continue };
        let message = message?;
        if message.offset() > offset + span {
            break;
        }
        last = Instant::now();
        found.push(RawMessage {
            topic: topic.to_owned(),
            partition,
            offset: message.offset(),
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: Default::default(),
        });
        if message.offset() == offset + span {
            break;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_properties_reach_every_client() {
        let broker = Broker {
            mode: EngineMode::External,
            bootstrap: "kafka:9092".into(),
            port: 1,
            properties: [("security.protocol".to_owned(), "ssl".to_owned())].into(),
            engine_cache: None,
        };
        for config in [producer(&broker, "orders"), consumer(&broker, "orders", Duration::ZERO)] {
            assert_eq!(config.get("security.protocol"), Some("ssl"));
            assert_eq!(config.get("bootstrap.servers"), Some("kafka:9092"));
        }
    }
}
