//! `bench replay`: how long it takes to rebuild a read model.
//!
//! A shop of our own is opened and its services ended, so that only database and
//! event log run. A history of orders goes straight into the log; `serve orders`
//! folds it as it would live events, and `bellavista replay order-summaries` then
//! rebuilds the same table beside it and compares the two row by row.

mod history;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::{machine, write};
use crate::events::ORDER;
use crate::mortal::Mortal;
use crate::report::median_and_spread;
use crate::settings::ShopArgs;

use history::History;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Events of the history.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub events: u64,
    /// How often it is replayed.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub runs: u16,
    /// Seconds that a million events may take; slower is reported as such.
    #[arg(long, default_value_t = 60)]
    pub target: u64,
    /// The public port of the shop of our own; others keep their distance.
    #[arg(long, default_value_t = 8880)]
    pub own_port: u16,
    /// Its state [default: bench-replay in the home]
    #[arg(long, value_name = "DIR")]
    pub own_home: Option<PathBuf>,
    /// Append the result to this file.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// The consumer group of the live fold.
const LIVE: &str = "orders.order-summaries";
const MODEL: &str = "order-summaries";
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The live fold has stopped when it reads nothing for so long.
const STALLED: Duration = Duration::from_secs(90);

/// Whether every row was the same.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    let home = match &args.own_home {
        Some(home) => std::path::absolute(home)?,
        None => std::path::absolute(&shop_args.home)?.join("bench-replay"),
    };
    println!("opening a shop of its own on port {}", args.own_port);
    let mut mortal = Mortal::open(shop_args, args.own_port, &home).await?;
    let outcome = measure(args, &mut mortal).await;
    mortal.close().await?;
    outcome
}

async fn measure(args: &Args, mortal: &mut Mortal) -> anyhow::Result<bool> {
    mortal.end_services().await?;
    let broker = mortal.args.broker.clone();
    let (events, began) = (args.events, Instant::now());
    let written = broker.clone();
    let orders = tokio::task::spawn_blocking(move || write_history(&written, events)).await??;
    let wrote = began.elapsed();
    println!("{events} events of {orders} orders written in {:.1} s", wrote.as_secs_f64());

    let mut serving = mortal.command(&["serve", "orders"]);
    serving.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let mut serving = serving.spawn().context("serving orders")?;
    let began = Instant::now();
    let reading = broker.clone();
    tokio::task::spawn_blocking(move || follow_live(&reading)).await??;
    let live = began.elapsed();
    println!("folded live in {:.1} s, {:.0}/s", live.as_secs_f64(), rate(events, live));

    let mut runs = Vec::new();
    for number in 1..=args.runs {
        let replayed = replay(mortal).await?;
        println!("run {number}: {}", replayed.words());
        runs.push(replayed);
    }
    let machine = machine::look(machine::port_of(&mortal.args.url));
    serving.kill().await.context("ending the service")?;

    let right = runs.iter().all(|run| run.is_right(events, orders));
    let words = text(args, orders, live, &runs, right);
    print!("{words}");
    if let Some(path) = &args.report {
        let command = format!("bench replay --events {events} --runs {}", args.runs);
        write::append_section(path, "replay", &command, &machine, &words)?;
        println!("written to {}", path.display());
    }
    Ok(right)
}

fn rate(events: u64, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64().max(0.001)
}

/// Sends the history in batches; how many orders it has.
fn write_history(broker: &str, events: u64) -> anyhow::Result<u64> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("acks", "all")
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "5000")
        .set("queue.buffering.max.messages", "100000")
        .set("partitioner", "murmur2_random")
        .set("log_level", "3")
        .create()?;
    let mut history = History::before(SystemTime::now(), events);
    for record in history.by_ref().take(usize::try_from(events)?) {
        let mut message = BaseRecord::to(ORDER).key(&record.key).payload(&record.value);
        while let Err((error, refused)) = producer.send(message) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("writing the history");
            }
            producer.poll(Duration::from_millis(20));
            message = refused;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(300)).context("writing the history")?;
    Ok(history.orders())
}

