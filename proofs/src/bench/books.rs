//! The books of a bench run: nothing oversold, lost or doubled.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

use super::load::Placed;
use super::{Args, Range};
use crate::client::{Call, Credential, Shop};
use crate::events::{self, Event, Fold, Marks, ORDER};
use crate::shelves;

const AT_ONCE: usize = 16;
/// The outbox may lag behind a run; it must drain.
const QUIET: Duration = Duration::from_secs(60);

/// How things stood before.
pub struct Before {
    marks: Marks,
    promised: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub accepted: u64,
    /// Units promised beyond what is on hand.
    pub oversold: u64,
    /// Units promised that no accepted order accounts for, or the other way.
    pub units_astray: u64,
    /// Accepted, and not in the event log.
    pub lost: u64,
    /// Created twice, or created without anybody having been told.
    pub doubled: u64,
    pub read_back: u64,
    /// Of those read again, how many were not there.
    pub unreadable: u64,
}

impl Books {
    pub fn right(&self) -> bool {
        self.oversold == 0
            && self.units_astray == 0
            && self.lost == 0
            && self.doubled == 0
            && self.unreadable == 0
    }
}

/// Units in holds and allocations, and those beyond what is on hand.
async fn promised(range: &Range) -> anyhow::Result<(i64, u64)> {
    let stocks = shelves::stocks(&range.shop, &range.merchant, &range.skus).await?;
    let promised = stocks.iter().map(|s| s.held + s.allocated).sum();
    let beyond = stocks.iter().map(|s| (s.held + s.allocated + s.set_aside - s.on_hand).max(0));
    Ok((promised, beyond.sum::<i64>().unsigned_abs()))
}

pub async fn open(range: &Range) -> anyhow::Result<Before> {
    let marks = events::mark(&range.broker, &[ORDER]).await?;
    Ok(Before { marks, promised: promised(range).await?.0 })
}

struct Log {
    skus: HashSet<String>,
    /// `order.created` by order.
    created: HashMap<Uuid, u32>,
    /// Units that the event log says were given back: holds that ran out.
    expected: HashSet<Uuid>,
    missing: usize,
    ended: u64,
}

impl Fold for Log {
    fn take(&mut self, event: Event) {
        let ours = || event.skus().any(|sku| self.skus.contains(&sku));
        let Ok(order) = event.partition_key.parse::<Uuid>() else { return };
        match event.event_type.as_str() {
            "ecommerce.order.order.created.v1" if ours() => {
                let count = self.created.entry(order).or_default();
                *count += 1;
                if *count == 1 && self.expected.contains(&order) {
                    self.missing -= 1;
                }
            }
            "ecommerce.order.order.canceled.v1" | "ecommerce.order.order.failed.v1" if ours() => {
                self.ended += 1;
            }
            _ => {}
        }
    }

    fn complete(&self) -> bool {
        self.missing == 0
    }
}

/// `unanswered` requests may have become orders: that many strangers are no fault.
pub async fn close(
    range: &Range,
    args: &Args,
    before: Before,
    placed: impl Iterator<Item = &Placed>,
    unanswered: u64,
) -> anyhow::Result<Books> {
    let placed: Vec<&Placed> = placed.collect();
    let (now, oversold) = promised(range).await?;
    let expected: HashSet<Uuid> = placed.iter().map(|p| p.order_id).collect();
    let log = Log {
        skus: range.skus.iter().map(|sku| sku.to_lowercase()).collect(),
        created: HashMap::new(),
        missing: expected.len(),
        expected,
        ended: 0,
    };
    let log = events::follow(&range.broker, before.marks, QUIET, log).await?;
    let read: Vec<&Placed> = placed.iter().copied().filter(|p| p.token.is_some()).collect();
    let mut books = reckon(&log, unanswered);
    books.oversold = oversold;
    let units = (books.accepted + books.doubled) * u64::from(args.lines);
    let gone = now - before.promised;
    // Holds of slow runs end by themselves, and unanswered ones may have been taken.
    let excused = (log.ended + unanswered) * u64::from(args.lines);
    let astray = gone.abs_diff(i64::try_from(units)?);
    books.units_astray = astray.saturating_sub(excused);
    books.read_back = read.len() as u64;
    books.unreadable = unreadable(&range.shop, &read).await?;
    Ok(books)
}

fn reckon(log: &Log, unanswered: u64) -> Books {
    let twice = log.created.values().filter(|count| **count > 1).count() as u64;
    let strangers = log.created.keys().filter(|id| !log.expected.contains(id)).count() as u64;
    Books {
        accepted: log.expected.len() as u64,
        lost: log.missing as u64,
        doubled: twice + strangers.saturating_sub(unanswered),
        ..Books::default()
    }
}

/// How many of these orders the shop does not show to their buyers.
async fn unreadable(shop: &Shop, placed: &[&Placed]) -> anyhow::Result<u64> {
    let answers: Vec<bool> = stream::iter(placed)
        .map(|placed| async move {
            let token = placed.token.clone().unwrap_or_default();
            let call =
                Call::get(format!("/orders/{}", placed.order_id)).by(Credential::Order(token));
            let answer = shop.patiently(&call).await?;
            anyhow::Ok(answer.status.as_u16() == 200)
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(answers.iter().filter(|found| !**found).count() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(order: Uuid) -> Event {
        Event {
            event_id: String::new(),
            event_type: "ecommerce.order.order.created.v1".to_owned(),
            partition_key: order.to_string(),
            aggregate_version: 1,
            payload: serde_json::json!({ "items": [{ "sku": "S" }] }),
        }
    }

    fn log(expected: &[Uuid], seen: &[Uuid]) -> Log {
        let mut log = Log {
            skus: HashSet::from(["s".to_owned()]),
            created: HashMap::new(),
            expected: expected.iter().copied().collect(),
            missing: expected.len(),
            ended: 0,
        };
        seen.iter().for_each(|id| log.take(created(*id)));
        log
    }

    #[test]
    fn lost_and_doubled_orders_are_counted() {
        let [a, b, c] = [1, 2, 3].map(Uuid::from_u128);
        let books = |seen: &[Uuid], unanswered| reckon(&log(&[a, b], seen), unanswered);
        assert!(books(&[a, b], 0).right());
        assert_eq!(books(&[a], 0).lost, 1);
        assert_eq!(books(&[a, b, b], 0).doubled, 1);
        assert_eq!(books(&[a, b, c], 0).doubled, 1);
        assert_eq!(books(&[a, b, c], 1).doubled, 0, "its answer may have been lost");
    }
}
