//! `prove oversell`: more buyers than units, all at once.
//!
//! Counted from five sides: the answers that buyers got, the orders as they
//! read afterwards, the stock, the events, the payment simulator's ledger. They
//! have to agree, and every unit has to be sold.

mod count;
mod manners;
mod race;
mod rest;
mod sabotage;
mod verdict;

use std::time::Duration;

use anyhow::ensure;
use shared_types::ProductId;

use crate::client::Shop;
use crate::credentials::Renewing;
use crate::events::{self, ORDER, PAYMENT, RESERVATION};
use crate::settings::ShopArgs;
use crate::shelves;
use crate::simulator::Simulator;

use sabotage::Sabotage;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Buyers, each a guest of their own who wants one unit.
    #[arg(long, default_value_t = 5_000)]
    pub buyers: u64,
    /// Units there are, spread evenly over the skus.
    #[arg(long, default_value_t = 300)]
    pub units: u64,
    /// Fresh skus to race for.
    #[arg(long, default_value_t = 1)]
    pub skus: u64,
    /// Buyers at the door at the same time.
    #[arg(long, default_value_t = 256)]
    pub concurrency: usize,
    /// Buyers pay in a second step (`/pay`) instead of giving a card with the order.
    #[arg(long)]
    pub pay: bool,
    /// Skus that each order takes one unit of: bundles share stock.
    #[arg(long, default_value_t = 1)]
    pub bundle: u64,
    /// Of a hundred buyers, so many whose card is declined at first.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub declined: u64,
    /// Of a hundred buyers, so many who pay in the moment their hold ends. The
    /// shop must keep holds for less than a minute (`inventory.hold_ttl_seconds`).
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100))]
    pub late: u64,
    /// Break the promise from outside, to see that it would be noticed.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "all")]
    pub sabotage: Option<Sabotage>,
    /// Seconds that orders may take to come to rest after the race.
    #[arg(long, default_value_t = 120)]
    pub rest: u64,
}

impl Args {
    /// Units may come back after somebody was refused, or lie in no bundle.
    pub fn gives_back(&self) -> bool {
        self.bundle > 1 || self.declined > 0 || self.late > 0
    }
}

/// What everything after the preparation stands on.
struct Scene {
    shop: Shop,
    merchant: Renewing,
    simulator: Simulator,
    /// As keys: in lower case.
    skus: Vec<String>,
    /// The product of each sku.
    products: Vec<ProductId>,
    /// Units of each sku.
    units: Vec<u64>,
}

/// `total` in `parts` that differ by one at most.
fn spread(total: u64, parts: u64) -> Vec<u64> {
    (0..parts).map(|part| total / parts + u64::from(part < total % parts)).collect()
}

/// Whether the promise held.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    ensure!(args.skus > 0, "--skus must be at least 1");
    ensure!((1..=args.skus).contains(&args.bundle), "--bundle must lie between 1 and --skus");
    ensure!(args.declined + args.late <= 100, "--declined and --late are parts of a hundred");
    ensure!(args.buyers > 0 && args.concurrency > 0, "without buyers there is nothing to prove");
    let shop = Shop::new(shop_args)?;
    let merchant = Renewing::merchant(shop_args, &shop);
    let simulator = Simulator::new(shop_args)?;
    let marks = events::mark(&shop_args.broker, &[ORDER, RESERVATION, PAYMENT]).await?;
    let ledger_position = simulator.position().await?;
    let run = uuid::Uuid::new_v4().simple().to_string();
    let units = spread(args.units, args.skus);
    let skus: Vec<String> = (0..args.skus).map(|n| format!("proof-{}-{n}", &run[..10])).collect();
    println!(
        "{} buyers, {} units, {} sku(s), {} at a time",
        args.buyers, args.units, args.skus, args.concurrency
    );
    let mut products = Vec::new();
    for (sku, units) in skus.iter().zip(&units) {
        products.push(shelves::stock_up(&shop, &merchant, sku, *units).await?);
    }
    let scene = Scene { shop, merchant, simulator, skus, products, units };
    if let Some(what) = args.sabotage {
        sabotage::before(what, shop_args, &scene).await?;
    }
    let mut race = race::run(&scene, args).await?;
    println!(
        "race over in {:.1} s, {:.0} answers/s\n  sold     {}\n  refused  {}",
        race.took.as_secs_f64(),
        args.buyers as f64 / race.took.as_secs_f64(),
        race.selling.percentiles(),
        race.refusing.percentiles()
    );
    let limit = Duration::from_secs(args.rest);
    count::come_to_rest(&scene, &mut race, limit).await?;
    if args.gives_back() {
        rest::sell_what_came_back(&scene, args, &mut race, limit).await?;
    }
    if let Some(what) = args.sabotage {
        sabotage::after(what, &scene, &race).await?;
    }
    let events = count::events(&shop_args.broker, marks, &scene, &race).await?;
    let evidence = count::gather(&scene, args, &race, events, ledger_position).await?;
    let verdict = verdict::judge(&evidence);
    print!("\n{}", verdict.table());
    for failure in &verdict.failures {
        println!("  ✗ {failure}");
    }
    println!("{}", if verdict.holds() { "held: nothing oversold" } else { "BROKEN" });
    Ok(verdict.holds())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_spread_evenly_and_completely() {
        assert_eq!(spread(10, 3), [4, 3, 3]);
        assert_eq!(spread(2, 3), [1, 1, 0]);
    }
}
