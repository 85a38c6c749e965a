//! `bench saga`: orders with a card at a fixed arrival rate, from placed to
//! confirmed, and what `orders` asked of its database for each.
//!
//! When an order was placed and confirmed is read from its events: their ids are
//! UUIDv7 and carry the millisecond in which they were written. The books are
//! those of `bench orders`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::{Measured, hot_sku, once, open as open_range, write};
use crate::events::{self, Event, Fold, ORDER};
use crate::report::{Latencies, Percentiles, Table};
use crate::settings::ShopArgs;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Orders per second.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// How long the run lasts.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub seconds: u64,
    /// Lines of an order.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub lines: u16,
    /// Fresh skus that orders choose from.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=5_000))]
    pub skus: u16,
    /// Seconds at the rate before measuring begins.
    #[arg(long, default_value_t = 3)]
    pub warmup: u64,
    /// Append the result to this file.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl Args {
    fn as_orders(&self) -> super::Args {
        super::Args {
            rate: self.rate,
            seconds: self.seconds,
            lines: self.lines,
            skus: self.skus,
            runs: 1,
            warmup: self.warmup,
            search: false,
            p95: 20,
            pay: true,
            read_back: 1_000,
            report: None,
        }
    }
}

/// No news for so long means that the rest is stuck.
const QUIET: Duration = Duration::from_secs(30);

/// Whether every order was confirmed and the books are right.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    let orders = args.as_orders();
    anyhow::ensure!(orders.lines <= orders.skus, "--skus must be at least --lines");
    let range = open_range(shop_args, &orders).await?;
    let statements = Statements::of(shop_args).await;
    let marks = events::mark(&range.broker, &[ORDER]).await?;
    let before = statements.count().await?;
    let measured = once(&range, &orders, args.rate, args.seconds).await?;
    let all = measured.books.accepted.max(1);
    let log = Log {
        skus: range.skus.iter().map(|sku| sku.to_lowercase()).collect(),
        wanted: measured.books.accepted,
        placed: HashMap::new(),
        confirmed: HashMap::new(),
    };
    let log = events::follow(&range.broker, marks, QUIET, log).await?;
    let after = statements.count().await?;
    let ((took, open), per_second) = (log.latencies(), log.per_second());
    print!("{}", write::run_text(1, &measured));
    let table = table(&measured, (took, open, per_second), before.zip(after), all);
    print!("{}", table.plain());
    if let Some(path) = &args.report {
        write::append(path, &range, &orders, args.rate, std::slice::from_ref(&measured))?;
        write::append_table(path, &table)?;
        println!("written to {}", path.display());
    }
    let right = measured.counts() && open == 0;
    println!("{}", if right { "books right" } else { "WORTHLESS: the books are wrong" });
    Ok(right)
}

fn table(
    measured: &Measured,
    (took, open, per_second): (Percentiles, u64, f64),
    asked: Option<(Asked, Asked)>,
    orders: u64,
) -> Table {
    let mut table = Table::new(&["saga", "value"]);
    let mut row = |what: &str, value: String| table.row(vec![what.to_owned(), value]);
    row("orders", measured.books.accepted.to_string());
    row("not confirmed", open.to_string());
    row("placed to confirmed", took.to_string());
    row("confirmed per second, first to last", format!("{per_second:.1}"));
    match asked {
        Some((before, after)) => {
            let per_order = |a: i64, b: i64| format!("{:.1}", (b - a) as f64 / orders as f64);
            row("statements per order in `orders`", per_order(before.work, after.work));
            row("BEGIN, COMMIT, ROLLBACK beside them", per_order(before.frames, after.frames));
            row("COMMIT per order", per_order(before.commits, after.commits));
        }
        None => row("statements per order", "not counted (needs pg_stat_statements)".to_owned()),
    }
    table
}

/// What the role of `orders` has asked of the server so far.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    work: i64,
    frames: i64,
    commits: i64,
}

/// `pg_stat_statements`, where the server has it loaded.
struct Statements(Option<PgPool>);

impl Statements {
    async fn of(shop: &ShopArgs) -> Self {
        let Ok(pool) = hot_sku::connect(shop, 1).await else { return Statements(None) };
        let made = sqlx::query("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public")
            .execute(&pool)
            .await;
        let loaded = made.is_ok()
            && sqlx::query("SELECT 1 FROM public.pg_stat_statements LIMIT 1")
                .execute(&pool)
                .await
                .is_ok();
        Statements(loaded.then_some(pool))
    }

