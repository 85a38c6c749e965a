//! The sides that know how many effects there were.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use uuid::Uuid;

use super::Scene;
use super::sends::Tally;
use crate::events::{self, Event, Fold, Marks};
use crate::report::Table;
use crate::shelves;

/// No news for so long means that nothing more is coming: a charge that was under
/// way when the shop died waits for the gateway to settle.
const QUIET: Duration = Duration::from_secs(90);

/// The counts of every side.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Different orders in the answers.
    pub answered: u64,
    /// Units that stock says are promised.
    pub stock_promised: u64,
    pub events_created: u64,
    /// Orders created that no answer names, and orders created twice.
    pub events_strangers: u64,
    pub events_doubled: u64,
    pub events_captured: u64,
    pub events_confirmed: u64,
    /// Orders with an approved charge, and with more than one.
    pub ledger_charged: u64,
    pub ledger_double: u64,
}

impl Evidence {
    pub fn table(&self, keys: u64) -> Table {
        let mut table =
            Table::new(&["effects", "expected", "answers", "stock", "events", "ledger"]);
        let n = |n: u64| n.to_string();
        let none = String::new;
        table.row(vec![
            "orders".into(),
            n(keys),
            n(self.answered),
            n(self.stock_promised),
            n(self.events_created),
            none(),
        ]);
        table.row(vec![
            "payments".into(),
            n(keys),
            none(),
            none(),
            n(self.events_captured),
            n(self.ledger_charged),
        ]);
        table.row(vec![
            "doubled".into(),
            n(0),
            none(),
            none(),
            n(self.events_doubled + self.events_strangers),
            n(self.ledger_double),
        ]);
        table
    }

    pub fn failures(&self, keys: u64) -> Vec<String> {
        let mut failures = Vec::new();
        let mut equal = |what: &str, is: u64, wanted: u64| {
            if is != wanted {
                failures.push(format!("{what}: {is} instead of {wanted}"));
            }
        };
        equal("orders in the answers", self.answered, keys);
        equal("units promised by the stock", self.stock_promised, keys);
        equal("orders created in the events", self.events_created, keys);
        equal("orders that no answer names", self.events_strangers, 0);
        equal("orders created more than once", self.events_doubled, 0);
        equal("payments captured in the events", self.events_captured, keys);
        equal("orders confirmed in the events", self.events_confirmed, keys);
        equal("orders charged in the ledger", self.ledger_charged, keys);
        equal("orders charged more than once", self.ledger_double, 0);
        failures
    }
}

/// Reads the log of this run's sku.
struct Log {
    sku: String,
    expected: BTreeSet<Uuid>,
    created: BTreeMap<Uuid, u64>,
    captured: BTreeMap<Uuid, u64>,
    confirmed: BTreeSet<Uuid>,
}

impl Fold for Log {
    fn take(&mut self, event: Event) {
        let Ok(order) = event.partition_key.parse::<Uuid>() else { return };
        match event.event_type.as_str() {
            "ecommerce.order.order.created.v1" if event.skus().any(|sku| sku == self.sku) => {
                *self.created.entry(order).or_default() += 1;
            }
            "ecommerce.payment.payment.captured.v1" => {
                *self.captured.entry(order).or_default() += 1;
            }
            "ecommerce.order.order.confirmed.v1" => {
                self.confirmed.insert(order);
            }
            _ => {}
        }
    }

    fn complete(&self) -> bool {
        self.expected.iter().all(|order| self.confirmed.contains(order))
    }
}

pub async fn gather(
    scene: &Scene,
    tally: &Tally,
    marks: Marks,
    ledger: i64,
) -> anyhow::Result<Evidence> {
    let log = Log {
        sku: scene.sku.to_lowercase(),
        expected: tally.orders.clone(),
        created: BTreeMap::new(),
        captured: BTreeMap::new(),
        confirmed: BTreeSet::new(),
    };
    let log = events::follow(&scene.broker, marks, QUIET, log).await?;
    let stock = shelves::find_stock(&scene.shop, &scene.merchant, &scene.sku).await?;
    let stock = stock.context("the sku has no stock any more")?;
    let accounts = scene.simulator.accounts_since(ledger).await?;
    let ours = |order: &Uuid| log.created.contains_key(order);
    let strangers = log.created.keys().filter(|order| !tally.orders.contains(order)).count();
    let doubled = log.created.values().filter(|times| **times > 1).count();
    let captured = log.captured.iter().filter(|(order, _)| ours(order));
    let charged: Vec<u64> = accounts
        .iter()
        .filter(|(order, _)| order.parse().is_ok_and(|order| ours(&order)))
        .map(|(_, account)| account.charges)
        .filter(|charges| *charges > 0)
        .collect();
    Ok(Evidence {
        answered: tally.orders.len() as u64,
        stock_promised: u64::try_from(stock.held + stock.allocated)?,
        events_created: log.created.len() as u64,
        events_strangers: strangers as u64,
        events_doubled: doubled as u64,
        events_captured: captured.map(|(_, times)| *times).sum(),
        events_confirmed: log.confirmed.iter().filter(|o| ours(o)).count() as u64,
        ledger_charged: charged.len() as u64,
        ledger_double: charged.iter().filter(|charges| **charges > 1).count() as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_side_has_to_agree() {
        let right = || Evidence {
            answered: 5,
            stock_promised: 5,
            events_created: 5,
            events_captured: 5,
            events_confirmed: 5,
            ledger_charged: 5,
            ..Evidence::default()
        };
        assert!(right().failures(5).is_empty());
        for wrong in [
            Evidence { answered: 6, ..right() },
            Evidence { stock_promised: 6, ..right() },
            Evidence { events_created: 6, events_strangers: 1, ..right() },
            Evidence { events_captured: 6, ..right() },
            Evidence { ledger_double: 1, ..right() },
            Evidence { ledger_charged: 4, ..right() },
        ] {
            assert!(!wrong.failures(5).is_empty(), "{wrong:?}");
        }
    }
}
