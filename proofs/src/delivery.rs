//! `prove delivery`: a consumer that fails on purpose loses, doubles and
//! reorders nothing.
//!
//! A shop of our own runs with a drill: of the events that its notifications
//! read, a share never passes and another share passes only after retries.
//! Orders are placed and paid at load. Counted from three sides: the event log
//! says which events there were and which must have died, the dead letter topic
//! which did, and the live channel of the staff, which notifications feed, what
//! was handled and in which order. Then the shop is killed, comes back in good
//! health, and an operator sends all dead letters back: nothing may be missing.

mod count;
mod live;
mod mend;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;
use shared_types::orders::LineInput;
use uuid::Uuid;

use crate::client::{Call, Shop};
use crate::credentials::Renewing;
use crate::events::{self, ORDER};
use crate::mortal::Mortal;
use crate::report::Table;
use crate::settings::ShopArgs;
use crate::shelves;

use count::{Died, Happened};

pub const DEAD: &str = "ecommerce.order.order.DLQ";
/// Nothing new for so long: it is not coming.
const QUIET: Duration = Duration::from_secs(60);
/// The same for the live channel.
const LIVE_QUIET: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Orders, each with three events.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=200_000))]
    pub orders: u64,
    /// Orders under way at the same time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub at_once: u16,
    /// Events that never pass, in ten-thousandths.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    pub poison: u32,
    /// Events that pass after retries, in ten-thousandths.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=5_000))]
    pub transient: u32,
    /// The public port of the shop of our own; others keep their distance.
    #[arg(long, default_value_t = 8680)]
    pub own_port: u16,
    /// Its state [default: proof-delivery in the home]
    #[arg(long, value_name = "DIR")]
    pub own_home: Option<PathBuf>,
    /// Drop one dead letter instead of sending it back, to see that it would be
    /// noticed.
    #[arg(long)]
    pub sabotage: bool,
}

/// Whether the promise held.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    let home = match &args.own_home {
        Some(home) => std::path::absolute(home)?,
        None => std::path::absolute(&shop_args.home)?.join("proof-delivery"),
    };
    println!("opening a shop of its own on port {}, whose notifications fail", args.own_port);
    let drill = [
        ("BV_FAULTS__CONSUMER", "notifications".to_owned()),
        ("BV_FAULTS__POISON", args.poison.to_string()),
        ("BV_FAULTS__TRANSIENT", args.transient.to_string()),
    ];
    let mut mortal = Mortal::open_with(shop_args, args.own_port, &home, &drill).await?;
    let outcome = prove(args, &mut mortal).await;
    mortal.close().await?;
    outcome
}

async fn prove(args: &Args, mortal: &mut Mortal) -> anyhow::Result<bool> {
    let shop_args = mortal.args.clone();
    let shop = Shop::new(&shop_args)?;
    let staff = Renewing::merchant(&shop_args, &shop);
    let run = Uuid::new_v4().simple().to_string();
    let sku = format!("proof-{}", &run[..10]);
    let marks = events::mark(&shop_args.broker, &[ORDER]).await?;
    let dead_marks = events::mark(&shop_args.broker, &[DEAD]).await?;
    shelves::stock_up(&shop, &staff, &sku, args.orders).await?;

    let began = Instant::now();
    let orders = place_all(&shop, args, &run, &sku).await?;
    let wanted = Happened::to(&orders, args.poison);
    let happened = events::follow(&shop_args.broker, marks, QUIET, wanted).await?;
    let took = began.elapsed().as_secs_f64();
    println!("{} events of {} orders in {took:.1} s", happened.count(), orders.len());
    let expected = happened.must_die();
    let died = Died::expecting(&expected);
    let died = events::follow(&shop_args.broker, dead_marks.clone(), QUIET, died).await?;

    mortal.heal_and_reopen().await?;
    let operator =
        Renewing::person(&shop, "operator@demo.bellavista.test", &shop_args.merchant_password);
    let desk = mend::Desk { shop: &shop, operator: &operator };
    let dropped = if args.sabotage { desk.drop_one().await? } else { 0 };
    let redriven = desk.redrive_all(expected.len() as u64 - dropped).await?;
    let left = desk.open_letters().await?;
    let told = live::of_orders(&shop_args, &staff, &orders, LIVE_QUIET).await?;
    let again = Died::expecting(&expected);
    let again =
        events::follow(&shop_args.broker, dead_marks, Duration::from_secs(2), again).await?;
    let verdict =
        Verdict { happened, expected, died: died.ids, again: again.ids, redriven, left, told };
    Ok(verdict.print())
}

