//! librdkafka's mock cluster, and a look at what is in its topics. With the
//! address of a real broker in `BV_TEST_KAFKA` the same tests run against that,
//! one at a time; those that need a broker to misbehave stay with the mock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use platform::config::{Broker, EngineMode};
use platform::consumer::runner::REDRIVE_RESULTS;
use platform::outbox::DEAD_OUTBOX;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::sample::TOPIC;

pub struct Kafka {
    pub cluster: MockCluster<'static, DefaultProducerContext>,
    pub broker: Broker,
}

const PARTITIONS: i32 = 2;

/// A record as it lies in its topic.
#[derive(Clone, Debug)]
pub struct Lying {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<String>,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, String>,
}

/// The address of a real broker, when the tests are to run against one.
pub fn external() -> Option<String> {
    std::env::var("BV_TEST_KAFKA").ok()
}

impl Kafka {
    pub fn start(consumer: &str) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        let (dead, redrive) = (format!("{TOPIC}.DLQ"), format!("redrive.{consumer}"));
        let topics = [TOPIC, &dead, &redrive, DEAD_OUTBOX, REDRIVE_RESULTS];
        match external() {
            Some(bootstrap) => fresh_topics(&bootstrap, &topics),
            None => topics.iter().for_each(|topic| {
                cluster.create_topic(topic, PARTITIONS, 1).unwrap();
            }),
        }
        let broker = Broker {
            mode: EngineMode::External,
            bootstrap: external().unwrap_or_else(|| cluster.bootstrap_servers()),
            port: 0,
            properties: BTreeMap::new(),
            engine_cache: None,
        };
        Kafka { cluster, broker }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker.bootstrap);
        config
    }

    /// Puts a record into a topic.
    pub async fn put(
        &self,
        topic: &str,
        key: Option<&str>,
        value: &[u8],
        headers: &[(&str, &str)],
    ) {
        let producer: FutureProducer = self.client().create().unwrap();
        let mut all = OwnedHeaders::new();
        for (key, value) in headers {
            all = all.insert(Header { key, value: Some(*value) });
        }
        let mut record = FutureRecord::<str, [u8]>::to(topic).payload(value).headers(all);
        if let Some(key) = key {
            record = record.key(key);
        }
        producer.send(record, Duration::from_secs(5)).await.unwrap();
    }

    /// Waits until `topic` holds `wanted` records and gives them all, in the
    /// order of their partitions.
    pub async fn read(&self, topic: &str, wanted: usize) -> Vec<Lying> {
        let (config, topic) = (self.client(), topic.to_owned());
        tokio::task::spawn_blocking(move || read(config, &topic, wanted)).await.unwrap()
    }
}

/// Empties `topics` of a real broker by making them anew.
pub fn fresh_topics(bootstrap: &str, topics: &[&str]) {
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    let work = async {
        let admin: AdminClient<_> =
            ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
        // Those of the first test are not there yet.
        let _ = admin.delete_topics(topics, &options).await.unwrap();
        let new: Vec<_> = topics
            .iter()
            .map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)))
            .collect();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let made = admin.create_topics(&new, &options).await.unwrap();
            let there = |code| code == rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists;
            if made.iter().all(|one| one.as_ref().err().is_none_or(|(_, code)| there(*code))) {
                return;
            }
            assert!(Instant::now() < deadline, "{made:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    std::thread::scope(|scope| {
        let made = scope.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(work);
        });
        made.join().unwrap();
    });
}

fn read(mut config: ClientConfig, topic: &str, wanted: usize) -> Vec<Lying> {
    let reader: BaseConsumer = config.set("group.id", "reader").create().unwrap();
    let mut places = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        places.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    reader.assign(&places).unwrap();
    let mut found = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    // A moment longer than needed, so that what is too much is seen as well.
    let mut more_until = None;
    while Instant::now() < more_until.unwrap_or(deadline) {
        if let Some(Ok(message)) = reader.poll(Duration::from_millis(50)) {
            let headers = message.headers().into_iter().flat_map(|h| h.iter());
            found.push(Lying {
                partition: message.partition(),
                offset: message.offset(),
                key: message.key().map(|k| String::from_utf8_lossy(k).into_owned()),
                value: message.payload().unwrap_or_default().to_vec(),
                headers: headers
                    .map(|h| {
                        let value = String::from_utf8_lossy(h.value.unwrap_or_default());
                        (h.key.to_owned(), value.into_owned())
                    })
                    .collect(),
            });
        }
        if found.len() >= wanted && more_until.is_none() {
            more_until = Some(Instant::now() + Duration::from_millis(300));
        }
    }
    found.sort_by_key(|r| (r.partition, r.offset));
    found
}

/// Asks again and again; fails the test after 20 s.
#[track_caller]
pub fn eventually<F: AsyncFnMut() -> bool>(mut condition: F) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !condition().await {
            assert!(Instant::now() < deadline, "it never came true: {place}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
