//! The race: every buyer places one order and takes the answer as it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shared_types::orders::{LineInput, Order, OrderStatusView, PayOrder};

use super::{Args, Scene};
use crate::client::{Call, Credential, Shop, root_cause};
use crate::report::Latencies;
use crate::shelves;

/// An order that the shop accepted.
#[derive(Clone, Debug)]
pub struct Sale {
    pub order_id: String,
    /// What its buyer reads it with.
    pub token: String,
    /// How it read when it was last looked at.
    pub last: Option<OrderStatusView>,
    /// The shop says there is no such order.
    pub vanished: bool,
}

/// What the buyers were told.
#[derive(Debug, Default)]
pub struct Race {
    pub sales: Vec<Sale>,
    pub refused: u64,
    /// Answers that are neither, and how many.
    pub others: BTreeMap<String, u64>,
    /// Of those who got a unit, and of those who did not.
    pub selling: Latencies,
    pub refusing: Latencies,
    pub took: Duration,
}

impl Race {
    fn other(&mut self, what: String) {
        *self.others.entry(what).or_default() += 1;
    }

    fn merge(&mut self, other: Race) {
        self.sales.extend(other.sales);
        self.refused += other.refused;
        self.selling.extend(&other.selling);
        self.refusing.extend(&other.refusing);
        for (what, count) in other.others {
            *self.others.entry(what).or_default() += count;
        }
    }
}

pub async fn run(scene: &Scene, args: &Args) -> anyhow::Result<Race> {
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..args.concurrency {
        let (next, shop, skus) = (next.clone(), scene.shop.clone(), scene.skus.clone());
        let (buyers, pay) = (args.buyers, args.pay);
        tasks.spawn(async move {
            let mut seen = Race::default();
            loop {
                let buyer = next.fetch_add(1, Ordering::Relaxed);
                if buyer >= buyers {
                    return Ok::<_, anyhow::Error>(seen);
                }
                let sku = &skus[(buyer % skus.len() as u64) as usize];
                buy(&shop, sku, pay, &mut seen).await?;
            }
        });
    }
    let mut race = Race::default();
    while let Some(seen) = tasks.join_next().await {
        race.merge(seen??);
    }
    race.took = started.elapsed();
    Ok(race)
}

async fn buy(shop: &Shop, sku: &str, pay: bool, seen: &mut Race) -> anyhow::Result<()> {
    let order = shelves::guest_order(vec![LineInput { sku: sku.to_owned(), qty: 1 }], !pay);
    let key = uuid::Uuid::new_v4().to_string();
    let call = Call::post("/orders", &order)?.key(key);
    let sent = Instant::now();
    let answer = match shop.send(&call).await {
        Ok(answer) => answer,
        Err(error) => {
            seen.other(format!("no answer: {}", root_cause(&error)));
            return Ok(());
        }
    };
    let took = sent.elapsed();
    match answer.status.as_u16() {
        201 | 202 => {
            seen.selling.add(took);
            let order: Order = answer.json()?;
            let Some(token) = order.order_token else {
                seen.other("an order without its token".to_owned());
                return Ok(());
            };
            let sale =
                Sale { order_id: order.order_id.to_string(), token, last: None, vanished: false };
            if pay {
                pay_for(shop, &sale, seen).await?;
            }
            seen.sales.push(sale);
        }
        409 if answer.code() == "orders.stock_short" => {
            seen.refused += 1;
            seen.refusing.add(took);
        }
        _ => seen.other(answer.complaint()),
    }
    Ok(())
}

async fn pay_for(shop: &Shop, sale: &Sale, seen: &mut Race) -> anyhow::Result<()> {
    let body = PayOrder { payment_method: Some(shelves::card()) };
    let call = Call::post(format!("/orders/{}/pay", sale.order_id), &body)?
        .by(Credential::Order(sale.token.clone()))
        .key(format!("pay-{}", sale.order_id));
    match shop.patiently(&call).await {
        Ok(answer) if [200, 202].contains(&answer.status.as_u16()) => {}
        Ok(answer) => seen.other(format!("paying: {}", answer.complaint())),
        Err(error) => seen.other(format!("paying: {error:#}")),
    }
    Ok(())
}
