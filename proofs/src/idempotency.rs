//! `prove idempotency`: every request is sent many times at once, while the
//! shop is killed and started again.
//!
//! Each key places an order and pays it. Counted from four sides: the answers,
//! which have to be the same byte for byte, the stock, the events, the payment
//! simulator's ledger. Each key must have had one effect.

mod count;
mod sends;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::task::JoinSet;

use crate::client::Shop;
use crate::credentials::Renewing;
use crate::events::{self, ORDER, PAYMENT};
use crate::mortal::Mortal;
use crate::settings::ShopArgs;
use crate::shelves;
use crate::simulator::Simulator;

use sends::{Asked, Tally};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keys: each one order and one payment.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub keys: u64,
    /// How often each request is sent at once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(2..=1_000))]
    pub sends: u16,
    /// How often the shop is killed meanwhile; 0 leaves the running shop alone.
    #[arg(long, default_value_t = 5)]
    pub kills: u32,
    /// Keys under way at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub at_once: u16,
    /// The public port of the shop that is killed; others keep their distance.
    #[arg(long, default_value_t = 8580)]
    pub own_port: u16,
    /// Its state [default: proof-idempotency in the home]
    #[arg(long, value_name = "DIR")]
    pub own_home: Option<PathBuf>,
    /// Break the promise from outside, to see that it would be noticed.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "all")]
    pub sabotage: Option<Sabotage>,
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// One send of a key goes out under another key.
    Key,
    /// One payment is charged a second time, at the payment gateway itself.
    Charge,
    /// Both.
    All,
}

/// What the sides are asked about.
struct Scene {
    shop: Shop,
    merchant: Renewing,
    simulator: Simulator,
    broker: String,
    sku: String,
}

/// Whether the promise held.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    let mut mortal = match args.kills {
        0 => None,
        _ => {
            let home = match &args.own_home {
                Some(home) => std::path::absolute(home)?,
                None => std::path::absolute(&shop_args.home)?.join("proof-idempotency"),
            };
            println!("opening a shop of its own on port {}, to be killed", args.own_port);
            Some(Mortal::open(shop_args, args.own_port, &home).await?)
        }
    };
    let shop_args = mortal.as_ref().map_or(shop_args, |m| &m.args).clone();
    let outcome = prove(&shop_args, args, mortal.as_mut()).await;
    if let Some(mortal) = mortal {
        mortal.close().await?;
    }
    outcome
}

async fn prove(
    shop_args: &ShopArgs,
    args: &Args,
    mortal: Option<&mut Mortal>,
) -> anyhow::Result<bool> {
    let shop = Shop::new(shop_args)?;
    let run = uuid::Uuid::new_v4().simple().to_string();
    let scene = Scene {
        merchant: Renewing::merchant(shop_args, &shop),
        simulator: Simulator::new(shop_args)?,
        broker: shop_args.broker.clone(),
        sku: format!("proof-{}", &run[..10]),
        shop,
    };
    let marks = events::mark(&scene.broker, &[ORDER, PAYMENT]).await?;
    let ledger = scene.simulator.position().await?;
    shelves::stock_up(&scene.shop, &scene.merchant, &scene.sku, args.keys * 2).await?;
    println!("{} keys × {} sends, each an order and a payment", args.keys, args.sends);
    let began = Instant::now();
    let tally = send_all(&scene, args, &run, mortal).await?;
    let took = began.elapsed();
    println!(
        "{} answers in {:.1} s, {:.0}/s; {} of them replays",
        tally.answers,
        took.as_secs_f64(),
        tally.answers as f64 / took.as_secs_f64(),
        tally.replays
    );
    if matches!(args.sabotage, Some(Sabotage::Charge | Sabotage::All)) {
        let order = tally.paid.first().context("nothing was paid to charge again")?;
        scene.simulator.charge_again(&order.to_string()).await?;
        println!("sabotage: charged one order again");
    }
    let evidence = count::gather(&scene, &tally, marks, ledger).await?;
    print!("\n{}", evidence.table(args.keys).plain());
    let failures = evidence.failures(args.keys);
    for failure in tally.complaints.iter().chain(&failures) {
        println!("  ✗ {failure}");
    }
    let held = failures.is_empty() && tally.complaints.is_empty();
    println!("{}", if held { "held: one effect and one answer per key" } else { "BROKEN" });
    Ok(held)
}

/// Sends everything, with the kills spread evenly between.
async fn send_all(
    scene: &Scene,
    args: &Args,
    run: &str,
    mortal: Option<&mut Mortal>,
) -> anyhow::Result<Tally> {
    let (next, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..args.at_once {
        let asked = Asked {
            shop: scene.shop.clone(),
            sku: scene.sku.clone(),
            run: run.to_owned(),
            sends: args.sends,
            sabotaged: matches!(args.sabotage, Some(Sabotage::Key | Sabotage::All)),
        };
        let (next, done, keys) = (next.clone(), done.clone(), args.keys);
        tasks.spawn(async move {
            let mut tally = Tally::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= keys {
                    return anyhow::Ok(tally);
                }
                asked.key(number, &mut tally).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    if let Some(mortal) = mortal {
        for kill in 1..=u64::from(args.kills) {
            let at = args.keys * kill / (u64::from(args.kills) + 1);
            while done.load(Ordering::Relaxed) < at {
                ensure!(!tasks.is_empty(), "the sends ended early");
                tokio::time::sleep(Duration::from_millis(20)).await;
                if let Some(ended) = tasks.try_join_next() {
                    ended??;
                    anyhow::bail!("a sender ended before its time");
                }
            }
            mortal.kill_and_reopen().await?;
            let opened = mortal.openings.last().copied().unwrap_or_default();
            println!("kill {kill} after {at} keys; open again in {:.1} s", opened.as_secs_f64());
        }
    }
    let mut tally = Tally::default();
    while let Some(one) = tasks.join_next().await {
        tally.merge(one??);
    }
    Ok(tally)
}
