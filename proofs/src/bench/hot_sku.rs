//! `bench hot-sku`: everybody wants the same thing.
//!
//! Durable reservations of one sku through gRPC, counted in the same run from
//! three sides: the answers, the stock afterwards, the event log. Beside it, on
//! the same PostgreSQL and over the same tables, what the two usual ways reach
//! at their best number of connections: a row lock, and an atomic update.

mod database;
pub(super) use database::connect;
mod rivals;
mod write;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::pace::{self, Pace, Paced};
use crate::client::{Credential, Shop};
use crate::credentials::Renewing;
use crate::events::{self, RESERVATION};
use crate::generated::bellavista::inventory::v1 as proto;
use crate::generated::bellavista::inventory::v1::inventory_client::InventoryClient;
use crate::settings::ShopArgs;
use crate::shelves;
use rivals::Rival;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Reservations per second; 0: as fast as the shop answers.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=200_000))]
    pub rate: u32,
    /// How long the run lasts.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub seconds: u64,
    /// Units there are; more than anybody buys unless told otherwise.
    #[arg(long, default_value_t = 100_000_000)]
    pub units: u64,
    /// Requests under way at once, and connections they share.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u16).range(1..=16_384))]
    pub under_way: u16,
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub connections: u16,
    /// Seconds for each number of connections of a rival; 0 leaves them out.
    #[arg(long, default_value_t = 4)]
    pub rivals: u64,
    /// Append the result to this file.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// What the run came to, from all sides.
#[derive(Debug)]
pub struct Outcome {
    pub load: Paced,
    pub held_answers: u64,
    pub short_answers: u64,
    pub held_units: u64,
    pub units: u64,
    pub oversold: u64,
    pub undersold: u64,
    pub events: u64,
    /// Rows that waited in the outbox when the run ended, and how long they took.
    pub lag_rows: Option<i64>,
    pub drained_in: Duration,
    pub rivals: Vec<Rival>,
}

impl Outcome {
    /// What is wrong with the books.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let others = self.load.total() - self.held_answers - self.short_answers;
        let mut ensure = |holds: bool, what: String| {
            if !holds {
                faults.push(what);
            }
        };
        ensure(self.oversold == 0, format!("{} units oversold", self.oversold));
        ensure(self.undersold == 0, format!("{} units undersold", self.undersold));
        let (told, held) = (self.held_answers, self.held_units);
        ensure(told == held, format!("{told} buyers hold {held} units"));
        ensure(self.events >= told, format!("{} events for {told} reservations", self.events));
        ensure(others == 0, format!("{others} other answers: {:?}", self.load.answers));
        ensure(self.rivals.iter().all(|r| r.books_right), "a rival's books are wrong".to_owned());
        faults
    }
}

const HELD: &str = "held";
const SHORT: &str = "short";
/// The outbox may lag; it must drain within this.
const DRAIN: Duration = Duration::from_secs(600);

/// Whether the books are right.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    if cfg!(debug_assertions) {
        eprintln!("this generator is a debug build and will be part of what is measured");
    }
    let shop = Shop::new(shop_args)?;
    let merchant = Renewing::merchant(shop_args, &shop);
    let sku = format!("hot-{}", &Uuid::new_v4().simple().to_string()[..10]);
    shelves::stock_up(&shop, &merchant, &sku, args.units).await?;
    let database = database::connect(shop_args, 1).await;
    if let Err(error) = &database {
        eprintln!("without the database: no rivals, no count of the outbox ({error:#})");
    }
    let marks = events::mark(&shop_args.broker, &[RESERVATION]).await?;
    let load = reserve(shop_args, args, &sku).await?;
    println!("{:.0} answers/s; {}", load.per_second(), load.latencies.percentiles());
    let ended = Instant::now();
    let lag_rows = match &database {
        Ok(pool) => Some(database::outbox_rows(pool).await?),
        Err(_) => None,
    };
    let held = load.count(HELD);
    let events = drained(shop_args, &marks, held).await?;
    let drained_in = ended.elapsed();
    let stock = shelves::find_stock(&shop, &merchant, &sku).await?.context("the sku is gone")?;
    let beyond = stock.held + stock.allocated + stock.set_aside - stock.on_hand;
    let short = load.count(SHORT);
    let mut outcome = Outcome {
        held_answers: held,
        short_answers: short,
        held_units: stock.held.unsigned_abs(),
        units: args.units,
        oversold: beyond.max(0).unsigned_abs(),
        // Somebody was refused although a unit is there.
        undersold: if short > 0 { stock.available.unsigned_abs() } else { 0 },
        events,
        lag_rows,
        drained_in,
        rivals: Vec::new(),
        load,
    };
    if args.rivals > 0
        && let Ok(pool) = &database
    {
        outcome.rivals = rivals::race(shop_args, pool, Duration::from_secs(args.rivals)).await?;
    }
    print!("{}", write::text(&outcome));
    if let Some(path) = &args.report {
        write::append(path, shop_args, args, &outcome)?;
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

/// Waits until the event log has as many new reservations as buyers were told.
async fn drained(shop: &ShopArgs, before: &events::Marks, held: u64) -> anyhow::Result<u64> {
    let started = Instant::now();
    loop {
        let now = events::mark(&shop.broker, &[RESERVATION]).await?;
        let events = events::Marks::between(before, &now);
        if events >= held || started.elapsed() > DRAIN {
            return Ok(events);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn reserve(shop_args: &ShopArgs, args: &Args, sku: &str) -> anyhow::Result<Paced> {
    let Credential::Bearer(token) = Renewing::tools(shop_args)?.get().await? else {
        anyhow::bail!("a service token is needed");
    };
    let bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
    let mut clients: Vec<InventoryClient<Channel>> = Vec::new();
    for _ in 0..args.connections {
        let endpoint = Endpoint::from_shared(shop_args.grpc.clone())?.tcp_nodelay(true);
        clients.push(InventoryClient::new(endpoint.connect().await.context("gRPC of inventory")?));
    }
    ensure!(!clients.is_empty(), "--connections must be at least 1");
    let sku = sku.to_owned();
    let pace = Pace {
        rate: args.rate,
        lasting: Duration::from_secs(args.seconds),
        senders: usize::from(args.under_way),
    };
    pace::run(pace, move |sender| {
        let mut client = clients[sender % clients.len()].clone();
        let line = proto::Line { sku: sku.clone(), qty: 1, sale_id: String::new() };
        let mut request = Request::new(proto::ReserveRequest {
            order_id: Uuid::now_v7().to_string(),
            lines: vec![line],
            ttl_seconds: 0,
            accept_backorder: false,
        });
        request.metadata_mut().insert("authorization", bearer.clone());
        async move {
            match client.reserve_stock(request).await {
                Ok(answer) => match answer.into_inner().outcome() {
                    proto::ReserveOutcome::Held => HELD.to_owned(),
                    proto::ReserveOutcome::Short => SHORT.to_owned(),
                    proto::ReserveOutcome::Unspecified => "no outcome".to_owned(),
                },
                Err(status) => format!("{:?}: {}", status.code(), status.message()),
            }
        }
    })
    .await
}