/// Waits until the live fold has committed the end of every partition.
fn follow_live(broker: &str) -> anyhow::Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("group.id", LIVE)
        .set("enable.auto.commit", "false")
        .set("log_level", "3")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(ORDER), ANSWER_WITHIN)?;
    let mut list = TopicPartitionList::new();
    let mut ends = 0;
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        let (_, high) = consumer.fetch_watermarks(ORDER, partition.id(), ANSWER_WITHIN)?;
        list.add_partition(ORDER, partition.id());
        ends += high;
    }
    let (mut done, mut news) = (-1, Instant::now());
    while done < ends {
        let committed = consumer.committed_offsets(list.clone(), ANSWER_WITHIN)?;
        let offset = |offset: Offset| if let Offset::Offset(n) = offset { n } else { 0 };
        let now: i64 = committed.elements().iter().map(|place| offset(place.offset())).sum();
        if now > done {
            (done, news) = (now, Instant::now());
        }
        ensure!(news.elapsed() < STALLED, "the live fold stays at {done} of {ends} events");
        if done < ends {
            // Polling an empty assignment is the pause of this client.
            let _ = consumer.poll(LOOK_EVERY);
        }
    }
    Ok(())
}

/// What the command says of one replay.
#[derive(Clone, Debug, PartialEq)]
struct Replayed {
    events: u64,
    seconds: f64,
    rows: u64,
    equal: u64,
    differing: u64,
    behind: u64,
}

async fn replay(mortal: &Mortal) -> anyhow::Result<Replayed> {
    let ran = mortal.command(&["replay", MODEL]).output().await.context("replaying")?;
    let said = String::from_utf8_lossy(&ran.stdout);
    if !ran.status.success() {
        bail!("replaying: {}", String::from_utf8_lossy(&ran.stderr).trim());
    }
    Replayed::parse(&said).with_context(|| format!("unexpected words: {said}"))
}

impl Replayed {
    /// Reads `…: 10 events in 0.5 s (20/s), 4 rows` and `parity …: 4 rows equal,
    /// 0 differing, 0 not compared …`.
    fn parse(said: &str) -> Option<Self> {
        let mut lines = said.lines().filter(|line| !line.starts_with("plan: "));
        let (_, first) = lines.find(|line| line.contains(" events in "))?.split_once(": ")?;
        let (_, second) = lines.next()?.split_once(": ")?;
        let number = |text: &str, before: &str| -> Option<u64> {
            text.split_once(before)?.0.rsplit([' ', '(']).next()?.parse().ok()
        };
        let (_, seconds) = first.split_once(" in ")?;
        Some(Replayed {
            events: number(first, " events")?,
            seconds: seconds.split_once(' ')?.0.parse().ok()?,
            rows: number(first, " rows")?,
            equal: number(second, " rows equal")?,
            differing: number(second, " differing")?,
            behind: number(second, " not compared")?,
        })
    }

    fn is_right(&self, events: u64, orders: u64) -> bool {
        let whole = (self.events, self.rows, self.equal) == (events, orders, orders);
        whole && self.differing == 0 && self.behind == 0
    }

    fn words(&self) -> String {
        format!(
            "{} events in {:.1} s, {:.0}/s; {} rows, {} equal, {} differing, {} not compared",
            self.events,
            self.seconds,
            self.events as f64 / self.seconds.max(0.001),
            self.rows,
            self.equal,
            self.differing,
            self.behind
        )
    }
}

fn text(args: &Args, orders: u64, live: Duration, runs: &[Replayed], right: bool) -> String {
    let seconds: Vec<f64> = runs.iter().map(|run| run.seconds).collect();
    let (median, low, high) = median_and_spread(&seconds).unwrap_or_default();
    let per_million = median * 1e6 / args.events as f64;
    let verdict = if per_million <= args.target as f64 { "within" } else { "BEYOND" };
    format!(
        "{} events of {orders} orders: median {median:.1} s ({low:.1}–{high:.1}) over {} runs, \
         {per_million:.1} s per million, {verdict} {} s; live fold {:.0}/s; {}\n",
        args.events,
        runs.len(),
        args.target,
        rate(args.events, live),
        if right { "parity 100 % in every run" } else { "WORTHLESS: rows differ or are missing" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_command_are_understood() {
        let said = "plan: order-summaries with 357142 rows, from 1000000 events\n\
                    \x20 all rows are rebuilt\n\
                    order-summaries: 1000000 events in 41.5 s (24096/s), 357142 rows\n\
                    parity 100.000 %: 357142 rows equal, 0 differing, 3 not compared because the \
                    live model is behind\nswapped\n";
        let replayed = Replayed::parse(said).unwrap();
        assert_eq!((replayed.events, replayed.rows), (1_000_000, 357_142));
        assert_eq!((replayed.equal, replayed.differing, replayed.behind), (357_142, 0, 3));
        assert!((replayed.seconds - 41.5).abs() < 1e-9);
        assert!(!replayed.is_right(1_000_000, 357_142));
        assert!(Replayed { behind: 0, ..replayed }.is_right(1_000_000, 357_142));
        assert_eq!(Replayed::parse("something else"), None);
    }
}
