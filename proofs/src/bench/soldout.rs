//! `bench soldout`: a crowd asks for what is gone, while others buy.
//!
//! Other buyers check out at a steady rate, first alone, then beside the crowd.
//! Measured: refusals per second, and what the crowd costs the others. At the
//! end one unit comes back, and the next to ask must get it.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use shared_types::inventory::Adjustment;
use shared_types::orders::LineInput;
use uuid::Uuid;

use super::load::{self, Load};
use super::pace::{self, Pace, Paced};
use super::{PLENTY, Range, books, machine};
use crate::client::{Call, Shop, root_cause};
use crate::credentials::Renewing;
use crate::report::{Table, ms};
use crate::settings::ShopArgs;
use crate::shelves;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Requests for the sold-out sku per second; 0: as fast as they are refused.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(0..=200_000))]
    pub rate: u32,
    /// How long each of the two parts lasts.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Requests of the crowd under way at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    pub under_way: u16,
    /// Checkouts of other skus per second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub others: u32,
    /// Append the result to this file.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

const LINES: u16 = 3;
const SKUS: u16 = 30;
const REFUSED: &str = "refused";

/// What both parts came to.
struct Outcome {
    alone: Load,
    beside: Load,
    crowd: Paced,
    /// The next to ask after a unit came back got it.
    sold_again: bool,
    books: Vec<books::Books>,
}

impl Outcome {
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let others = self.crowd.total() - self.crowd.count(REFUSED);
        if others > 0 {
            faults.push(format!("{others} other answers: {:?}", self.crowd.answers));
        }
        if !self.sold_again {
            faults.push("a unit came back and was not sold".to_owned());
        }
        for load in [&self.alone, &self.beside] {
            faults.extend(load.others.iter().map(|(what, n)| format!("checkouts: {n} × {what}")));
        }
        if !self.books.iter().all(books::Books::right) {
            faults.push(format!("the books of the checkouts: {:?}", self.books));
        }
        faults
    }

    fn table(&self) -> Table {
        let mut table =
            Table::new(&["sold out", "offered", "per second", "p50 ms", "p95 ms", "p99 ms"]);
        let mut row = |name: &str, offered: u64, rate: f64, p: crate::report::Percentiles| {
            let mut cells = vec![name.to_owned(), offered.to_string(), format!("{rate:.0}")];
            cells.extend([p.p50, p.p95, p.p99].map(ms));
            table.row(cells);
        };
        let rate = |load: &Load| load.placed.len() as f64 / load.took.as_secs_f64();
        row("checkouts alone", self.alone.offered, rate(&self.alone), percentiles(&self.alone));
        row(
            "checkouts beside the crowd",
            self.beside.offered,
            rate(&self.beside),
            percentiles(&self.beside),
        );
        let crowd = &self.crowd;
        row("refusals", crowd.total(), crowd.per_second(), crowd.latencies.percentiles());
        table
    }
}

fn percentiles(load: &Load) -> crate::report::Percentiles {
    load.latencies.percentiles()
}

/// Whether everybody got the right answer.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    if cfg!(debug_assertions) {
        eprintln!("this generator is a debug build and will be part of what is measured");
    }
    let shop = Shop::new(shop_args)?;
    let run = &Uuid::new_v4().simple().to_string()[..10];
    let merchant = Renewing::merchant(shop_args, &shop);
    let gone = format!("gone-{run}");
    shelves::stock_up(&shop, &merchant, &gone, 1).await?;
    let skus: Vec<String> = (0..SKUS).map(|n| format!("other-{run}-{n}")).collect();
    for sku in &skus {
        shelves::stock_up(&shop, &merchant, sku, PLENTY).await?;
    }
    ensure!(buy(&shop, &gone).await? == 201, "the only unit could not be bought");
    let range = Range {
        shop,
        merchant,
        broker: shop_args.broker.clone(),
        internal: shop_args.internal.trim_end_matches('/').to_owned(),
        port: machine::port_of(&shop_args.url),
        skus,
    };
    let lasting = Duration::from_secs(args.seconds);
    let orders = checkouts(args);
    let mut all_books = Vec::new();
    let before = books::open(&range).await?;
    let alone = load::run(&range, &orders, args.others, lasting).await?;
    all_books.push(close(&range, &orders, before, &alone).await?);
    let before = books::open(&range).await?;
    let pace = Pace { rate: args.rate, lasting, senders: usize::from(args.under_way) };
    let crowd = tokio::spawn(ask_for(range.shop.clone(), gone.clone(), pace));
    let beside = load::run(&range, &orders, args.others, lasting).await?;
    let crowd = crowd.await??;
    all_books.push(close(&range, &orders, before, &beside).await?);
    let sold_again = sell_again(&range, &gone).await?;
    let outcome = Outcome { alone, beside, crowd, sold_again, books: all_books };
    print!("{}", outcome.table().plain());
    if let Some(path) = &args.report {
        append(path, shop_args, args, &outcome)?;
        println!("written to {}", path.display());
    }
    let faults = outcome.faults();
    for fault in &faults {
        println!("  ✗ {fault}");
    }
    println!(
        "{}",
        if faults.is_empty() { "books right" } else { "WORTHLESS: the books are wrong" }
    );
    Ok(faults.is_empty())
}

