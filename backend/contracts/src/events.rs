//! Every event, by the service that publishes it.

pub mod audit;
pub mod cart;
pub mod inventory;
pub mod iot;
pub mod orders;
pub mod payments;
pub mod products;
mod registry;
pub mod users;

pub use registry::{EVENTS, EventType, find};

/// Declares that a payload is an event: its type, topic, key and aggregate.
macro_rules! event {
    ($type:ty, $name:literal, $topic:expr, key = $key:ident) => {
        impl platform::outbox::Event for $type {
            const TYPE: &'static str = $name;
            const TOPIC: &'static str = $topic;
            fn partition_key(&self) -> String {
                self.$key.to_string()
            }
            fn verify(payload: &str) -> Result<(), String> {
                static SCHEMA: std::sync::OnceLock<serde_json::Value> = std::sync::OnceLock::new();
                $crate::schema::check::text(
                    SCHEMA.get_or_init($crate::schema::payload::<$type>),
                    payload,
                )
            }
        }
    };
    ($type:ty, $name:literal, $topic:expr, key = $key:ident, aggregate = |$this:ident| $aggregate:expr) => {
        impl platform::outbox::Event for $type {
            const TYPE: &'static str = $name;
            const TOPIC: &'static str = $topic;
            fn partition_key(&self) -> String {
                self.$key.to_string()
            }
            fn aggregate_id(&self) -> String {
                let $this = self;
                $aggregate
            }
            fn verify(payload: &str) -> Result<(), String> {
                static SCHEMA: std::sync::OnceLock<serde_json::Value> = std::sync::OnceLock::new();
                $crate::schema::check::text(
                    SCHEMA.get_or_init($crate::schema::payload::<$type>),
                    payload,
                )
            }
        }
    };
}
pub(crate) use event;
