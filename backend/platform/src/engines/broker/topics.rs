//! Making sure that topics exist.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::engines::EngineError;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A topic that must exist.
#[derive(Debug, Clone, Copy)]
pub struct Topic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Number of partitions; never changed later, since keys would move.
    pub partitions: i32,
    /// Topic settings such as `retention.ms`.
    pub config: &'a [(&'a str, &'a str)],
}

/// Creates those topics that do not exist. A topic with fewer partitions is left
/// as it is and reported in the log.
///
/// # Errors
/// When the broker cannot be asked or refuses a topic.
pub async fn ensure(servers: &str, wanted: &[Topic<'_>]) -> Result<(), EngineError> {
    let client: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("client.id", "topics")
        .set("reconnect.backoff.ms", "20")
        .create()
        .map_err(EngineError::log("make a Kafka client"))?;
    let client = std::sync::Arc::new(client);
    let present = present_topics(client.clone()).await?;
    for topic in wanted {
        if let Some(partitions) = present.get(topic.name)
            && *partitions < topic.partitions
        {
            tracing::warn!(
                topic = topic.name,
                partitions,
                wanted = topic.partitions,
                "fewer partitions than wanted"
            );
        }
    }
    let missing: Vec<NewTopic<'_>> = wanted
        .iter()
        .filter(|topic| !present.contains_key(topic.name))
        .map(|topic| {
            let new = NewTopic::new(topic.name, topic.partitions, TopicReplication::Fixed(1));
            topic.config.iter().fold(new, |new, (key, value)| new.set(key, value))
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let options =
        AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    let results = client
        .create_topics(&missing, &options)
        .await
        .map_err(EngineError::log("create topics"))?;
    for result in results {
        match result {
            // Somebody else was faster: the topic is there.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                return Err(EngineError::log(format!("create topic {name}"))(KafkaError::AdminOp(
                    code,
                )));
            }
        }
    }
    Ok(())
}

async fn present_topics(
    client: std::sync::Arc<AdminClient<DefaultClientContext>>,
) -> Result<BTreeMap<String, i32>, EngineError> {
    let doing = "list topics";
    let listed = tokio::task::spawn_blocking(move || {
        let metadata = client.inner().fetch_metadata(None, TIMEOUT)?;
        let count = |topic: &rdkafka::metadata::MetadataTopic| {
            i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX)
        };
        Ok(metadata.topics().iter().map(|topic| (topic.name().to_owned(), count(topic))).collect())
    })
    .await;
    match listed {
        Ok(topics) => topics.map_err(EngineError::log(doing)),
        Err(error) => Err(EngineError::Failed {
            engine: "the Kafka client",
            reason: format!("failed: {error}"),
        }),
    }
}
