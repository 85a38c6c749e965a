//! Counting what happened, from every side.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use indicatif::ProgressBar;
use shared_types::orders::{OrderStatus, OrderStatusView, Stage};

use super::manners::Manner;
use super::race::{Race, Sale};
use super::verdict::Evidence;
use super::{Args, Scene};
use crate::client::{Call, Credential, Shop};
use crate::events::{self, Event, Fold, Marks};
use crate::shelves;

const AT_ONCE: usize = 16;
const PAUSE: Duration = Duration::from_millis(200);
const QUIET: Duration = Duration::from_secs(20);

/// Looks at every sale until its saga rests, or time is up.
pub async fn come_to_rest(scene: &Scene, race: &mut Race, limit: Duration) -> anyhow::Result<()> {
    let started = Instant::now();
    let bar = ProgressBar::new(race.sales.len() as u64).with_message("orders at rest");
    let shop = scene.shop.with_bar(&bar);
    loop {
        let restless: Vec<usize> =
            (0..race.sales.len()).filter(|i| !rests(&race.sales[*i])).collect();
        bar.set_position((race.sales.len() - restless.len()) as u64);
        if restless.is_empty() || started.elapsed() > limit {
            bar.finish_and_clear();
            return Ok(());
        }
        let looks = stream::iter(restless)
            .map(|i| {
                let (shop, sale) = (&shop, &race.sales[i]);
                async move { (i, look(shop, sale).await) }
            })
            .buffer_unordered(AT_ONCE);
        for (i, view) in looks.collect::<Vec<_>>().await {
            let view = view?;
            race.sales[i].vanished = view.is_none();
            race.sales[i].last = view;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn rests(sale: &Sale) -> bool {
    sale.vanished || sale.last.as_ref().is_some_and(|view| view.stage == Stage::Done)
}

/// None when the shop knows no such order.
async fn look(shop: &Shop, sale: &Sale) -> anyhow::Result<Option<OrderStatusView>> {
    let call = Call::get(format!("/orders/{}/status", sale.order_id))
        .by(Credential::Order(sale.token.clone()));
    let answer = shop.patiently(&call).await?;
    if answer.status.as_u16() == 404 {
        return Ok(None);
    }
    answer.expect(&[200], "reading an order's status").map(Some)
}

/// What the event log says of our skus.
#[derive(Debug, Default)]
pub struct Events {
    skus: HashSet<String>,
    /// Sales whose confirmation is waited for.
    expected: HashSet<String>,
    /// `order.created` of our skus, by order.
    pub created: HashMap<String, u64>,
    pub confirmed: HashSet<String>,
    /// Orders with a live hold or allocation of our skus.
    pub held: HashSet<String>,
    pub allocated: HashSet<String>,
    /// `payment.captured` by order, all orders.
    pub captured: HashMap<String, u64>,
}

impl Fold for Events {
    fn take(&mut self, event: Event) {
        let order = event.partition_key.clone();
        let ours = || event.skus().any(|sku| self.skus.contains(&sku));
        match event.event_type.as_str() {
            "ecommerce.order.order.created.v1" if ours() => {
                *self.created.entry(order).or_default() += 1;
            }
            "ecommerce.order.order.confirmed.v1" if ours() => {
                self.confirmed.insert(order);
            }
            "ecommerce.inventory.reservation.held.v1" if ours() => {
                self.held.insert(order);
            }
            "ecommerce.inventory.reservation.confirmed.v1" if ours() => {
                self.held.remove(&order);
                self.allocated.insert(order);
            }
            "ecommerce.inventory.reservation.released.v1"
            | "ecommerce.inventory.reservation.expired.v1" => {
                self.held.remove(&order);
                self.allocated.remove(&order);
            }
            "ecommerce.payment.payment.captured.v1" => {
                *self.captured.entry(order).or_default() += 1;
            }
            _ => {}
        }
    }

    fn complete(&self) -> bool {
        self.expected.iter().all(|id| {
            self.confirmed.contains(id)
                && self.allocated.contains(id)
                && self.captured.contains_key(id)
        })
    }
}

pub async fn events(
    broker: &str,
    marks: Marks,
    scene: &Scene,
    race: &Race,
) -> anyhow::Result<Events> {
    let confirmed = race.sales.iter().filter(|s| is_sold(s));
    let fold = Events {
        skus: scene.skus.iter().map(|sku| sku.to_lowercase()).collect(),
        expected: confirmed.map(|s| s.order_id.clone()).collect(),
        ..Events::default()
    };
    events::follow(broker, marks, QUIET, fold).await
}

fn is_sold(sale: &Sale) -> bool {
    use OrderStatus::{Confirmed, Fulfilled, Shipped};
    sale.last.as_ref().is_some_and(|v| matches!(v.status, Confirmed | Shipped | Fulfilled))
}

/// Accepted while stock was away, and refused for want of stock afterwards.
fn refused_late(sale: &Sale) -> bool {
    let short = |view: &OrderStatusView| view.history.iter().any(|c| c.cause == "stock_short");
    sale.last.as_ref().is_some_and(|v| v.status == OrderStatus::Canceled && short(v))
}

/// Ended as its buyer brought about: a declined card, or paid too late.
fn came_to_nothing(sale: &Sale) -> bool {
    let Some(view) = &sale.last else { return false };
    match sale.manner {
        Manner::Declined => view.status == OrderStatus::Failed,
        Manner::Late => {
            matches!(view.status, OrderStatus::Failed | OrderStatus::Canceled)
                && !refused_late(sale)
        }
        Manner::AtOnce | Manner::Later => false,
    }
}

/// Puts the sides beside each other.
pub async fn gather(
    scene: &Scene,
    args: &Args,
    race: &Race,
    events: Events,
    ledger_position: i64,
) -> anyhow::Result<Evidence> {
    let stocks = shelves::stocks(&scene.shop, &scene.merchant, &scene.skus).await?;
    let accounts = scene.simulator.accounts_since(ledger_position).await?;
    let sold_to: HashSet<&str> = race.sales.iter().map(|s| s.order_id.as_str()).collect();
    let ours = |id: &str| sold_to.contains(id);
    let charged: BTreeMap<_, _> =
        accounts.iter().filter(|(_, a)| a.charged_minor > a.refunded_minor).collect();
    let strange_charges = charged.keys().map(|id| id.as_str()).filter(|id| !ours(id));
    let refused_late = race.sales.iter().filter(|s| refused_late(s));
    let (late, late_units) = refused_late.fold((0, 0), |(n, u), s| (n + 1, u + s.units));
    let sales: HashMap<&str, u64> =
        race.sales.iter().map(|s| (s.order_id.as_str(), s.units)).collect();
    let units_of = |id: &str| sales.get(id).copied().unwrap_or(1);
    let sum = |pick: fn(&Sale) -> bool| -> u64 {
        race.sales.iter().filter(|s| pick(s)).map(|s| s.units).sum()
    };
    let accepted = race.sales.len() as u64;
    let units =
        |of: fn(&shared_types::inventory::Stock) -> i64| -> i64 { stocks.iter().map(of).sum() };
    let count = |n: usize| n as u64;
    let orphans_in_events: HashSet<&String> = events
        .created
        .keys()
        .chain(&events.held)
        .chain(&events.allocated)
        .filter(|id| !ours(id))
        .collect();
    let doubled = |n: &&u64| **n > 1;
    let captured_twice = events.captured.iter().filter(|(id, n)| ours(id) && doubled(n)).count();
    Ok(Evidence {
        expected_sold: match args.gives_back() {
            true => args.units,
            false => expected_sold(args.buyers, &scene.units),
        },
        expected_refused: match args.gives_back() {
            true => race.asked - accepted + late,
            false => args.buyers - expected_sold(args.buyers, &scene.units).min(args.buyers),
        },
        http_sold: sum(|_| true) - late_units - sum(came_to_nothing),
        http_refused: race.refused + late,
        http_others: race.others.clone(),
        orders_sold: sum(is_sold),
        orders_open: count(race.sales.iter().filter(|s| !rests(s)).count()),
        orders_vanished: count(race.sales.iter().filter(|s| s.vanished).count()),
        stock_sold: units(|s| s.allocated).unsigned_abs(),
        stock_held: units(|s| s.held).unsigned_abs(),
        oversold: units(|s| (s.held + s.allocated + s.set_aside - s.on_hand).max(0)).unsigned_abs(),
        events_sold: events.confirmed.iter().map(|id| units_of(id)).sum(),
        events_held: count(events.held.len()),
        events_orphans: count(orphans_in_events.len()),
        events_doubled: count(events.created.values().filter(doubled).count()),
        events_captured_twice: count(captured_twice),
        ledger_sold: charged.keys().filter(|id| ours(id)).map(|id| units_of(id)).sum(),
        ledger_orphans: count(unknown_orders(scene, strange_charges).await?),
        ledger_double: count(accounts.iter().filter(|(id, a)| ours(id) && a.charges > 1).count()),
    })
}

/// What must be sold: buyers go round the skus in turn.
fn expected_sold(buyers: u64, units: &[u64]) -> u64 {
    super::spread(buyers, units.len() as u64).iter().zip(units).map(|(b, u)| (*b).min(*u)).sum()
}

/// How many of these order ids nobody in the shop knows. Charges of orders that
/// other people placed meanwhile are none of our business.
async fn unknown_orders(scene: &Scene, ids: impl Iterator<Item = &str>) -> anyhow::Result<usize> {
    let mut unknown = 0;
    for id in ids {
        let call = Call::get(format!("/orders/{id}")).by(scene.merchant.get().await?);
        let answer = scene.shop.patiently(&call).await?;
        if answer.status.as_u16() != 200 {
            unknown += 1;
        }
    }
    Ok(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, order: &str, sku: &str) -> Event {
        let payload = serde_json::json!({ "lines": [{ "sku": sku }], "items": [{ "sku": sku }] });
        Event {
            event_id: String::new(),
            event_type: format!("ecommerce.{kind}.v1"),
            partition_key: order.to_owned(),
            aggregate_version: 1,
            payload,
        }
    }

    #[test]
    fn events_of_other_skus_do_not_count() {
        let mut seen = Events { skus: HashSet::from(["a".to_owned()]), ..Events::default() };
        for (order, sku) in [("1", "A"), ("2", "B")] {
            seen.take(event("order.order.created", order, sku));
            seen.take(event("inventory.reservation.held", order, sku));
        }
        assert_eq!((seen.created.len(), seen.held.len()), (1, 1));
        seen.take(event("inventory.reservation.confirmed", "1", "a"));
        assert!(seen.held.is_empty() && seen.allocated.contains("1"));
        seen.take(event("inventory.reservation.released", "1", "a"));
        assert!(seen.allocated.is_empty());
    }

    #[test]
    fn fewer_buyers_than_units_sell_as_many_as_there_are_buyers() {
        assert_eq!(expected_sold(5_000, &[300]), 300);
        assert_eq!(expected_sold(10, &[300]), 10);
        assert_eq!(expected_sold(10, &[3, 300]), 8);
    }
}
