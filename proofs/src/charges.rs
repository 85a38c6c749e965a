//! `prove charges`: a payment gateway that loses answers, fails and is away, and a
//! payment service that is killed: every paid order is charged once.
//!
//! A shop of our own runs with its services in processes of their own. Buyers
//! place orders and pay them, some at once, some in a second step, some with a
//! card that is declined. Meanwhile the gateway drops calls before and after
//! their effect, answers with faults and is away for a while, and the process
//! that drives payments is killed again and again. When everything has come to
//! rest, the orders, the events and the gateway's own ledger have to agree.

mod buyers;
mod count;
mod weather;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use crate::client::Shop;
use crate::credentials::Renewing;
use crate::events::{self, PAYMENT};
use crate::mortal::Mortal;
use crate::settings::ShopArgs;
use crate::shelves;
use crate::simulator::Simulator;

use buyers::{Buyers, Purchase};
use weather::Weather;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Orders, each with a payment.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(20..=1_000_000))]
    pub payments: u64,
    /// Of a hundred calls to the gateway, those dropped before their effect.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=40))]
    pub lost_before: u8,
    /// Those dropped after their effect.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=40))]
    pub lost_after: u8,
    /// Those answered with a fault.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=19))]
    pub faults: u8,
    /// Seconds in the middle during which the gateway is away; 0: never.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=600))]
    pub outage: u64,
    /// How often the payment service is killed meanwhile.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub kills: u32,
    /// Buyers under way at the same time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub at_once: u16,
    /// Keep the breakers' times (open 30 s) and the settlement time (30 s) as
    /// they are shipped; otherwise 1 s and 3 s, which the simulator's speed
    /// allows. At these rates of failure the breakers are open most of the time.
    #[arg(long)]
    pub as_shipped: bool,
    /// The public port of the shop of our own; others keep their distance.
    #[arg(long, default_value_t = 8780)]
    pub own_port: u16,
    /// Its state [default: proof-charges in the home]
    #[arg(long, value_name = "DIR")]
    pub own_home: Option<PathBuf>,
    /// Break the promise from outside, to see that it would be noticed.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "all")]
    pub sabotage: Option<Sabotage>,
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// A paid order is charged a second time, at the gateway itself.
    Double,
    /// An order that nobody paid is charged there.
    Unpaid,
    /// A paid order's charge is given back behind the shop's back.
    Missing,
    /// All of them.
    All,
}

impl Sabotage {
    fn includes(wanted: Option<Sabotage>, one: Sabotage) -> bool {
        wanted.is_some_and(|wanted| wanted == one || wanted == Sabotage::All)
    }
}

const PATIENCE_SECONDS: u64 = 900;

/// Whether the promise held.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    ensure!(
        args.lost_before + args.lost_after + args.faults < 100,
        "no call would ever get through"
    );
    let home = match &args.own_home {
        Some(home) => std::path::absolute(home)?,
        None => std::path::absolute(&shop_args.home)?.join("proof-charges"),
    };
    println!("opening a shop of its own on port {}, its services apart", args.own_port);
    let settings = settings(args);
    let mortal = Mortal::open_split_with(shop_args, args.own_port, &home, &settings).await?;
    let outcome = prove(args, &mortal).await;
    mortal.close().await?;
    outcome
}

fn settings(args: &Args) -> Vec<(&'static str, String)> {
    if args.as_shipped {
        return Vec::new();
    }
    [
        ("BV_PAYMENTS__SETTLEMENT_TIME_MS", 3_000),
        ("BV_PAYMENTS__SOAP__TIMEOUT_MS", 2_000),
        ("BV_PAYMENTS__REST__TIMEOUT_MS", 2_000),
        ("BV_PAYMENTS__SOAP__BREAKER__OPEN_MS", 1_000),
        ("BV_PAYMENTS__REST__BREAKER__OPEN_MS", 1_000),
    ]
    .map(|(name, value): (_, u64)| (name, value.to_string()))
    .into()
}

async fn prove(args: &Args, mortal: &Mortal) -> anyhow::Result<bool> {
    let mut shop_args = mortal.args.clone();
    // While both gateways' breakers are open, honest buyers are told to come again.
    shop_args.patience = shop_args.patience.max(PATIENCE_SECONDS);
    let shop = Shop::new(&shop_args)?;
    let merchant = Renewing::merchant(&shop_args, &shop);
    let simulator = Simulator::new(&shop_args)?;
    let run = uuid::Uuid::new_v4().simple().to_string();
    let sku = format!("proof-{}", &run[..10]);
    let marks = events::mark(&shop_args.broker, &[PAYMENT]).await?;
    let ledger = simulator.position().await?;
    shelves::stock_up(&shop, &merchant, &sku, args.payments).await?;
    let weather = Weather::new(args, simulator.clone());
    weather.set_bad().await?;
    println!(
        "{} payments; of 100 calls {} lost before, {} after the effect, {} faults",
        args.payments, args.lost_before, args.lost_after, args.faults
    );
    let began = Instant::now();
    let buyers = Buyers { shop: shop.clone(), sku, run };
    let purchases = buy_all(args, mortal, &weather, buyers).await?;
    let took = began.elapsed().as_secs_f64();
    println!(
        "all asked for after {took:.1} s, {:.0}/s; waiting for what is unknown",
        args.payments as f64 / took
    );
    let purchases = buyers::read_again(&shop, purchases).await?;
    let unknown = weather::nothing_unknown(mortal).await?;
    count::sabotage(args, &simulator, &purchases).await?;
    let evidence = count::gather(&shop_args, &simulator, purchases, marks, ledger).await?;
    Ok(evidence.print(args, unknown))
}

/// All buyers, with outage and kills between.
async fn buy_all(
    args: &Args,
    mortal: &Mortal,
    weather: &Weather,
    buyers: Buyers,
) -> anyhow::Result<Vec<Purchase>> {
    let (next, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let buyers = Arc::new(buyers);
    let mut tasks = JoinSet::new();
    for _ in 0..args.at_once {
        let (next, done, buyers, all) = (next.clone(), done.clone(), buyers.clone(), args.payments);
        tasks.spawn(async move {
            let mut purchases = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= all {
                    return anyhow::Ok(purchases);
                }
                purchases.push(buyers.buy(number).await?);
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let troubles = troubles(args, mortal, weather, &done);
    tokio::pin!(troubles);
    let (mut purchases, mut over) = (Vec::new(), false);
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(some) => purchases.extend(some??),
                None => break,
            },
            result = &mut troubles, if !over => {
                result?;
                over = true;
            }
        }
    }
    if !over {
        troubles.await?;
    }
    Ok(purchases)
}

/// Kills spread evenly over the payments, and the outage in the middle of them.
async fn troubles(
    args: &Args,
    mortal: &Mortal,
    weather: &Weather,
    done: &AtomicU64,
) -> anyhow::Result<()> {
    let reached = async |at: u64| {
        while done.load(Ordering::Relaxed) < at {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let outage = async {
        if args.outage > 0 {
            reached(args.payments / 2).await;
            weather.outage(Duration::from_secs(args.outage)).await?;
        }
        anyhow::Ok(())
    };
    let kills = async {
        for kill in 1..=u64::from(args.kills) {
            let at = args.payments * kill / (u64::from(args.kills) + 1);
            reached(at).await;
            mortal.kill_service("payments").await?;
            println!("kill {kill} of the payment service after {at} payments");
        }
        anyhow::Ok(())
    };
    tokio::try_join!(outage, kills)?;
    Ok(())
}
