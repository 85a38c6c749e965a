//! What the event log says: which events there were, and which must have died.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::events::{Event, Fold};

/// How often an order changes when all goes well.
const PER_ORDER: usize = 3;
/// Ids fall into so many drawers: the drill draws by the last 32 bits.
const DRAWERS: u32 = 10_000;

/// The events of our orders, in the order of the log.
pub struct Happened {
    events: BTreeMap<Uuid, Vec<(Uuid, String)>>,
    poison: u32,
}

impl Happened {
    pub fn to(orders: &BTreeSet<Uuid>, poison: u32) -> Self {
        Happened { events: orders.iter().map(|id| (*id, Vec::new())).collect(), poison }
    }

    pub fn wanted(&self) -> usize {
        self.events.len() * PER_ORDER
    }

    pub fn count(&self) -> usize {
        self.events.values().map(Vec::len).sum()
    }

    fn is_poison(&self, event: Uuid) -> bool {
        event.as_u128() as u32 % DRAWERS < self.poison
    }

    /// The first poison of each order: what lies behind it waits, and is handled
    /// when the drill is over.
    pub fn must_die(&self) -> BTreeSet<Uuid> {
        let first = |events: &Vec<(Uuid, String)>| {
            events.iter().map(|(id, _)| *id).find(|id| self.is_poison(*id))
        };
        self.events.values().filter_map(first).collect()
    }

    /// What the staff would have been told, had nothing failed.
    pub fn clean_run(&self) -> BTreeMap<Uuid, Vec<String>> {
        let statuses = |events: &Vec<(Uuid, String)>| {
            events.iter().map(|(_, status)| status.clone()).collect()
        };
        self.events.iter().map(|(order, events)| (*order, statuses(events))).collect()
    }
}

fn status_of(event_type: &str) -> &'static str {
    match event_type {
        "ecommerce.order.order.created.v1" => "PENDING",
        "ecommerce.order.order.paid.v1" => "PAID",
        "ecommerce.order.order.confirmed.v1" => "CONFIRMED",
        "ecommerce.order.order.canceled.v1" => "CANCELED",
        "ecommerce.order.order.failed.v1" => "FAILED",
        _ => "",
    }
}

impl Fold for Happened {
    fn take(&mut self, event: Event) {
        let (Ok(order), Ok(id)) = (event.partition_key.parse(), event.event_id.parse()) else {
            return;
        };
        let status = status_of(&event.event_type);
        if let Some(events) = self.events.get_mut(&order)
            && !status.is_empty()
        {
            events.push((id, status.to_owned()));
        }
    }

    fn complete(&self) -> bool {
        self.events.values().all(|events| events.len() >= PER_ORDER)
    }
}

/// Event ids in a dead letter topic.
pub struct Died {
    pub ids: BTreeSet<Uuid>,
    expected: BTreeSet<Uuid>,
}

impl Died {
    pub fn expecting(expected: &BTreeSet<Uuid>) -> Self {
        Died { ids: BTreeSet::new(), expected: expected.clone() }
    }
}

impl Fold for Died {
    fn take(&mut self, event: Event) {
        self.ids.extend(event.event_id.parse::<Uuid>());
    }

    fn complete(&self) -> bool {
        self.expected.is_subset(&self.ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(order: Uuid, drawer: u32, word: &str) -> Event {
        Event {
            event_id: Uuid::from_u128(u128::from(drawer)).to_string(),
            event_type: format!("ecommerce.order.order.{word}.v1"),
            partition_key: order.to_string(),
            aggregate_version: 1,
            payload: serde_json::Value::Null,
        }
    }

    #[test]
    fn of_two_poisons_of_one_order_the_first_dies() {
        let order = Uuid::from_u128(1);
        let mut happened = Happened::to(&[order].into(), 100);
        for (drawer, word) in [(500, "created"), (7, "paid"), (8, "confirmed")] {
            assert!(!happened.complete());
            happened.take(event(order, drawer, word));
        }
        happened.take(event(Uuid::from_u128(2), 1, "created"));
        assert!(happened.complete());
        assert_eq!(happened.must_die(), [Uuid::from_u128(7)].into());
        assert_eq!(happened.clean_run()[&order], ["PENDING", "PAID", "CONFIRMED"]);
    }
}
