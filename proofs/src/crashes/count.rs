//! What became of all orders together: stock, its ledger, events, charges.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use shared_types::Page;
use shared_types::inventory::LedgerEntry;
use uuid::Uuid;

use super::Scene;
use super::flows::Course;
use crate::client::Call;
use crate::events::{self, Event, Fold, Marks};
use crate::report::Table;
use crate::shelves;
use crate::simulator::Account;

/// No news for so long means that nothing more is coming.
const QUIET: Duration = Duration::from_secs(45);
/// Complaints of one kind beyond this say nothing new.
const MOST: usize = 5;

/// The events of our orders, and what else names our sku.
pub struct Log {
    sku: String,
    expected: BTreeMap<Uuid, usize>,
    /// Type and version, in the order of the log.
    changes: BTreeMap<Uuid, Vec<(String, i64)>>,
    captured: BTreeMap<Uuid, u64>,
    strangers: BTreeSet<Uuid>,
}

impl Log {
    fn expecting(sku: &str, courses: &[Course]) -> Self {
        let expected = courses.iter().map(|c| (c.order, c.flow.expected().events.len()));
        Log {
            sku: sku.to_lowercase(),
            expected: expected.collect(),
            changes: BTreeMap::new(),
            captured: BTreeMap::new(),
            strangers: BTreeSet::new(),
        }
    }
}

impl Fold for Log {
    fn take(&mut self, event: Event) {
        let Ok(order) = event.partition_key.parse::<Uuid>() else { return };
        let ours = self.expected.contains_key(&order);
        if event.event_type == "ecommerce.payment.payment.captured.v1" {
            *self.captured.entry(order).or_default() += u64::from(ours);
        }
        let Some(word) = event.event_type.strip_prefix("ecommerce.order.order.") else { return };
        let word = word.trim_end_matches(".v1").to_owned();
        if ours {
            self.changes.entry(order).or_default().push((word, event.aggregate_version));
        } else if event.skus().any(|sku| sku == self.sku) {
            self.strangers.insert(order);
        }
    }

    fn complete(&self) -> bool {
        let there = |order: &Uuid| self.changes.get(order).map_or(0, Vec::len);
        self.expected.iter().all(|(order, wanted)| there(order) >= *wanted)
    }
}

/// What every side says.
pub struct Evidence {
    log: Log,
    accounts: BTreeMap<String, Account>,
    on_hand: i64,
    held: i64,
    allocated: i64,
    /// Changes of what is on hand, and their sum.
    entries: usize,
    entered: i64,
}

pub async fn gather(
    scene: &Scene,
    courses: &[Course],
    marks: Marks,
    ledger: i64,
) -> anyhow::Result<Evidence> {
    let log = Log::expecting(&scene.sku, courses);
    let log = events::follow(&scene.broker, marks, QUIET, log).await?;
    let stock = shelves::find_stock(&scene.shop, &scene.merchant, &scene.sku).await?;
    let stock = stock.context("the sku has no stock any more")?;
    let call = Call::get(format!("/inventory/{}/ledger?first=100", scene.sku))
        .by(scene.merchant.get().await?);
    let entries: Page<LedgerEntry> =
        scene.shop.patiently(&call).await?.expect(&[200], "reading the stock ledger")?;
    Ok(Evidence {
        log,
        accounts: scene.simulator.accounts_since(ledger).await?,
        on_hand: stock.on_hand,
        held: stock.held,
        allocated: stock.allocated,
        entries: entries.items.len(),
        entered: entries.items.iter().map(|entry| entry.delta).sum(),
    })
}

impl Evidence {
    fn account(&self, course: &Course) -> Account {
        self.accounts.get(&course.order.to_string()).copied().unwrap_or_default()
    }

    pub fn table(&self, courses: &[Course]) -> Table {
        let count = |of: fn(&Course) -> bool| courses.iter().filter(|c| of(c)).count().to_string();
        let seen = |of: &dyn Fn(&Course) -> u64| courses.iter().map(of).sum::<u64>().to_string();
        let mut table = Table::new(&["", "wanted", "seen"]);
        let mut row = |what: &str, wanted: String, seen: String| {
            table.row(vec![what.to_owned(), wanted, seen]);
        };
        row("orders", courses.len().to_string(), self.log.changes.len().to_string());
        row("orders of nobody", "0".into(), self.log.strangers.len().to_string());
        let wanted: usize = courses.iter().map(|c| c.flow.expected().events.len()).sum();
        let changes: usize = self.log.changes.values().map(Vec::len).sum();
        row("events of orders", wanted.to_string(), changes.to_string());
        let charged = count(|c| c.flow.expected().charged);
        let captured: u64 = self.log.captured.values().sum();
        row("captures in the events", charged.clone(), captured.to_string());
        row("charges in the ledger", charged, seen(&|c| self.account(c).charges));
        let refunded = count(|c| c.flow.expected().refunded);
        let back = seen(&|c| u64::from(self.account(c).refunded_minor == c.total_minor));
        row("refunds in the ledger", refunded, back);
        row("units promised", count(|c| c.flow.expected().allocated), self.allocated.to_string());
        row("units held", "0".into(), self.held.to_string());
        table
    }

