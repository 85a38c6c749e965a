//! `prove crashes`: kill -9 at every step of the saga, and of every process.
//!
//! A shop of our own is told to end itself at the n-th place where an order is
//! stored or was just stored, for each n and each way an order can go; it is
//! opened again, and its buyers, who know nothing, just ask again. Then the other
//! processes are killed at random moments while orders of all kinds are under way.
//! Each saga that waits for nobody has to be at rest within seconds, and in the end
//! answers, events, stock, its ledger and the payment simulator's have to agree.

mod count;
mod flows;
mod matrix;
mod rest;
mod rounds;
mod victims;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::client::Shop;
use crate::credentials::Renewing;
use crate::events::{self, ORDER, PAYMENT};
use crate::mortal::Mortal;
use crate::settings::ShopArgs;
use crate::shelves;
use crate::simulator::Simulator;

use flows::{Course, Flow};
use matrix::Steps;
use victims::Victim;

/// More than any run needs; what is left shows in the count.
const UNITS: u64 = 100_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the saga's process dies: `all` places, `every:N`th, `none`, or those
    /// named, counted from 0 (`2,5,9`).
    #[arg(long, default_value = "all")]
    pub steps: Steps,
    /// The ways of orders, with commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub flows: Vec<Flow>,
    /// How often each process is killed at a random moment.
    #[arg(long, default_value_t = 5)]
    pub rounds: u32,
    /// Which processes, with commas [default: all there are]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub victims: Vec<Victim>,
    /// Orders of each way in one round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub crowd: u16,
    /// Each service in a process of its own, orders and inventory twice; without
    /// the steps, whose places are counted in one process only.
    #[arg(long)]
    pub split: bool,
    /// Seconds that a saga may take to rest once the shop is there again.
    #[arg(long, default_value_t = 5.0)]
    pub within: f64,
    /// Makes the random moments repeatable.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The public port of the shop that is killed; others keep their distance.
    #[arg(long, default_value_t = 8780)]
    pub own_port: u16,
    /// Its state [default: proof-crashes in the home]
    #[arg(long, value_name = "DIR")]
    pub own_home: Option<PathBuf>,
    /// Break the promise from outside, to see that it would be noticed.
    #[arg(long, value_name = "WHAT", num_args = 0..=1, default_missing_value = "all")]
    pub sabotage: Option<Sabotage>,
}

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// One order is placed a second time, under another key.
    Order,
    /// One payment is charged a second time, at the payment gateway itself.
    Charge,
    /// Both.
    All,
}

impl Args {
    fn flows(&self) -> Vec<Flow> {
        if self.flows.is_empty() { Flow::ALL.to_vec() } else { self.flows.clone() }
    }

    fn victims(&self) -> anyhow::Result<Vec<Victim>> {
        let stray = self.victims.iter().find(|victim| victim.needs_split() && !self.split);
        if let Some(victim) = stray {
            anyhow::bail!("{} is a process of its own with --split only", victim.name());
        }
        Ok(match (self.victims.is_empty(), self.split) {
            (false, _) => self.victims.clone(),
            (true, false) => Victim::TOGETHER.to_vec(),
            (true, true) => Victim::SPLIT.to_vec(),
        })
    }

    fn within(&self) -> Duration {
        Duration::from_secs_f64(self.within.clamp(0.1, 600.0))
    }
}

/// The shop and our people there.
pub struct Scene {
    pub shop: Shop,
    pub merchant: Renewing,
    pub operator: Renewing,
    /// Support.
    pub staff: Renewing,
    pub simulator: Simulator,
    pub broker: String,
    /// Where health is asked for.
    pub internal: String,
    pub http: reqwest::Client,
    pub sku: String,
    /// Makes the keys of this run its own.
    pub run: String,
}

impl Scene {
    fn new(shop_args: &ShopArgs) -> anyhow::Result<Self> {
        let shop = Shop::new(shop_args)?;
        let run = uuid::Uuid::new_v4().simple().to_string();
        let person = |name: &str| {
            let email = format!("{name}@demo.bellavista.test");
            Renewing::person(&shop, &email, &shop_args.merchant_password)
        };
        Ok(Scene {
            merchant: Renewing::merchant(shop_args, &shop),
            operator: person("operator"),
            staff: person("admin"),
            simulator: Simulator::new(shop_args)?,
            broker: shop_args.broker.clone(),
            internal: shop_args.internal.clone(),
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?,
            sku: format!("proof-{}", &run[..10]),
            run,
            shop,
        })
    }
}

