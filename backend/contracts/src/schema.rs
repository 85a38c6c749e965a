//! A JSON Schema (2020-12) for every event type, made from its Rust type.
//!
//! The schemas are checked in under `docs/events/schemas`. A test holds them
//! to the code, and [`compat`] holds the code to them: a type may grow, never
//! change. Producers check what they write with [`check`] in debug builds.

pub mod check;
pub mod compat;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::events::EventType;
use crate::topics;

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
const COMPONENTS: &str = "#/components/schemas/";
const DEFINITIONS: &str = "#/$defs/";

/// The schema of the payload of `E`, with everything it refers to.
pub fn payload<E: ToSchema>() -> Value {
    let mut parts: Vec<(String, RefOr<Schema>)> = Vec::new();
    E::schemas(&mut parts);
    let mut definitions = Map::new();
    for (name, schema) in parts {
        definitions.insert(name, plain(&schema));
    }
    let mut root = plain(&E::schema());
    let reachable = reachable(&root, &definitions);
    definitions.retain(|name, _| reachable.contains(name));
    if let (Value::Object(root), false) = (&mut root, definitions.is_empty()) {
        root.insert("$defs".to_owned(), Value::Object(definitions));
    }
    root
}

/// The document that is checked in for an event type.
pub fn document(event: &EventType) -> Value {
    let mut schema = (event.schema)();
    if let Value::Object(schema) = &mut schema {
        schema.insert("$schema".to_owned(), json!(DIALECT));
        schema.insert("$id".to_owned(), json!(format!("urn:bellavista:event:{}", event.name)));
        schema.insert("title".to_owned(), json!(event.rust_name));
        schema.insert("x-topic".to_owned(), json!(event.topic));
        if let Some(topic) = topics::find(event.topic) {
            schema.insert("x-key".to_owned(), json!(topic.key));
        }
    }
    schema
}

/// The envelope around every payload.
pub fn envelope() -> Value {
    let text = json!({"type": "string"});
    json!({
        "$schema": DIALECT,
        "$id": "urn:bellavista:event:envelope",
        "title": "Envelope",
        "description": "Around every event; one message of the event log.",
        "type": "object",
        "properties": {
            "eventId": {"type": "string", "format": "uuid",
                        "description": "UUIDv7, unique for ever: the key for deduplication"},
            "eventType": text,
            "occurredAt": {"type": "string", "format": "date-time"},
            "producer": {"type": "string", "description": "The service that published it"},
            "traceId": {"type": "string", "description": "W3C trace id"},
            "correlationId": text,
            "causationId": {"type": ["string", "null"], "format": "uuid",
                            "description": "The event that caused this one"},
            "schemaVersion": text,
            "partitionKey": {"type": "string", "description": "Kafka key"},
            "aggregateId": text,
            "aggregateVersion": {"type": "integer", "format": "int64",
                                 "description": "1, 2, 3 … per producer and aggregate"},
            "tenant": text,
            "payload": {"type": "object"},
        },
        "required": ["eventId", "eventType", "occurredAt", "producer", "traceId", "correlationId",
                     "schemaVersion", "partitionKey", "aggregateId", "aggregateVersion", "tenant",
                     "payload"],
    })
}

/// Without what only OpenAPI knows.
fn plain(schema: &RefOr<Schema>) -> Value {
    let mut value = serde_json::to_value(schema).unwrap_or_default();
    tidy(&mut value);
    value
}

fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for foreign in ["example", "xml", "discriminator", "externalDocs"] {
                object.remove(foreign);
            }
            if let Some(Value::String(reference)) = object.get_mut("$ref")
                && let Some(name) = reference.strip_prefix(COMPONENTS)
            {
                *reference = format!("{DEFINITIONS}{name}");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Names of definitions that `root` needs, directly or not.
fn reachable(root: &Value, definitions: &Map<String, Value>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut open = references(root);
    while let Some(name) = open.pop() {
        if found.contains(&name) {
            continue;
        }
        if let Some(definition) = definitions.get(&name) {
            open.extend(references(definition));
        }
        found.push(name);
    }
    found
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => {
            let own = object.get("$ref").and_then(Value::as_str);
            let own = own.and_then(|r| r.strip_prefix(DEFINITIONS)).map(str::to_owned);
            own.into_iter().chain(object.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