fn checkouts(args: &Args) -> super::Args {
    super::Args {
        rate: args.others,
        seconds: args.seconds,
        lines: LINES,
        skus: SKUS,
        runs: 1,
        warmup: 0,
        search: false,
        p95: 0,
        pay: false,
        read_back: 500,
        report: None,
    }
}

async fn close(
    range: &Range,
    orders: &super::Args,
    before: books::Before,
    load: &Load,
) -> anyhow::Result<books::Books> {
    books::close(range, orders, before, load.placed.iter(), load.unanswered).await
}

fn wish(sku: &str) -> anyhow::Result<Call> {
    let line = LineInput { sku: sku.to_owned(), qty: 1 };
    let order = shelves::guest_order(vec![line], false);
    Ok(Call::post("/orders", &order)?.key(Uuid::new_v4().to_string()))
}

/// The status that one buyer of one unit got.
async fn buy(shop: &Shop, sku: &str) -> anyhow::Result<u16> {
    Ok(shop.send(&wish(sku)?).await?.status.as_u16())
}

async fn ask_for(shop: Shop, sku: String, pace: Pace) -> anyhow::Result<Paced> {
    let call = wish(&sku)?;
    pace::run(pace, move |_| {
        let (shop, call) = (shop.clone(), call.clone().key(Uuid::new_v4().to_string()));
        async move {
            match shop.send(&call).await {
                Ok(answer) if answer.code() == "orders.stock_short" => REFUSED.to_owned(),
                Ok(answer) => answer.complaint(),
                Err(error) => format!("no answer: {}", root_cause(&error)),
            }
        }
    })
    .await
}

/// Puts one unit back on the shelf; whether the next to ask gets it and the one
/// after does not.
async fn sell_again(range: &Range, sku: &str) -> anyhow::Result<bool> {
    let adjustment = Adjustment {
        delta: 1,
        reason: "one was found".to_owned(),
        expected_on_hand: Some(1),
        warehouse: None,
    };
    let call = Call::post(format!("/inventory/{sku}/adjustments"), &adjustment)?;
    let answer = range.shop.send(&call.by(range.merchant.get().await?)).await?;
    ensure!(answer.status.as_u16() == 200, "adjusting: {}", answer.complaint());
    Ok(buy(&range.shop, sku).await? == 201 && buy(&range.shop, sku).await? == 409)
}

fn append(
    path: &std::path::Path,
    shop: &ShopArgs,
    args: &Args,
    outcome: &Outcome,
) -> anyhow::Result<()> {
    let machine = machine::look(machine::port_of(&shop.url));
    let mut section = format!(
        "\n## sold out, {} asked per second for {} s beside {} checkouts/s ({})\n\n{}, {} cores, \
         {} GiB; commit {}; shop built as {}, generator as {}, both on this machine; open loop.\n\n{}",
        args.rate,
        args.seconds,
        args.others,
        machine.commit,
        machine.processor,
        machine.cores,
        machine.memory_gib,
        machine.commit,
        machine.shop,
        machine.generator,
        outcome.table().markdown()
    );
    for fault in outcome.faults() {
        section.push_str(&format!("\n**Worthless: {fault}.**\n"));
    }
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    file.write_all(section.as_bytes()).with_context(|| path.display().to_string())
}