impl Scene {
    /// Signs in whoever needs it soon: that must not be part of what is measured.
    async fn sign_in(&self) -> anyhow::Result<()> {
        self.operator.get().await?;
        self.staff.get().await?;
        Ok(())
    }
}

/// What a part of the proof saw.
#[derive(Debug, Default)]
struct Seen {
    courses: Vec<Course>,
    complaints: Vec<String>,
}

impl Seen {
    /// Said at once: a proof that cannot be finished must not swallow it.
    fn complain(&mut self, what: String) {
        println!("  ✗ {what}");
        self.complaints.push(what);
    }
}

/// Whether the promise held.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    let victims = args.victims()?;
    let home = match &args.own_home {
        Some(home) => std::path::absolute(home)?,
        None => std::path::absolute(&shop_args.home)?.join("proof-crashes"),
    };
    println!("opening a shop of its own on port {}, to be killed", args.own_port);
    let mut mortal = match args.split {
        false => Mortal::open(shop_args, args.own_port, &home).await?,
        true => Mortal::open_split(shop_args, args.own_port, &home).await?,
    };
    let outcome = prove(args, &victims, &mut mortal).await;
    let closed = mortal.close().await;
    let held = outcome?;
    closed?;
    Ok(held)
}

async fn prove(args: &Args, victims: &[Victim], mortal: &mut Mortal) -> anyhow::Result<bool> {
    let scene = Arc::new(Scene::new(&mortal.args)?);
    let marks = events::mark(&scene.broker, &[ORDER, PAYMENT]).await?;
    let ledger = scene.simulator.position().await?;
    shelves::stock_up(&scene.shop, &scene.merchant, &scene.sku, UNITS).await?;
    let mut seen = Seen::default();
    if !args.split && args.steps != Steps::None {
        matrix::run(&scene, args, mortal, &mut seen).await?;
        mortal.heal_and_reopen().await?;
    }
    rounds::run(&scene, args, victims, mortal, &mut seen).await?;
    sabotage(&scene, args, &seen.courses).await?;
    ensure!(!seen.courses.is_empty(), "no order was placed: neither steps nor rounds");
    let evidence = count::gather(&scene, &seen.courses, marks, ledger).await?;
    print!("\n{}", evidence.table(&seen.courses).plain());
    let failures = evidence.failures(&seen.courses, i64::try_from(UNITS)?);
    for failure in seen.complaints.iter().chain(&failures) {
        println!("  ✗ {failure}");
    }
    let held = failures.is_empty() && seen.complaints.is_empty();
    let orders = seen.courses.len();
    println!(
        "{}",
        if held {
            format!("held: {orders} orders, none lost, none doubled")
        } else {
            "BROKEN".to_owned()
        }
    );
    Ok(held)
}

async fn sabotage(scene: &Scene, args: &Args, courses: &[Course]) -> anyhow::Result<()> {
    let Some(what) = args.sabotage else { return Ok(()) };
    if what != Sabotage::Charge {
        Flow::Straight.drive(scene, &format!("{}-astray", scene.run)).await?;
        println!("sabotage: placed an order that nobody asked for");
    }
    if what != Sabotage::Order {
        let paid = courses.iter().find(|course| course.flow.expected().charged);
        let paid = paid.context("nothing was paid to charge again")?;
        scene.simulator.charge_again(&paid.order.to_string()).await?;
        println!("sabotage: charged one order again");
    }
    Ok(())
}

/// Compares an order at rest with what had to come of it.
async fn judge(scene: &Scene, course: &Course, what: &str, seen: &mut Seen) -> anyhow::Result<()> {
    let status = course.status(scene).await?;
    let wanted = course.flow.expected().status;
    if status != wanted {
        seen.complain(format!("{what}: {} is {status} instead of {wanted}", course.order));
    }
    Ok(())
}

/// Seconds for people.
fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
