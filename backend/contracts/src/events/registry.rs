//! Every event type in one table, with its schema.

use platform::outbox::Event;
use serde_json::Value;

use super::{audit, cart, inventory, iot, orders, payments, products, users};
use crate::schema;

/// What is known of an event type without a value of it.
pub struct EventType {
    /// `ecommerce.order.order.created.v1`
    pub name: &'static str,
    pub topic: &'static str,
    pub rust_name: &'static str,
    /// The schema of its payload.
    pub schema: fn() -> Value,
}

macro_rules! events {
    ($($module:ident::$type:ident),+ $(,)?) => {
        /// Every type there is, in the order of the documents.
        pub const EVENTS: &[EventType] = &[$(EventType {
            name: <$module::$type as Event>::TYPE,
            topic: <$module::$type as Event>::TOPIC,
            rust_name: stringify!($type),
            schema: schema::payload::<$module::$type>,
        }),+];
    };
}

events![
    orders::OrderCreated,
    orders::OrderPaid,
    orders::OrderConfirmed,
    orders::OrderCanceled,
    orders::OrderFailed,
    inventory::StockAdjusted,
    inventory::StockLow,
    inventory::ReservationHeld,
    inventory::ReservationConfirmed,
    inventory::ReservationReleased,
    inventory::ReservationExpired,
    inventory::ReservationInsufficient,
    products::ProductUpdated,
    products::PriceChanged,
    payments::PaymentAuthorized,
    payments::PaymentCaptured,
    payments::PaymentFailed,
    payments::PaymentRefunded,
    users::UserRegistered,
    users::SessionRevoked,
    cart::CartCheckedOut,
    audit::AuditRecorded,
    iot::StockReading,
];

/// The type of this name.
pub fn find(event_type: &str) -> Option<&'static EventType> {
    EVENTS.iter().find(|event| event.name == event_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topics;

    #[test]
    fn every_declared_event_is_in_the_table() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/events");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // This file speaks of the declaring macro without declaring anything.
            if path.ends_with("registry.rs") {
                continue;
            }
            let text = std::fs::read_to_string(path).unwrap();
            for declared in text.split("event!(").skip(1) {
                let name = declared.split(',').next().unwrap().trim();
                let known = EVENTS.iter().any(|event| event.rust_name == name);
                assert!(known, "{name} is declared as an event but not in the table of events");
            }
        }
    }

    #[test]
    fn every_event_has_a_topic_whose_key_it_carries() {
        for event in EVENTS {
            let topic = topics::find(event.topic);
            let topic = topic.unwrap_or_else(|| panic!("{} has no topic", event.name));
            let schema = schema::document(event);
            let fields = match schema.get("$ref").and_then(Value::as_str) {
                Some(reference) => schema.pointer(&reference[1..]).unwrap(),
                None => &schema,
            };
            let required = fields["required"].as_array().unwrap();
            let carried = required.iter().any(|name| name == topic.key);
            assert!(carried, "{} does not always carry {}", event.name, topic.key);
        }
    }

    #[test]
    fn no_event_has_a_place_for_personal_data() {
        const PERSONAL: &[&str] =
            &["name", "firstname", "lastname", "email", "phone", "address", "street", "recipient"];
        fn fields(value: &Value, found: &mut Vec<String>) {
            if let Some(properties) = value.get("properties").and_then(Value::as_object) {
                found.extend(properties.keys().cloned());
            }
            match value {
                Value::Object(object) => object.values().for_each(|v| fields(v, found)),
                Value::Array(items) => items.iter().for_each(|v| fields(v, found)),
                _ => {}
            }
        }
        for event in EVENTS {
            let mut found = Vec::new();
            fields(&schema::document(event), &mut found);
            for field in found {
                let word = field.to_ascii_lowercase();
                assert!(!PERSONAL.contains(&word.as_str()), "{} carries {field}", event.name);
            }
        }
    }
}
