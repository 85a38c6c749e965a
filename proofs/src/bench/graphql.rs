//! `bench graphql`: the product page over the graph, every request another
//! product of a large catalogue, and what each layer on the way costs.
//!
//! The same question goes to the gateway, to the federation router behind it, to
//! the subgraph itself where one can answer alone, and to Apollo's gateway over
//! the same subgraphs. Every answer is checked: the right product, its prices,
//! its availability. A run with a wrong answer is worthless.

mod ask;
mod catalogue;
mod rival;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use self::ask::{Crowd, Place, Question, RIGHT};
use self::catalogue::Plan;
use self::rival::Rival;
use super::pace::{Pace, Paced};
use super::{cpu, machine, search};
use crate::client::Shop;
use crate::credentials::Renewing;
use crate::report::{Percentiles, Table};
use crate::settings::ShopArgs;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Product pages per second at the gateway. With --search, where it begins.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// How long each measurement lasts.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Measurements of each kind; the report gives median and spread.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub runs: u16,
    /// Seconds before each measurement, not counted.
    #[arg(long, default_value_t = 3)]
    pub warmup: u64,
    /// Variants in the catalogue; made when missing, and found again.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub variants: u32,
    /// Variants of each product.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub per_product: u16,
    /// Requests per second when places are compared; all of them have to keep up.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub beside: u32,
    /// Requests under way at once.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=8_192))]
    pub under_way: u16,
    /// Look for the highest rate of product pages whose p95 stays within --p95, at
    /// each place.
    #[arg(long)]
    pub search: bool,
    /// Milliseconds that the 95th percentile may take in a search.
    #[arg(long, default_value_t = 8)]
    pub p95: u32,
    /// The federation router [default: 13 above the public port]
    #[arg(long, value_name = "URL")]
    pub router: Option<String>,
    /// Folder of @apollo/gateway, which `./bv bench graphql` fetches.
    #[arg(long, value_name = "DIR", env = "GRAPH_RIVAL")]
    pub rival: Option<PathBuf>,
    /// Append the result to this file.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Different guests: one of them alone may not ask as often as a bench does.
const GUESTS: usize = 64;
const TRIAL: Duration = Duration::from_secs(5);
const GATEWAY: &str = "gateway";
const ROUTER: &str = "router";
const SUBGRAPH: &str = "catalog subgraph";

/// One measurement.
#[derive(Clone, Debug)]
struct Run {
    answered: u64,
    per_second: f64,
    percentiles: Percentiles,
    /// Shop, database, router and rival together, of each request.
    cpu_ms: f64,
    wrong: BTreeMap<String, u64>,
}

/// A question at a place, measured some times.
#[derive(Clone, Debug)]
struct Cell {
    place: String,
    question: Question,
    runs: Vec<Run>,
}

impl Cell {
    fn name(&self) -> String {
        let question = match self.question {
            Question::Page => "product page",
            Question::Catalogue => "catalogue alone",
        };
        format!("{question}, {}", self.place)
    }

    fn each(&self, of: impl Fn(&Run) -> f64) -> Vec<f64> {
        self.runs.iter().map(of).collect()
    }
}

/// Everything that was seen.
struct Outcome {
    plan: Plan,
    page: Cell,
    /// By place; empty without a search.
    highest: Vec<(String, u32)>,
    beside: Vec<Cell>,
    /// Whether Apollo's gateway was among the places.
    rival: bool,
}

impl Outcome {
    fn wrong(&self) -> BTreeMap<&str, u64> {
        let mut wrong = BTreeMap::new();
        let runs = self.beside.iter().chain([&self.page]).flat_map(|cell| &cell.runs);
        for (what, count) in runs.flat_map(|run| &run.wrong) {
            *wrong.entry(what.as_str()).or_default() += count;
        }
        wrong
    }

    fn right(&self) -> bool {
        self.wrong().is_empty()
    }
}

/// What measurements share.
struct Range<'a> {
    args: &'a Args,
    crowd: Crowd,
    gateway: Place,
    router: Place,
    subgraph: Place,
    rival: Option<Rival>,
}

/// Whether every answer was right.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    if cfg!(debug_assertions) {
        eprintln!("this generator is a debug build and will be part of what is measured");
    }
    let shop = Shop::new(shop_args)?;
    let merchant = Renewing::merchant(shop_args, &shop);
    let variants = u32::from(args.per_product);
    let plan = Plan { products: args.variants.div_ceil(variants), variants: args.per_product };
    let catalogue = catalogue::open(&shop, &merchant, plan).await?;
    let internal = shop_args.internal.trim_end_matches('/');
    let origin = shop_args.url.trim_end_matches('/');
    let gateway = Place::gateway(GATEWAY, &format!("{origin}/graphql"));
    let crowd = Crowd::gather(&gateway, GUESTS, catalogue).await?;
    let wrong = crowd.ask_for_each(&gateway).await;
    ensure!(wrong.is_empty(), "{} answers are wrong, such as {:?}", wrong.len(), wrong[0]);
    let range = Range {
        args,
        crowd,
        gateway,
        router: Place::behind(ROUTER, &router_of(shop_args, args)?),
        subgraph: Place::behind(SUBGRAPH, &format!("{internal}/subgraphs/catalog")),
        rival: rival_of(args, internal).await,
    };
    let outcome = range.measure(plan).await?;
    print!("{}", write::words(&outcome, Table::plain));
    if let Some(path) = &args.report {
        let machine = machine::look(machine::port_of(&shop_args.url));
        let words = write::words(&outcome, Table::markdown);
        let command = command(args);
        super::write::append_section(path, "the graph", &command, &machine, &words)?;
        println!("written to {}", path.display());
    }
    if let Some(rival) = range.rival {
        rival.stop().await?;
    }
    Ok(outcome.right())
}

