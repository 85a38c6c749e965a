//! Open-loop load: a request leaves when it is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use shared_types::orders::LineInput;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{Args, Range};
use crate::client::{Call, Shop, root_cause};
use crate::report::Latencies;
use crate::shelves;

/// An accepted order.
#[derive(Clone, Debug)]
pub struct Placed {
    pub order_id: Uuid,
    /// Only of those that will be read again.
    pub token: Option<String>,
    /// When the answer came: the order and its events were committed by then.
    pub answered: std::time::Instant,
}

#[derive(Debug, Default)]
pub struct Load {
    pub offered: u64,
    pub placed: Vec<Placed>,
    /// Sent without learning what became of it.
    pub unanswered: u64,
    /// Answers other than an order, and what was not sent for want of room.
    pub others: BTreeMap<String, u64>,
    pub latencies: Latencies,
    pub took: Duration,
}

/// Requests under way at once; a shop this far behind has lost the run.
const MOST_UNDER_WAY: usize = 8_192;

enum Outcome {
    Placed(Placed, Duration),
    Refused(String),
    Unanswered(String),
}

/// When request `number` is due.
fn due(number: u64, rate: u32) -> Duration {
    Duration::from_nanos(number.saturating_mul(1_000_000_000) / u64::from(rate.max(1)))
}

pub async fn run(range: &Range, args: &Args, rate: u32, lasting: Duration) -> anyhow::Result<Load> {
    let room = Arc::new(Semaphore::new(MOST_UNDER_WAY));
    let (mut tasks, mut load) = (JoinSet::new(), Load::default());
    let total = u64::from(rate).saturating_mul(lasting.as_secs());
    // Spread over the run, so that early and late orders are looked at alike.
    let keep_every = (total / args.read_back.max(1)).max(1);
    let started = Instant::now();
    for number in 0..total {
        let at = started + due(number, rate);
        if Instant::now() < at {
            sleep_until(at).await;
        }
        load.offered += 1;
        let Ok(place) = room.clone().try_acquire_owned() else {
            load.note("not sent: the shop is too far behind");
            continue;
        };
        let (shop, lines) = (range.shop.clone(), lines(range, args, number));
        let (pay, keep) = (args.pay, number % keep_every == 0);
        tasks.spawn(async move {
            let outcome = one(&shop, lines, pay, keep, at).await;
            drop(place);
            outcome
        });
        while let Some(outcome) = tasks.try_join_next() {
            load.take(outcome??);
        }
    }
    while let Some(outcome) = tasks.join_next().await {
        load.take(outcome??);
    }
    load.took = started.elapsed();
    Ok(load)
}

impl Load {
    fn note(&mut self, what: &str) {
        *self.others.entry(what.to_owned()).or_default() += 1;
    }

    fn take(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Placed(placed, took) => {
                self.latencies.add(took);
                self.placed.push(placed);
            }
            Outcome::Refused(complaint) => self.note(&complaint),
            Outcome::Unanswered(reason) => {
                self.unanswered += 1;
                self.note(&reason);
            }
        }
    }
}

/// Different skus that follow each other round the shelves.
fn lines(range: &Range, args: &Args, number: u64) -> Vec<LineInput> {
    let (count, skus) = (u64::from(args.lines), range.skus.len() as u64);
    // An odd stride meets every pairing of neighbours sooner than a plain walk.
    let first = number.wrapping_mul(7);
    (0..count)
        .map(|n| {
            let sku = range.skus[((first + n) % skus) as usize].clone();
            LineInput { sku, qty: 1 }
        })
        .collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Accepted {
    order_id: Uuid,
    order_token: Option<String>,
}

async fn one(
    shop: &Shop,
    lines: Vec<LineInput>,
    pay: bool,
    keep: bool,
    due: Instant,
) -> anyhow::Result<Outcome> {
    let order = shelves::guest_order(lines, pay);
    let call = Call::post("/orders", &order)?.key(Uuid::new_v4().to_string());
    let answer = match shop.send(&call).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Outcome::Unanswered(format!("no answer: {}", root_cause(&error)))),
    };
    let (took, answered) = (due.elapsed(), std::time::Instant::now());
    if answer.status.as_u16() != 201 {
        return Ok(match answer.status.as_u16() {
            202 | 500.. => Outcome::Unanswered(answer.complaint()),
            _ => Outcome::Refused(answer.complaint()),
        });
    }
    let accepted: Accepted = answer.json()?;
    let token = accepted.order_token.filter(|_| keep);
    Ok(Outcome::Placed(Placed { order_id: accepted.order_id, token, answered }, took))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_at_even_distances() {
        assert_eq!(due(0, 3), Duration::ZERO);
        assert_eq!(due(3, 3), Duration::from_secs(1));
        assert_eq!(due(6_000_000, 1_000), Duration::from_secs(6_000));
    }
}
