//! `bench orders`: `POST /orders` at a fixed arrival rate, with the books
//! checked in the same run: an oversold unit, a lost or a doubled order makes
//! the figure worthless, and the run says so.
//!
//! Requests leave on a schedule whether or not earlier ones were answered, and
//! latency counts from the moment a request was due: a shop that stalls cannot
//! hide the requests that would have come meanwhile.

mod books;
mod cpu;
pub mod graphql;
pub mod hot_sku;
mod load;
mod machine;
pub mod outbox;
mod pace;
pub mod payments;
pub mod replay;
pub mod saga;
mod search;
pub mod soldout;
mod telemetry;
mod write;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;

use crate::client::Shop;
use crate::credentials::Renewing;
use crate::report::{Percentiles, median_and_spread, ms};
use crate::settings::ShopArgs;
use crate::shelves;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Orders per second. With --search, where the search begins.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// How long each run lasts.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Lines of an order.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub lines: u16,
    /// Fresh skus that orders choose from.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    pub skus: u16,
    /// Runs at the rate; the report gives median and spread.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub runs: u16,
    /// Seconds at the rate before measuring begins, not counted.
    #[arg(long, default_value_t = 3)]
    pub warmup: u64,
    /// Look for the highest rate whose p95 stays within --p95, then measure it.
    #[arg(long)]
    pub search: bool,
    /// Milliseconds that the 95th percentile may take in a search.
    #[arg(long, default_value_t = 20)]
    pub p95: u32,
    /// Give a card with each order, so that the saga pays and confirms it.
    #[arg(long)]
    pub pay: bool,
    /// Accepted orders that are read again one by one; the rest by events.
    #[arg(long, default_value_t = 5_000)]
    pub read_back: u64,
    /// Append the result to this file.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// What runs share.
struct Range {
    shop: Shop,
    merchant: Renewing,
    broker: String,
    internal: String,
    port: Option<u16>,
    skus: Vec<String>,
}

/// A run with its books.
pub struct Measured {
    pub rate: u32,
    pub offered: u64,
    pub accepted: u64,
    pub answered_per_second: f64,
    pub percentiles: Percentiles,
    pub others: Vec<(String, u64)>,
    pub books: books::Books,
    pub spent: Vec<cpu::Spent>,
    pub telemetry: Vec<telemetry::Share>,
}

impl Measured {
    /// Whether the figures mean anything: every request got what it came for.
    pub fn counts(&self) -> bool {
        self.books.right() && self.others.is_empty()
    }
}

/// More of a sku than any bench sells.
const PLENTY: u64 = 100_000_000;

/// Whether every run kept the books right.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    ensure!(args.lines <= args.skus, "--skus must be at least --lines");
    let range = open(shop_args, args).await?;
    let rate = if args.search { search::highest(&range, args).await? } else { args.rate };
    let mut all = Vec::new();
    for number in 1..=args.runs {
        let measured = once(&range, args, rate, args.seconds).await?;
        print!("{}", write::run_text(number, &measured));
        all.push(measured);
    }
    let p95s: Vec<f64> = all.iter().map(|m| f64::from(m.percentiles.p95)).collect();
    if let Some((median, low, high)) = median_and_spread(&p95s).filter(|_| all.len() > 1) {
        let [median, low, high] = [median, low, high].map(|micros| ms(micros as u32));
        println!("p95 over {} runs: median {median} ms, from {low} to {high} ms", all.len());
    }
    if let Some(path) = &args.report {
        write::append(path, &range, args, rate, &all)?;
        println!("written to {}", path.display());
    }
    let right = all.iter().all(Measured::counts);
    println!("{}", if right { "books right" } else { "WORTHLESS: the books are wrong" });
    Ok(right)
}

/// The shop with shelves that no run can empty.
async fn open(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<Range> {
    if cfg!(debug_assertions) {
        eprintln!("this generator is a debug build and will be part of what is measured");
    }
    let shop = Shop::new(shop_args)?;
    let merchant = Renewing::merchant(shop_args, &shop);
    let run = uuid::Uuid::new_v4().simple().to_string();
    let skus: Vec<String> = (0..args.skus).map(|n| format!("bench-{}-{n}", &run[..10])).collect();
    for sku in &skus {
        shelves::stock_up(&shop, &merchant, sku, PLENTY).await?;
    }
    Ok(Range {
        shop,
        merchant,
        broker: shop_args.broker.clone(),
        internal: shop_args.internal.trim_end_matches('/').to_owned(),
        port: machine::port_of(&shop_args.url),
        skus,
    })
}

/// One run: load, then the books.
async fn once(range: &Range, args: &Args, rate: u32, seconds: u64) -> anyhow::Result<Measured> {
    let before = books::open(range).await?;
    let warmup = load::run(range, args, rate, Duration::from_secs(args.warmup)).await?;
    let (cpu_before, metrics_before) = (cpu::read(), telemetry::read(range).await);
    let load = load::run(range, args, rate, Duration::from_secs(seconds)).await?;
    let (cpu_after, metrics_after) = (cpu::read(), telemetry::read(range).await);
    let all = warmup.placed.iter().chain(&load.placed);
    let unanswered = warmup.unanswered + load.unanswered;
    let books = books::close(range, args, before, all, unanswered).await?;
    let accepted = load.placed.len() as u64;
    Ok(Measured {
        rate,
        offered: load.offered,
        accepted,
        answered_per_second: accepted as f64 / load.took.as_secs_f64(),
        percentiles: load.latencies.percentiles(),
        others: warmup.others.into_iter().chain(load.others).collect(),
        books,
        spent: cpu::spent(&cpu_before, &cpu_after, accepted),
        telemetry: telemetry::shares(metrics_before, metrics_after),
    })
}