fn command(args: &Args) -> String {
    format!(
        "bench graphql --rate {} --seconds {} --runs {} --variants {} --per-product {} --beside {}{}",
        args.rate,
        args.seconds,
        args.runs,
        args.variants,
        args.per_product,
        args.beside,
        if args.search { format!(" --search --p95 {}", args.p95) } else { String::new() }
    )
}

fn router_of(shop: &ShopArgs, args: &Args) -> anyhow::Result<String> {
    const ABOVE: u16 = 13;
    if let Some(url) = &args.router {
        return Ok(url.clone());
    }
    let port = machine::port_of(&shop.url).context("where is the router? give --router")?;
    Ok(format!("http://127.0.0.1:{}/graphql", port.saturating_add(ABOVE)))
}

/// Apollo's gateway, where npm could fetch it.
async fn rival_of(args: &Args, internal: &str) -> Option<Rival> {
    let Some(folder) = &args.rival else {
        println!("without @apollo/gateway: --rival names no folder");
        return None;
    };
    match Rival::start(folder, internal).await {
        Ok(rival) => Some(rival),
        Err(error) => {
            println!("without @apollo/gateway: {error:#}");
            None
        }
    }
}

impl Range<'_> {
    /// Where the whole graph is answered.
    fn fronts(&self) -> impl Iterator<Item = &Place> {
        let rival = self.rival.as_ref().map(|rival| &rival.place);
        [Some(&self.gateway), Some(&self.router), rival].into_iter().flatten()
    }

    async fn measure(&self, plan: Plan) -> anyhow::Result<Outcome> {
        let mut highest = Vec::new();
        if self.args.search {
            for place in self.fronts() {
                highest.push((place.name.clone(), self.highest_at(place).await?));
            }
        }
        let cell = |place: &Place, question| {
            let (place, runs) = (place.name.clone(), Vec::new());
            Cell { place, question, runs }
        };
        let mut page = cell(&self.gateway, Question::Page);
        let pages = self.fronts().map(|place| (place, Question::Page));
        let everywhere = self.fronts().chain([&self.subgraph]);
        let parts = everywhere.map(|place| (place, Question::Catalogue));
        let beside: Vec<(&Place, Question)> = pages.chain(parts).collect();
        let mut cells: Vec<Cell> = beside.iter().map(|(place, q)| cell(place, *q)).collect();
        // In turns, so that what changes on the machine meanwhile meets all alike.
        for _ in 0..self.args.runs {
            page.runs.push(self.once(&self.gateway, Question::Page, self.args.rate).await?);
            for ((place, question), cell) in beside.iter().zip(&mut cells) {
                cell.runs.push(self.once(place, *question, self.args.beside).await?);
            }
        }
        Ok(Outcome { plan, page, highest, beside: cells, rival: self.rival.is_some() })
    }

    async fn once(&self, place: &Place, question: Question, rate: u32) -> anyhow::Result<Run> {
        let pace = |lasting| Pace { rate, lasting, senders: usize::from(self.args.under_way) };
        let warmup = Duration::from_secs(self.args.warmup);
        let warm = self.crowd.ask(place, question, pace(warmup)).await?;
        let before = self.spent();
        let lasting = Duration::from_secs(self.args.seconds);
        let paced = self.crowd.ask(place, question, pace(lasting)).await?;
        let cpu_ms = self.spent().saturating_sub(before) as f64 / paced.total().max(1) as f64;
        let mut all_wrong = BTreeMap::new();
        for (what, count) in wrong(&warm).chain(wrong(&paced)) {
            *all_wrong.entry(what.to_owned()).or_default() += count;
        }
        Ok(Run {
            answered: paced.total(),
            per_second: paced.per_second(),
            percentiles: paced.latencies.percentiles(),
            cpu_ms,
            wrong: all_wrong,
        })
    }

    /// Milliseconds of processor time so far, the generator's own left out.
    fn spent(&self) -> u64 {
        let ours = cpu::read();
        let ours = ours.iter().filter(|(name, _)| *name != "proofs").map(|(_, usage)| usage.cpu_ms);
        let rival = self.rival.as_ref().and_then(|rival| cpu::of(rival.pid()?));
        ours.sum::<u64>() + rival.map_or(0, |usage| usage.cpu_ms)
    }

    /// The highest rate of product pages whose answers are right and come in time.
    async fn highest_at(&self, place: &Place) -> anyhow::Result<u32> {
        search::closing_in(self.args.rate, async |rate| {
            let senders = usize::from(self.args.under_way);
            let pace = Pace { rate, lasting: TRIAL, senders };
            let paced = self.crowd.ask(place, Question::Page, pace).await?;
            let percentiles = paced.latencies.percentiles();
            let in_time = percentiles.p95 <= self.args.p95 * 1_000
                && search::kept_up(paced.per_second(), rate);
            let sustained = in_time && wrong(&paced).next().is_none();
            println!(
                "{}, {rate}/s: {} ({percentiles})",
                place.name,
                if sustained { "sustained" } else { "too much" }
            );
            Ok(sustained)
        })
        .await
    }
}

fn wrong(paced: &Paced) -> impl Iterator<Item = (&str, u64)> {
    paced.answers.iter().filter(|(word, _)| *word != RIGHT).map(|(w, n)| (w.as_str(), *n))
}
