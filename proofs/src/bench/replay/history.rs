//! A history of orders that never was: events as the shop publishes them, in the
//! order in which they would have happened.

use std::time::{Duration, SystemTime};

use shared_types::Timestamp;
use uuid::Builder;

/// Orders under way at the same time, whose events mix.
const ABREAST: u64 = 64;
/// One order follows the other after so long.
const EVERY: Duration = Duration::from_millis(40);

/// An event, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: String,
    pub value: String,
}

/// How an order goes: its events after the first.
fn rest_of(order: u64) -> &'static [&'static str] {
    match order % 10 {
        7 => &["paid", "confirmed", "canceled"],
        8 => &["canceled"],
        9 => &["failed"],
        _ => &["paid", "confirmed"],
    }
}

/// The history's events one after the other; the same for the same `until`.
pub struct History {
    began: SystemTime,
    /// The first order of those under way.
    first: u64,
    /// Which of their events come now.
    turn: usize,
    next: u64,
}

impl History {
    /// Orders of the time before `until`, as many as are asked for.
    pub fn before(until: SystemTime, events: u64) -> Self {
        let span = EVERY * u32::try_from(events).unwrap_or(u32::MAX) + Duration::from_secs(3_600);
        History { began: until - span, first: 0, turn: 0, next: 0 }
    }

    /// Orders that have begun so far.
    pub fn orders(&self) -> u64 {
        if self.turn == 0 { self.next } else { self.first + ABREAST }
    }

    fn at(&self, order: u64) -> SystemTime {
        let place = u32::try_from(order).unwrap_or(u32::MAX);
        self.began + EVERY * place + Duration::from_millis(500) * self.turn as u32
    }

    fn record(&self, order: u64, word: &str) -> Record {
        let at = self.at(order);
        let millis = |at: SystemTime| {
            at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis()
        };
        let (born, now) =
            (millis(self.at(order) - Duration::from_millis(500) * self.turn as u32), millis(at));
        let id = |kind: u8, at: u128| {
            let mut tail = [kind; 10];
            tail[2..].copy_from_slice(&order.to_be_bytes());
            Builder::from_unix_timestamp_millis(at as u64, &tail).into_uuid()
        };
        let key = id(0, born).to_string();
        let when = i64::try_from(now).ok().and_then(Timestamp::from_unix_millis);
        let when = when.map(|at| at.to_string()).unwrap_or_default();
        let (event, version) = (id(1 + self.turn as u8, now), self.turn + 1);
        let payload = payload(order, word, &key);
        let value = format!(
            r#"{{"eventId":"{event}","eventType":"ecommerce.order.order.{word}.v1","occurredAt":"{when}","producer":"orders","traceId":"{order:032x}","correlationId":"{key}","causationId":null,"schemaVersion":"1.0","partitionKey":"{key}","aggregateId":"{key}","aggregateVersion":{version},"tenant":"default","payload":{payload}}}"#
        );
        Record { key, value }
    }
}

fn payload(order: u64, word: &str, id: &str) -> String {
    let (lamps, cups) = (1 + order % 3, 1 + order % 4);
    let (cents, total) = (lamps * 2_500 + cups * 850, lamps * 2_500 + cups * 850 + 490);
    let money = |cents: u64| format!("{}.{:02}", cents / 100, cents % 100);
    let product = |n: u64| format!("0199aaaa-0000-7000-8000-{n:012x}");
    let items = format!(
        r#"[{{"productId":"{}","sku":"LAMP-{}","qty":{lamps},"price":25.00}},{{"productId":"{}","sku":"CUP-{}","qty":{cups},"price":8.50}}]"#,
        product(order % 97),
        order % 97,
        product(100 + order % 89),
        order % 89
    );
    let guest = product(1_000_000 + order % 50_021);
    match word {
        "created" => format!(
            r#"{{"orderId":"{id}","orderNumber":"BV-{}","userId":null,"guestId":"{guest}","cartId":null,"reservation":"held","totalAmount":{},"currency":"USD","items":{items},"amounts":{{"subtotal":{},"discount":0.00,"tax":0.00,"shipping":4.90}}}}"#,
            1_000_000 + order,
            money(total),
            money(cents)
        ),
        "paid" => format!(
            r#"{{"orderId":"{id}","paymentId":"{}","amount":{},"currency":"USD"}}"#,
            product(2_000_000 + order),
            money(total)
        ),
        "confirmed" => format!(r#"{{"orderId":"{id}","items":{items}}}"#),
        _ => format!(
            r#"{{"orderId":"{id}","by":"guest:{guest}","reason":"customer_request","items":{items},"totalAmount":{},"currency":"USD","refundedAmount":{}}}"#,
            money(total),
            money(if order % 10 == 7 { total } else { 0 })
        ),
    }
}

impl Iterator for History {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            if self.next >= self.first + ABREAST {
                self.turn += 1;
                self.next = self.first;
                // No order has more events than this.
                if self.turn > 3 {
                    self.turn = 0;
                    self.first += ABREAST;
                    self.next = self.first;
                }
            }
            let order = self.next;
            self.next += 1;
            match self.turn {
                0 => return Some(self.record(order, "created")),
                turn => {
                    if let Some(word) = rest_of(order).get(turn - 1) {
                        return Some(self.record(order, word));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_order_has_a_life_without_gaps_and_no_event_comes_twice() {
        let mut history = History::before(SystemTime::now(), 1_000);
        let records: Vec<Record> = history.by_ref().take(1_000).collect();
        let mut lives: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut ids = std::collections::BTreeSet::new();
        for record in &records {
            let event: serde_json::Value = serde_json::from_str(&record.value).unwrap();
            assert_eq!(event["partitionKey"], record.key.as_str());
            assert_eq!(event["payload"]["orderId"], record.key.as_str());
            assert!(ids.insert(event["eventId"].to_string()), "{event}");
            let versions = lives.entry(record.key.clone()).or_default();
            versions.push(event["aggregateVersion"].as_i64().unwrap());
        }
        assert_eq!(lives.len() as u64, history.orders());
        for (key, versions) in lives {
            assert_eq!(versions, (1..=versions.len() as i64).collect::<Vec<_>>(), "{key}");
        }
    }
}