/// Everything that was seen.
struct Verdict {
    happened: Happened,
    expected: BTreeSet<Uuid>,
    died: BTreeSet<Uuid>,
    /// What the dead letter topic holds in the end.
    again: BTreeSet<Uuid>,
    redriven: u64,
    left: u64,
    told: BTreeMap<Uuid, Vec<String>>,
}

impl Verdict {
    fn print(&self) -> bool {
        let mut table = Table::new(&["", "wanted", "seen"]);
        let mut row = |what: &str, wanted: usize, seen: usize| {
            table.row(vec![what.to_owned(), wanted.to_string(), seen.to_string()]);
        };
        let told = self.told.values().map(Vec::len).sum();
        row("events of orders", self.happened.wanted(), self.happened.count());
        row("dead letters", self.expected.len(), self.died.len());
        row("sent back and handled", self.expected.len(), self.redriven as usize);
        row("dead letters left", 0, self.left as usize);
        row("told to the staff", self.happened.count(), told);
        print!("\n{}", table.plain());
        let failures = self.failures();
        for failure in &failures {
            println!("  ✗ {failure}");
        }
        let held = failures.is_empty();
        println!("{}", if held { "held: nothing lost, doubled or reordered" } else { "BROKEN" });
        held
    }

    fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        if self.happened.count() != self.happened.wanted() {
            failures.push("not every order was created, paid and confirmed once".to_owned());
        }
        for id in self.expected.difference(&self.died).take(5) {
            failures.push(format!("the poison {id} is no dead letter"));
        }
        for id in self.again.difference(&self.expected).take(5) {
            failures.push(format!("{id} is a dead letter and no poison"));
        }
        if self.redriven != self.expected.len() as u64 || self.left != 0 {
            failures.push(format!("{} dead letters are left", self.left));
        }
        let clean = self.happened.clean_run();
        let wrong: Vec<_> =
            clean.iter().filter(|(id, run)| self.told.get(id) != Some(run)).collect();
        if let Some((id, run)) = wrong.first() {
            let seen = self.told.get(id).map(|s| s.join(", ")).unwrap_or_default();
            failures.push(format!(
                "{} orders differ from a clean run: {id} has [{seen}] instead of [{}]",
                wrong.len(),
                run.join(", ")
            ));
        }
        failures
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placed {
    order_id: Uuid,
}

/// Places all orders, each paid at once.
async fn place_all(
    shop: &Shop,
    args: &Args,
    run: &str,
    sku: &str,
) -> anyhow::Result<BTreeSet<Uuid>> {
    let placed: BTreeSet<Uuid> = stream::iter(0..args.orders)
        .map(|number| async move {
            let line = LineInput { sku: sku.to_owned(), qty: 1 };
            let order = shelves::guest_order(vec![line], true);
            let call = Call::post("/orders", &order)?.key(format!("delivery-{run}-{number}"));
            let answer = shop.patiently(&call).await?;
            let placed: Placed = answer.expect(&[201, 202], "placing an order")?;
            anyhow::Ok(placed.order_id)
        })
        .buffer_unordered(usize::from(args.at_once))
        .try_collect()
        .await
        .context("placing the orders")?;
    ensure!(placed.len() as u64 == args.orders, "two orders have one id");
    Ok(placed)
}
