//! `simulate FILE`: real orders of another shop, replayed as live traffic.
//!
//! The file is read by fixed rules ([`file`]), turned into products, orders and
//! refunds ([`plan`]), replayed with a journal that survives a kill
//! ([`journal`], [`replay`]), and the books are balanced afterwards against the
//! shop's reads, stock, events and the payment ledger, and against a second
//! reader that shares no code with all this ([`second`], [`balance`]).

mod balance;
mod countries;
mod file;
mod journal;
mod people;
mod plan;
mod replay;
mod second;
mod stock;
mod summary;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::client::Shop;
use crate::credentials::Renewing;
use crate::events::{self, ORDER};
use crate::settings::ShopArgs;
use crate::shelves;
use crate::simulator::Simulator;

use journal::{Journal, Run};
use plan::Plan;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Order lines: InvoiceNo, StockCode, Description, Quantity, InvoiceDate,
    /// UnitPrice, CustomerID, Country.
    pub file: PathBuf,
    /// Only the first so many invoices.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Invoices under way at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub concurrency: u16,
    /// Refuse to begin: only go on with a run that was interrupted. Without it
    /// an interrupted run is gone on with, too, and otherwise a new one begins.
    #[arg(long, conflicts_with = "again")]
    pub resume: bool,
    /// Begin anew although this file was replayed in this shop already.
    #[arg(long)]
    pub again: bool,
    /// Only say what would be done; no shop is needed.
    #[arg(long)]
    pub dry_run: bool,
}

/// Everything that the replay and the balance stand on.
struct Stage {
    shop: Shop,
    tools: Renewing,
    merchant: Renewing,
    simulator: Simulator,
    journal: Journal,
    plan: Plan,
    run: Run,
    broker: String,
    concurrency: usize,
}

/// Whether the books balance.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    let text = std::fs::read_to_string(&args.file)
        .with_context(|| format!("reading {}", args.file.display()))?;
    let sheet = file::read(&text, args.limit).context("reading the file")?;
    let plan = plan::make(&sheet);
    println!("{}", plan.in_short());
    if args.dry_run {
        let second = second::read(&text, args.limit);
        print!("{}", summary::of_plan(&plan, second));
        return Ok(plan.revenue_minor() == second.revenue_pence);
    }
    let stage = Arc::new(set_up(shop_args, args, &text, plan).await?);
    stock::open(&stage).await?;
    let pace = replay::run(&stage).await?;
    let books = balance::take(&stage).await?;
    let second = second::read(&text, args.limit);
    let summary = summary::Summary { plan: &stage.plan, books: &books, pace: &pace, second };
    print!("{}", summary.text());
    Ok(summary.balanced())
}

async fn set_up(
    shop_args: &ShopArgs,
    args: &Args,
    text: &str,
    plan: Plan,
) -> anyhow::Result<Stage> {
    let shop = Shop::new(shop_args)?;
    let tools = Renewing::tools(shop_args)?;
    let merchant = Renewing::merchant(shop_args, &shop);
    let simulator = Simulator::new(shop_args)?;
    let identity = shop.identity().await?;
    let path = shop_args
        .home
        .join("simulate")
        .join(format!("{}.jsonl", fingerprint(&[text, &format!("{:?}", args.limit), &identity])));
    let mut journal = Journal::open(&path, args.again)?;
    let run = match journal.run() {
        Some(run) => {
            println!("going on with run {} ({})", run.id, path.display());
            run.clone()
        }
        None if args.resume => anyhow::bail!("no run of this file was begun in this shop"),
        None => {
            let run = Run {
                id: uuid::Uuid::new_v4().simple().to_string()[..12].to_owned(),
                secret: uuid::Uuid::new_v4().simple().to_string(),
                round: next_round(&shop, &merchant, &plan).await?,
                marks: events::mark(&shop_args.broker, &[ORDER]).await?,
                ledger_position: simulator.position().await?,
            };
            journal.begin(&run)?;
            println!("run {} begins ({})", run.id, path.display());
            run
        }
    };
    Ok(Stage {
        shop,
        tools,
        merchant,
        simulator,
        journal,
        plan,
        run,
        broker: shop_args.broker.clone(),
        concurrency: usize::from(args.concurrency),
    })
}

/// Skus of earlier runs in this shop stay taken: each run has its own round.
async fn next_round(shop: &Shop, merchant: &Renewing, plan: &Plan) -> anyhow::Result<u32> {
    const MOST: u32 = 10_000;
    let Some(first) = plan.skus.first() else { return Ok(1) };
    for round in 1..MOST {
        if shelves::find_stock(shop, merchant, &first.name(round)).await?.is_none() {
            return Ok(round);
        }
    }
    anyhow::bail!("this file was replayed {MOST} times in this shop")
}

fn fingerprint(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
