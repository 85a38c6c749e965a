//! The records that leave the inbox, all through the outbox.

use std::collections::BTreeMap;

use platform::consumer::runner::{REDRIVE_DISCARD, REDRIVE_OF, redrive_topic};
use platform::outbox::RawRecord;

use crate::domain::facts::is_of_relay;
use crate::store::letters::Letter;

/// Back to the consumer that failed: the original bytes with the original
/// coordinates. What the broker refused goes to its topic, where nobody has
/// read it yet.
pub fn redrive(letter: &Letter) -> RawRecord {
    let mut headers = letter.headers.clone();
    headers.retain(|name, _| !name.starts_with("x-redrive-"));
    let topic = if is_of_relay(letter.consumer()) {
        headers.retain(|name, _| !is_of_ground(name));
        letter.summary.topic.clone()
    } else {
        headers.insert(REDRIVE_OF.to_owned(), letter.id().to_string());
        headers.extend(coordinates(letter));
        redrive_topic(letter.consumer())
    };
    record(topic, letter, headers)
}

/// Tells the consumer to give the message up, so that its followers go on.
pub fn discard(letter: &Letter) -> RawRecord {
    let mut headers = coordinates(letter);
    headers.insert(REDRIVE_DISCARD.to_owned(), "true".to_owned());
    let mut record = record(redrive_topic(letter.consumer()), letter, headers);
    record.value = Some(b"{}".to_vec());
    record
}

/// To another topic, as if it came from its producer.
pub fn redirect(letter: &Letter, topic: &str) -> RawRecord {
    let mut headers = letter.headers.clone();
    headers.retain(|name, _| !is_of_ground(name));
    record(topic.to_owned(), letter, headers)
}

fn is_of_ground(header: &str) -> bool {
    ["x-dlq-", "x-redrive-", "x-outbox-"].iter().any(|prefix| header.starts_with(prefix))
}

fn coordinates(letter: &Letter) -> BTreeMap<String, String> {
    let summary = &letter.summary;
    [
        ("x-dlq-topic", summary.topic.clone()),
        ("x-dlq-partition", summary.partition.to_string()),
        ("x-dlq-offset", summary.offset.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn record(topic: String, letter: &Letter, headers: BTreeMap<String, String>) -> RawRecord {
    RawRecord {
        topic,
        key: (!letter.key.is_empty()).then(|| letter.key.clone()),
        value: Some(letter.value.clone()),
        headers,
    }
}
