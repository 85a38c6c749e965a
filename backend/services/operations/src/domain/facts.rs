//! What can be read out of a dead letter, whatever state it is in.

use std::collections::BTreeMap;

use contracts::topics;
use serde_json::Value;
use shared_types::{Amount, Currency, EventId, Money, OrderId, Timestamp};

/// Headers that the ground puts on a dead letter.
const DLQ: &str = "x-dlq-";
/// Texts of strangers are cut here.
const MAX_CHARS: usize = 300;
const MAX_ERROR_CHARS: usize = 500;
/// Dead letters of a relay come from `relay.{service}`.
const RELAY: &str = "relay.";

/// What a message says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub event_id: Option<EventId>,
    pub event_type: String,
    pub aggregate_id: Option<String>,
    pub order_id: Option<OrderId>,
    /// `user:…` or `guest:…`.
    pub customer: Option<String>,
    pub amount: Option<Money>,
    pub trace_id: Option<String>,
    pub correlation_id: Option<String>,
    pub about_money: bool,
}

/// Why and where it failed, from the headers; texts of our own when a stranger
/// put the message there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    pub consumer: String,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub error_code: String,
    pub error: String,
    pub attempts: i32,
    pub first_failed_at: Option<Timestamp>,
}

/// Whether the message of this consumer was refused by the broker.
pub fn is_of_relay(consumer: &str) -> bool {
    consumer.starts_with(RELAY)
}

pub fn failed(
    headers: &BTreeMap<String, String>,
    (dlq_topic, partition, offset): (&str, i32, i64),
) -> Failed {
    let text = |name: &str| headers.get(&format!("{DLQ}{name}")).map(String::as_str);
    let number = |name: &str| text(name).and_then(|t| t.parse::<i64>().ok());
    let known = text("topic").is_some() && number("offset").is_some();
    let small = |n: Option<i64>| n.and_then(|n| i32::try_from(n).ok());
    Failed {
        consumer: cut(text("consumer").unwrap_or("unknown"), MAX_CHARS),
        topic: cut(text("topic").unwrap_or(dlq_topic.trim_end_matches(".DLQ")), MAX_CHARS),
        // Without coordinates its place among the dead letters must do.
        partition: if known { small(number("partition")).unwrap_or(-1) } else { partition },
        offset: if known { number("offset").unwrap_or(offset) } else { offset },
        error_code: cut(text("error-code").unwrap_or("unknown"), MAX_CHARS),
        error: cut(text("error").unwrap_or("no reason given"), MAX_ERROR_CHARS),
        attempts: small(number("attempts")).unwrap_or(0),
        first_failed_at: text("first-failed-at").and_then(|t| t.parse().ok()),
    }
}

pub fn facts(topic: &str, value: &[u8], headers: &BTreeMap<String, String>) -> Facts {
    let message: Value = serde_json::from_slice(value).unwrap_or_default();
    let header = |name: &str| headers.get(name).map(|v| cut(v, MAX_CHARS));
    let field = |name: &str| message.get(name).and_then(Value::as_str).map(|t| cut(t, MAX_CHARS));
    let payload = message.get("payload").unwrap_or(&Value::Null);
    let event_type = field("eventType").or_else(|| header("ce_type")).unwrap_or_default();
    let aggregate_id = field("aggregateId").or_else(|| header("ce_subject"));
    let trace = header("traceparent").and_then(|t| t.split('-').nth(1).map(str::to_owned));
    Facts {
        event_id: field("eventId").or_else(|| header("ce_id")).and_then(|t| t.parse().ok()),
        order_id: order_of(topic, payload, field("partitionKey").as_deref()),
        customer: customer_of(payload),
        amount: amount_of(payload),
        trace_id: field("traceId").or(trace),
        correlation_id: field("correlationId"),
        about_money: is_about_money(topic, &event_type),
        aggregate_id,
        event_type,
    }
}

/// Topics whose key is the order.
fn order_of(topic: &str, payload: &Value, key: Option<&str>) -> Option<OrderId> {
    let named = payload.get("orderId").and_then(Value::as_str);
    let keyed = topics::find(topic).filter(|t| t.key == "orderId").and(key);
    named.or(keyed)?.parse().ok()
}

fn customer_of(payload: &Value) -> Option<String> {
    let id = |name: &str| payload.get(name)?.as_str()?.parse::<EventId>().ok();
    let user = id("userId").map(|id| format!("user:{id}"));
    user.or_else(|| id("guestId").map(|id| format!("guest:{id}")))
}

fn amount_of(payload: &Value) -> Option<Money> {
    let currency: Currency = payload.get("currency")?.as_str()?.parse().ok()?;
    let number = payload.get("totalAmount").or_else(|| payload.get("amount"))?;
    let amount: Amount = number.as_number()?.to_string().parse().ok()?;
    amount.in_currency(currency).ok()
}

/// Messages that say that money moved, or must move.
fn is_about_money(topic: &str, event_type: &str) -> bool {
    const OF_ORDERS: &[&str] = &["paid", "canceled", "failed"];
    let order_event = event_type
        .strip_prefix("ecommerce.order.order.")
        .and_then(|rest| rest.split('.').next())
        .is_some_and(|word| OF_ORDERS.contains(&word));
    topic == topics::PAYMENT || event_type.starts_with("ecommerce.payment.") || order_event
}

/// Without NUL, which PostgreSQL cannot keep, and bounded.
pub fn cut(text: &str, chars: usize) -> String {
    text.chars().filter(|c| *c != '\0').take(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "0199aaaa-0000-7000-8000-000000000001";

    #[test]
    fn an_order_event_tells_order_customer_and_money() {
        let value = serde_json::json!({
            "eventId": ORDER, "eventType": "ecommerce.order.order.paid.v1", "aggregateId": ORDER,
            "partitionKey": ORDER, "traceId": "t", "correlationId": "c",
            "payload": {"userId": ORDER, "amount": 129.5, "currency": "USD"}
        });
        let facts = facts(topics::ORDER, value.to_string().as_bytes(), &BTreeMap::new());
        assert_eq!(facts.order_id, Some(ORDER.parse().unwrap()));
        assert_eq!(facts.customer, Some(format!("user:{ORDER}")));
        assert_eq!(facts.amount, Some(Money::new(12_950, Currency::USD)));
        assert!(facts.about_money);
    }

    #[test]
    fn what_is_no_event_still_tells_what_its_headers_say() {
        let headers = BTreeMap::from([
            ("ce_type".to_owned(), "x.v1".to_owned()),
            ("traceparent".to_owned(), "00-abc-def-01".to_owned()),
        ]);
        let facts = facts("t", b"\xff\0nonsense", &headers);
        assert_eq!((facts.event_type.as_str(), facts.trace_id.as_deref()), ("x.v1", Some("abc")));
        assert!(!facts.about_money && facts.order_id.is_none());
        let failed = failed(&headers, ("t.DLQ", 2, 7));
        assert_eq!((failed.consumer.as_str(), failed.topic.as_str()), ("unknown", "t"));
        assert_eq!((failed.partition, failed.offset), (2, 7));
    }
}
