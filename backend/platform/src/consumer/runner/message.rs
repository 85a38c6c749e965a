//! A message as it came, with the coordinates it is known by.

use std::collections::BTreeMap;

use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers};
use shared_types::Timestamp;

use crate::consumer::HandleError;
use crate::outbox::RawRecord;

/// Headers beyond these limits are not carried along.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_CHARS: usize = 4_096;
const MAX_ERROR_CHARS: usize = 500;
/// Set by the one who sends a message back.
pub const REDRIVE_OF: &str = "x-redrive-of";
/// With this header a dead message is given up: its followers go on.
pub const REDRIVE_DISCARD: &str = "x-redrive-discard";
const DLQ_PREFIX: &str = "x-dlq-";

#[derive(Clone, Debug)]
pub struct Incoming {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// Empty for messages without one.
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, String>,
    /// It came back through the redrive topic.
    pub redriven: bool,
}

impl Incoming {
    pub fn of(message: &BorrowedMessage<'_>, redrive_topic: &str) -> Self {
        let mut headers = BTreeMap::new();
        for header in message.headers().iter().flat_map(|h| h.iter()).take(MAX_HEADERS) {
            let value = String::from_utf8_lossy(header.value.unwrap_or_default());
            headers.insert(storable(header.key), storable(&value));
        }
        let mut incoming = Incoming {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().unwrap_or_default().to_vec(),
            value: message.payload().unwrap_or_default().to_vec(),
            headers,
            redriven: false,
        };
        if incoming.topic == redrive_topic {
            incoming.take_original_coordinates();
        }
        incoming
    }

    /// A message that was sent back is known by where it came from first.
    fn take_original_coordinates(&mut self) {
        let text = |name: &str| self.headers.get(name).cloned();
        let number = |name: &str| text(name).and_then(|t| t.parse::<i64>().ok());
        let partition = number("x-dlq-partition").and_then(|p| i32::try_from(p).ok());
        if let (Some(topic), Some(partition), Some(offset)) =
            (text("x-dlq-topic"), partition, number("x-dlq-offset"))
        {
            self.topic = topic;
            self.partition = partition;
            self.offset = offset;
            self.redriven = true;
        }
        self.headers.retain(|name, _| !name.starts_with(DLQ_PREFIX));
    }

    pub fn is_discard(&self) -> bool {
        self.headers.get(REDRIVE_DISCARD).is_some_and(|v| v == "true")
    }

    /// The same bytes for `{topic}.DLQ`, with why and where they failed.
    pub fn dead_letter(
        &self,
        consumer: &str,
        attempts: i32,
        failure: &Failure,
        first_failed_at: Timestamp,
    ) -> RawRecord {
        let mut headers = self.headers.clone();
        for (name, value) in [
            ("topic", self.topic.clone()),
            ("partition", self.partition.to_string()),
            ("offset", self.offset.to_string()),
            ("consumer", consumer.to_owned()),
            ("attempts", attempts.to_string()),
            ("error-code", failure.code.clone()),
            ("error", failure.error.clone()),
            ("first-failed-at", first_failed_at.to_string()),
        ] {
            headers.insert(format!("{DLQ_PREFIX}{name}"), value);
        }
        RawRecord {
            topic: super::dead_letter_topic(&self.topic),
            key: (!self.key.is_empty()).then(|| self.key.clone()),
            value: Some(self.value.clone()),
            headers,
        }
    }
}

/// What a person is told about a failure.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: String,
    pub error: String,
}

impl Failure {
    pub fn of(error: &HandleError) -> Self {
        let (code, error) = match error {
            HandleError::Retry { code, error } | HandleError::Poison { code, error } => {
                (*code, format!("{error:#}"))
            }
            HandleError::Dependency(error) => ("dependency", format!("{error:#}")),
        };
        Failure { code: storable(code), error: presentable(&error) }
    }
}

/// PostgreSQL's jsonb takes no NUL character.
fn storable(text: &str) -> String {
    text.chars().filter(|c| *c != '\0').take(MAX_HEADER_CHARS).collect()
}

/// One bounded line without the secrets that errors like to quote.
pub fn presentable(error: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut hide_next = false;
    for word in error.split_whitespace() {
        words.push(if hide_next { "***".to_owned() } else { without_secret(word) });
        hide_next = matches!(word.to_ascii_lowercase().as_str(), "bearer" | "basic" | "password:");
    }
    words.join(" ").chars().filter(|c| !c.is_control()).take(MAX_ERROR_CHARS).collect()
}

fn without_secret(word: &str) -> String {
    if let Some((scheme, rest)) = word.split_once("://")
        && let Some((_, place)) = rest.split_once('@')
    {
        return format!("{scheme}://***@{place}");
    }
    let lower = word.to_ascii_lowercase();
    for name in ["password=", "secret=", "token=", "key=", "authorization="] {
        if let Some(at) = lower.find(name) {
            return format!("{}***", word.get(..at + name.len()).unwrap_or_default());
        }
    }
    // A JSON web token.
    if word.contains("eyJ") && word.matches('.').count() >= 2 {
        "***".to_owned()
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_lose_secrets_line_breaks_and_length() {
        let shown = presentable(
            "calling postgres://u:hunter2@db/x\nwith password=hunter2 Bearer abc eyJhbGciOi.eyJzdWIi.sig",
        );
        assert_eq!(shown, "calling postgres://***@db/x with password=*** Bearer *** ***");
        assert_eq!(presentable(&"ä".repeat(2_000)).chars().count(), MAX_ERROR_CHARS);
    }
}