    /// What is not as it must be; `units` there were at first.
    pub fn failures(&self, courses: &[Course], units: i64) -> Vec<String> {
        let mut failures = Vec::new();
        let wrong = courses.iter().filter_map(|course| self.failure_of(course));
        failures.extend(wrong.take(MOST));
        let orders: BTreeSet<Uuid> = courses.iter().map(|course| course.order).collect();
        let mut equal = |what: &str, is: i64, wanted: i64| {
            if is != wanted {
                failures.push(format!("{what}: {is} instead of {wanted}"));
            }
        };
        equal("different orders", orders.len() as i64, courses.len() as i64);
        equal("orders that nobody placed", self.log.strangers.len() as i64, 0);
        equal("units on hand", self.on_hand, units);
        equal("units by the stock ledger", self.entered, units);
        equal("entries of the stock ledger", self.entries as i64, 1);
        equal("units held", self.held, 0);
        let allocated = courses.iter().filter(|c| c.flow.expected().allocated).count();
        equal("units promised", self.allocated, allocated as i64);
        failures
    }

    fn failure_of(&self, course: &Course) -> Option<String> {
        let expected = course.flow.expected();
        let nothing = Vec::new();
        let changes = self.log.changes.get(&course.order).unwrap_or(&nothing);
        let words: Vec<&str> = changes.iter().map(|(word, _)| word.as_str()).collect();
        let gapless = changes.iter().zip(1..).all(|((_, version), n)| *version == n);
        let captured = self.log.captured.get(&course.order).copied().unwrap_or(0);
        let charged = u64::from(expected.charged);
        let minor = |wanted: bool| if wanted { course.total_minor } else { 0 };
        let account = self.account(course);
        let wanted = Account {
            charges: charged,
            charged_minor: minor(expected.charged),
            refunded_minor: minor(expected.refunded),
        };
        let what = if words != expected.events || !gapless {
            format!("its events are {changes:?}")
        } else if captured != charged {
            format!("captured {captured} times in the events")
        } else if account != wanted {
            format!("the ledger says {account:?}")
        } else {
            return None;
        };
        Some(format!("{} ({}): {what}", course.order, course.flow.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::flows::Flow;
    use super::*;

    fn event(kind: &str, order: Uuid, version: i64, sku: &str) -> Event {
        Event {
            event_id: Uuid::from_u128(version as u128).to_string(),
            event_type: format!("ecommerce.{kind}.v1"),
            partition_key: order.to_string(),
            aggregate_version: version,
            payload: serde_json::json!({ "items": [{ "sku": sku }] }),
        }
    }

    fn right(course: &Course) -> Evidence {
        let mut log = Log::expecting("Lamp", std::slice::from_ref(course));
        for (word, version) in course.flow.expected().events.iter().zip(1..) {
            assert!(!log.complete());
            log.take(event(&format!("order.order.{word}"), course.order, version, "lamp"));
        }
        assert!(log.complete());
        log.take(event("payment.payment.captured", course.order, 1, ""));
        let total = course.total_minor;
        let account = Account { charges: 1, charged_minor: total, refunded_minor: total };
        Evidence {
            log,
            accounts: [(course.order.to_string(), account)].into(),
            on_hand: 9,
            held: 0,
            allocated: 0,
            entries: 1,
            entered: 9,
        }
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_noticed() {
        let course = Course::of(Flow::Withdrawn, Uuid::from_u128(7), 2_990);
        let courses = [course.clone()];
        assert_eq!(right(&course).failures(&courses, 9), Vec::<String>::new());
        type Harm = fn(&mut Evidence);
        let harms: [Harm; 9] = [
            |e| e.held = 1,
            |e| e.allocated = 1,
            |e| (e.on_hand, e.entered) = (8, 8),
            |e| e.entries = 2,
            |e| e.accounts.clear(),
            |e| e.accounts.values_mut().for_each(|a| a.charges = 2),
            |e| e.log.captured.values_mut().for_each(|times| *times = 2),
            |e| e.log.changes.values_mut().for_each(|all| all.swap(0, 1)),
            |e| e.log.take(event("order.order.created", Uuid::from_u128(8), 1, "LAMP")),
        ];
        for (index, harm) in harms.into_iter().enumerate() {
            let mut evidence = right(&course);
            harm(&mut evidence);
            assert!(!evidence.failures(&courses, 9).is_empty(), "harm {index}");
        }
    }
}
