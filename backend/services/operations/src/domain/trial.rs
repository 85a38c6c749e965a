//! Whether a message would be understood today, and what would be noticed.

use contracts::{events, schema};
use platform::consumer::Received;
use serde_json::Value;
use shared_types::operations::DryRun;

use super::facts::is_of_relay;

/// More reasons help nobody.
const MAX_REASONS: usize = 10;

/// Tries `value` against today's schema, and looks for its consumer.
pub fn trial(consumer: &str, consumers: &[&str], value: &[u8]) -> DryRun {
    let mut reasons = Vec::new();
    if !is_of_relay(consumer) && !consumers.contains(&consumer) {
        reasons.push(format!("there is no consumer {consumer}"));
    }
    match serde_json::from_slice::<Received>(value) {
        Err(_) => reasons.push("it is no event".to_owned()),
        Ok(event) => match events::find(&event.event_type) {
            None => reasons.push(format!("nobody knows the event type {}", event.event_type)),
            Some(known) => {
                let payload: Value = serde_json::from_str(event.payload.get()).unwrap_or_default();
                reasons.extend(schema::check::errors(&(known.schema)(), &payload));
            }
        },
    }
    reasons.truncate(MAX_REASONS);
    DryRun { passes: reasons.is_empty(), reasons }
}

/// What others notice when a consumer handles messages again.
pub fn side_effects(consumer: &str) -> &'static [&'static str] {
    match consumer {
        "notifications" => &["live messages to shoppers and staff", "e-mails"],
        "webhooks" => &["webhook deliveries to partners"],
        "orders" => &["sagas go on: captures, refunds, stock commands"],
        "inventory" => &["stock is held, confirmed or released"],
        "catalog" => &["availability shown to shoppers"],
        "cart" => &["carts of shoppers change"],
        other if is_of_relay(other) => &["every consumer of the topic reads it for the first time"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_would_understand_does_not_pass() {
        assert_eq!(trial("orders", &["orders"], b"x").reasons, ["it is no event"]);
        let trial = trial("ghost", &["orders"], b"x");
        assert_eq!(trial.reasons.len(), 2);
        assert!(!trial.passes);
    }
}
