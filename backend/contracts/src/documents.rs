//! The documents that are made from the events: schemas, AsyncAPI, topics.

use serde_json::{Value, json};

use crate::events::EVENTS;
use crate::schema;
use crate::topics::{DEAD_LETTER_DAYS, Keep, TOPICS, Topic};

/// Every document as (path below `docs`, text).
pub fn all() -> Vec<(String, String)> {
    let mut all = vec![
        ("events/asyncapi.json".to_owned(), text(&asyncapi())),
        ("events/topics.md".to_owned(), topics()),
        ("events/schemas/envelope.json".to_owned(), text(&schema::envelope())),
    ];
    for event in EVENTS {
        all.push((schema_path(event.name), text(&schema::document(event))));
    }
    all
}

/// Where the schema of an event type is checked in, below `docs`.
pub fn schema_path(event_type: &str) -> String {
    format!("events/schemas/{event_type}.json")
}

/// What in today's code breaks the schema that is checked in as `kept` for the
/// document `path`; nothing for documents that may change freely.
pub fn breaks(path: &str, kept: &str) -> Vec<String> {
    let Some(event) = EVENTS.iter().find(|event| schema_path(event.name) == path) else {
        return Vec::new();
    };
    match serde_json::from_str::<Value>(kept) {
        Ok(kept) => schema::compat::breaks(&kept, &schema::document(event)),
        Err(error) => vec![format!("the checked-in schema is no JSON: {error}")],
    }
}

fn text(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// AsyncAPI 3.0: a channel per topic, a message per event type.
pub fn asyncapi() -> Value {
    let mut channels = serde_json::Map::new();
    let mut operations = serde_json::Map::new();
    let mut messages = serde_json::Map::new();
    for topic in TOPICS {
        channels.insert(topic.name.to_owned(), channel(topic));
        operations.insert(
            format!("publish.{}", topic.name),
            json!({
                "action": "send",
                "channel": {"$ref": format!("#/channels/{}", topic.name)},
                "summary": format!("Published by the service `{}`.", topic.producer),
            }),
        );
    }
    for event in EVENTS {
        messages.insert(event.name.to_owned(), message(event.name, event.rust_name));
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Bellavista events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Every event in the log. Kafka headers carry CloudEvents 1.0 in binary mode and `traceparent`. Delivery is at least once: `eventId` is the key for deduplication. Dead letters are in `{topic}.DLQ`.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "messageTraits": {"cloudEvent": {"headers": cloud_event()}},
        },
    })
}

fn channel(topic: &Topic) -> Value {
    let messages: serde_json::Map<String, Value> = EVENTS
        .iter()
        .filter(|event| event.topic == topic.name)
        .map(|event| {
            let reference = format!("#/components/messages/{}", event.name);
            (event.name.to_owned(), json!({"$ref": reference}))
        })
        .collect();
    json!({
        "address": topic.name,
        "description": format!("Keyed by `{}`.", topic.key),
        "messages": messages,
        "bindings": {"kafka": {
            "partitions": topic.partitions,
            "topicConfiguration": {
                "cleanup.policy": ["delete"],
                "retention.ms": topic.keep.retention_ms(),
            },
            "bindingVersion": "0.5.0",
        }},
    })
}

fn message(event_type: &str, rust_name: &str) -> Value {
    json!({
        "name": event_type,
        "title": rust_name,
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"allOf": [
            {"$ref": "./schemas/envelope.json"},
            {"type": "object", "properties": {
                "eventType": {"const": event_type},
                "payload": {"$ref": format!("./schemas/{event_type}.json")},
            }},
        ]},
    })
}

fn cloud_event() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": {"type": "string", "format": "uuid"},
            "ce_type": text,
            "ce_source": text,
            "ce_time": {"type": "string", "format": "date-time"},
            "ce_subject": text,
            "content-type": text,
            "traceparent": text,
        },
    })
}

/// The topics as a table for people.
fn topics() -> String {
    let mut text = String::from(
        "# Topics\n\nMade by `bellavista generate`; do not edit. Topics are created by \
         `bellavista migrate`; `bellavista up`, which reads them in one process, makes one partition \
         of each unless it splits the services.\n\n\
         | topic | published by | key | partitions | kept | event types |\n\
         |---|---|---|---|---|---|\n",
    );
    for topic in TOPICS {
        let kept = match topic.keep {
            Keep::Everything => "for ever".to_owned(),
            Keep::Days(days) => format!("{days} days"),
        };
        let types: Vec<String> = EVENTS
            .iter()
            .filter(|event| event.topic == topic.name)
            .map(|event| format!("[`{0}`](schemas/{0}.json)", event.name))
            .collect();
        text.push_str(&format!(
            "| `{}` | {} | `{}` | {} | {kept} | {} |\n",
            topic.name,
            topic.producer,
            topic.key,
            topic.partitions,
            types.join("<br>")
        ));
    }
    text.push_str(&format!(
        "\nBeside each topic there is `{{topic}}.DLQ` for its dead letters (1 partition, \
         {DEAD_LETTER_DAYS} days), and for each consumer `redrive.{{consumer}}`, by which \
         operators send messages back to it alone.\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn docs() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs")
    }

    #[test]
    fn no_event_changed_in_a_way_that_breaks_readers_or_old_messages() {
        let mut broken = Vec::new();
        for event in EVENTS {
            let path = schema_path(event.name);
            // A new type has nothing to keep to yet.
            let Ok(kept) = std::fs::read_to_string(docs().join(&path)) else { continue };
            for what in breaks(&path, &kept) {
                broken.push(format!("{}: {what}", event.name));
            }
        }
        assert!(
            broken.is_empty(),
            "events may only gain optional fields; publish a new version beside the old one:\n{}",
            broken.join("\n")
        );
    }

    #[test]
    fn no_event_type_that_was_published_disappeared() {
        let folder = docs().join("events/schemas");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let event = name.strip_suffix(".json").unwrap();
            let known = event == "envelope" || EVENTS.iter().any(|e| e.name == event);
            assert!(known, "{event} has a schema but is no event any more: keep reading it");
        }
    }

    #[test]
    fn the_checked_in_documents_are_what_the_code_says() {
        for (path, text) in all() {
            let kept = std::fs::read_to_string(docs().join(&path)).unwrap_or_default();
            assert!(kept == text, "docs/{path} is stale: run `bellavista generate`");
        }
    }
}