    async fn count(&self) -> anyhow::Result<Option<Asked>> {
        let Some(pool) = &self.0 else { return Ok(None) };
        let row = sqlx::query(
            "SELECT coalesce(sum(calls) FILTER (WHERE query !~* '^(begin|commit|rollback)'), 0)::bigint AS work,
                    coalesce(sum(calls) FILTER (WHERE query ~* '^(begin|commit|rollback)'), 0)::bigint AS frames,
                    coalesce(sum(calls) FILTER (WHERE query ~* '^commit'), 0)::bigint AS commits
             FROM public.pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
             WHERE r.rolname = 'bv_orders'",
        )
        .fetch_one(pool)
        .await?;
        let (work, frames) = (row.try_get("work")?, row.try_get("frames")?);
        Ok(Some(Asked { work, frames, commits: row.try_get("commits")? }))
    }
}

/// When orders of these skus were placed and confirmed, in Unix milliseconds.
struct Log {
    skus: std::collections::HashSet<String>,
    wanted: u64,
    placed: HashMap<Uuid, u64>,
    confirmed: HashMap<Uuid, u64>,
}

/// The milliseconds that a UUIDv7 begins with.
fn millis(event: &Event) -> Option<u64> {
    let id: Uuid = event.event_id.parse().ok()?;
    u64::try_from(id.as_u128() >> 80).ok()
}

impl Fold for Log {
    fn take(&mut self, event: Event) {
        let Ok(order) = event.partition_key.parse::<Uuid>() else { return };
        let Some(at) = millis(&event) else { return };
        let ours = || event.skus().any(|sku| self.skus.contains(&sku));
        match event.event_type.as_str() {
            "ecommerce.order.order.created.v1" if ours() => {
                self.placed.insert(order, at);
            }
            "ecommerce.order.order.confirmed.v1" if ours() => {
                self.confirmed.insert(order, at);
            }
            _ => {}
        }
    }

    fn complete(&self) -> bool {
        self.confirmed.len() as u64 >= self.wanted
    }
}

impl Log {
    /// How long sagas took, and how many are not confirmed.
    fn latencies(&self) -> (Percentiles, u64) {
        let mut latencies = Latencies::default();
        let mut open = 0;
        for (order, placed) in &self.placed {
            match self.confirmed.get(order) {
                Some(at) => latencies.add(Duration::from_millis(at.saturating_sub(*placed))),
                None => open += 1,
            }
        }
        (latencies.percentiles(), open)
    }

    /// Confirmed orders over the time between the first and the last of them:
    /// where more are placed than can be paid for, what is sustained.
    fn per_second(&self) -> f64 {
        let (first, last) = (self.confirmed.values().min(), self.confirmed.values().max());
        let Some((first, last)) = first.zip(last).filter(|(first, last)| first < last) else {
            return 0.0;
        };
        (self.confirmed.len() - 1) as f64 * 1_000.0 / (last - first) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_lasts_from_one_event_to_the_other() {
        let event = |kind: &str, millis: u128| Event {
            event_id: Uuid::from_u128((millis << 80) | (7 << 76) | 1).to_string(),
            event_type: format!("ecommerce.order.order.{kind}.v1"),
            partition_key: Uuid::from_u128(1).to_string(),
            aggregate_version: 1,
            payload: serde_json::json!({ "items": [{ "sku": "A" }] }),
        };
        let skus = std::collections::HashSet::from(["a".to_owned()]);
        let (placed, confirmed) = (HashMap::new(), HashMap::new());
        let mut log = Log { skus, wanted: 1, placed, confirmed };
        log.take(event("created", 1_000));
        assert_eq!((log.latencies().1, log.complete()), (1, false));
        log.take(event("confirmed", 1_040));
        assert_eq!((log.latencies().0.p50, log.latencies().1), (40_000, 0));
        assert!(log.complete() && log.per_second() == 0.0);
        log.confirmed.insert(Uuid::from_u128(2), 1_540);
        assert_eq!(log.per_second(), 2.0);
    }
}
