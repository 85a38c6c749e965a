//! The race: every buyer places one order and takes the answer as it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use shared_types::Timestamp;
use shared_types::orders::{LineInput, Order, OrderStatusView, PayOrder};

use super::manners::{self, Manner};
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
    /// Units that it takes.
    pub units: u64,
    pub manner: Manner,
    /// How it read when it was last looked at.
    pub last: Option<OrderStatusView>,
    /// The shop says there is no such order.
    pub vanished: bool,
}

/// What the buyers were told.
#[derive(Debug, Default)]
pub struct Race {
    pub sales: Vec<Sale>,
    /// Buyers who asked.
    pub asked: u64,
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

    pub fn merge(&mut self, other: Race) {
        self.sales.extend(other.sales);
        self.asked += other.asked;
        self.refused += other.refused;
        self.selling.extend(&other.selling);
        self.refusing.extend(&other.refusing);
        for (what, count) in other.others {
            *self.others.entry(what).or_default() += count;
        }
    }
}

pub async fn run(scene: &Scene, args: &Args) -> anyhow::Result<Race> {
    let wish = |buyer| (manners::bundle(args, buyer), manners::of(args, buyer));
    crowd(scene, args.concurrency, (0..args.buyers).map(wish).collect()).await
}

/// More buyers of one manner, each with the numbers of their skus.
pub async fn send(
    scene: &Scene,
    concurrency: usize,
    wishes: Vec<Vec<usize>>,
    manner: Manner,
) -> anyhow::Result<Race> {
    crowd(scene, concurrency, wishes.into_iter().map(|skus| (skus, manner)).collect()).await
}

async fn crowd(
    scene: &Scene,
    concurrency: usize,
    wishes: Vec<(Vec<usize>, Manner)>,
) -> anyhow::Result<Race> {
    let (next, wishes) = (Arc::new(AtomicUsize::new(0)), Arc::new(wishes));
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..concurrency {
        let (next, shop, skus) = (next.clone(), scene.shop.clone(), scene.skus.clone());
        let wishes = wishes.clone();
        tasks.spawn(async move {
            let mut seen = Race::default();
            loop {
                let buyer = next.fetch_add(1, Ordering::Relaxed);
                let Some((numbers, manner)) = wishes.get(buyer) else {
                    return Ok::<_, anyhow::Error>(seen);
                };
                let lines = numbers.iter();
                let lines = lines.map(|n| LineInput { sku: skus[*n].clone(), qty: 1 }).collect();
                buy(&shop, lines, *manner, &mut seen).await?;
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

async fn buy(
    shop: &Shop,
    lines: Vec<LineInput>,
    manner: Manner,
    seen: &mut Race,
) -> anyhow::Result<()> {
    let units = lines.len() as u64;
    seen.asked += 1;
    let mut order = shelves::guest_order(lines, manner == Manner::AtOnce);
    if manner == Manner::Declined {
        order.payment_method = Some(shelves::card_that_is_declined());
    }
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
            let order_id = order.order_id.to_string();
            let sale = Sale { order_id, token, units, manner, last: None, vanished: false };
            match manner {
                Manner::Later => pay_for(shop, &sale, seen).await?,
                Manner::Late => {
                    wait_for_the_end(order.hold_expires_at, &sale).await?;
                    pay_for(shop, &sale, seen).await?;
                }
                Manner::AtOnce | Manner::Declined => {}
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

/// The longest that a buyer waits to be late.
const LATE_WITHIN: Duration = Duration::from_secs(60);

/// Until just before or just after the hold ends, differently for every order.
async fn wait_for_the_end(end: Option<Timestamp>, sale: &Sale) -> anyhow::Result<()> {
    let Some(end) = end else { return Ok(()) };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let end = Duration::from_millis(u64::try_from(end.unix_millis())?);
    let left = end.saturating_sub(now);
    anyhow::ensure!(
        left <= LATE_WITHIN,
        "holds last {} s here; start the shop with inventory.hold_ttl_seconds below 60 for --late",
        left.as_secs()
    );
    // From 300 ms before to 300 ms after: expiry looks four times a second.
    let spread: u64 = sale.order_id.bytes().map(u64::from).sum::<u64>() % 600;
    tokio::time::sleep((left + Duration::from_millis(spread)).saturating_sub(EARLY)).await;
    Ok(())
}

const EARLY: Duration = Duration::from_millis(300);

async fn pay_for(shop: &Shop, sale: &Sale, seen: &mut Race) -> anyhow::Result<()> {
    let body = PayOrder { payment_method: Some(shelves::card()) };
    let call = Call::post(format!("/orders/{}/pay", sale.order_id), &body)?
        .by(Credential::Order(sale.token.clone()))
        .key(format!("pay-{}", sale.order_id));
    match shop.patiently(&call).await {
        Ok(answer) if [200, 202].contains(&answer.status.as_u16()) => {}
        // Too late: the order is over, and so is its hold.
        Ok(answer) if sale.manner == Manner::Late && answer.status.as_u16() == 409 => {}
        Ok(answer) => seen.other(format!("paying: {}", answer.complaint())),
        Err(error) => seen.other(format!("paying: {error:#}")),
    }
    Ok(())
}
