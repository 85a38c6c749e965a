//! `bench outbox`: from a commit to the moment its event can be read.
//!
//! Orders are placed at a fixed rate; an answer says that the order and its
//! events are committed. A reader of the event log notes when each
//! `order.created` arrives. What lies between the two is the outbox, its relay,
//! the broker and one fetch. Beside it: how many events of all topics the log
//! took a second, and how long the last ones lagged behind the last answer.
//! With `--rows`, events are put into the outboxes without orders: [`straight`].

mod straight;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use uuid::Uuid;

use super::{Range, load, machine, write};
use crate::events::{self, Marks, ORDER, RESERVATION};
use crate::report::{Latencies, Percentiles};
use crate::settings::ShopArgs;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How orders are placed; the other options of `bench orders` mean the same.
    #[command(flatten)]
    orders: super::Args,
    /// How long the reader's fetches wait at the broker, in milliseconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    fetch_wait: u32,
    /// Seconds that events may come late before they count as lost.
    #[arg(long, default_value_t = 60)]
    drain: u64,
    /// Instead of placing orders, put so many events a second straight into the outboxes.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    rows: Option<u32>,
    /// With --rows: events in one transaction.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    per_commit: u32,
    /// With --rows: about how many bytes the payload of an event has.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    bytes: u32,
}

const STOCK: &str = "ecommerce.inventory.stock";
const POLL: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What a run came to.
struct Measured {
    orders: u64,
    lost: u64,
    doubled: u64,
    latency: Percentiles,
    events: u64,
    events_per_second: f64,
    last_lag: Duration,
}

/// Whether every order's event came, once.
pub async fn run(shop_args: &ShopArgs, args: &Args) -> anyhow::Result<bool> {
    if let Some(rate) = args.rows {
        return straight::run(shop_args, args, rate).await;
    }
    let orders = &args.orders;
    ensure!(orders.lines <= orders.skus, "--skus must be at least --lines");
    let range = super::open(shop_args, orders).await?;
    load::run(&range, orders, orders.rate, Duration::from_secs(orders.warmup)).await?;
    let measured = once(&range, args).await?;
    let text = text(&measured);
    print!("{text}");
    if let Some(path) = &orders.report {
        let machine = machine::look(range.port);
        write::append_section(path, "outbox", &command(args), &machine, &text)?;
        println!("written to {}", path.display());
    }
    let right = measured.lost == 0 && measured.doubled == 0;
    println!("{}", if right { "books right" } else { "WORTHLESS: events were lost or doubled" });
    Ok(right)
}

fn command(args: &Args) -> String {
    let orders = &args.orders;
    if let Some(rows) = args.rows {
        let Args { per_commit, bytes, fetch_wait, .. } = args;
        let seconds = orders.seconds;
        return format!(
            "bench outbox --rows {rows} --per-commit {per_commit} --bytes {bytes} \
             --seconds {seconds} --fetch-wait {fetch_wait}"
        );
    }
    format!(
        "bench outbox --rate {} --seconds {} --lines {} --fetch-wait {}",
        orders.rate, orders.seconds, orders.lines, args.fetch_wait
    )
}

async fn once(range: &Range, args: &Args) -> anyhow::Result<Measured> {
    let topics = [ORDER, STOCK, RESERVATION];
    let before = events::mark(&range.broker, &topics).await?;
    let began = Instant::now();
    let reader = Reader::open(&range.broker, args.fetch_wait)?;
    let (stop, stopped) = std::sync::mpsc::channel();
    let drain = Duration::from_secs(args.drain);
    let reading = tokio::task::spawn_blocking(move || reader.read(&stopped, drain));
    let orders = &args.orders;
    let load = load::run(range, orders, orders.rate, Duration::from_secs(orders.seconds)).await?;
    let last_answer = Instant::now();
    let wanted: Vec<Uuid> = load.placed.iter().map(|placed| placed.order_id).collect();
    // The reader ends by itself when it is gone already.
    let _ = stop.send(wanted);
    let seen = reading.await??;
    let settled = Instant::now();
    let after = events::mark(&range.broker, &topics).await?;
    let mut latencies = Latencies::default();
    let (mut lost, mut doubled) = (0, 0);
    for placed in &load.placed {
        match seen.get(&placed.order_id) {
            Some((at, times)) => {
                latencies.add(at.saturating_duration_since(placed.answered));
                doubled += times - 1;
            }
            None => lost += 1,
        }
    }
    let events = Marks::between(&before, &after);
    Ok(Measured {
        orders: load.placed.len() as u64,
        lost,
        doubled,
        latency: latencies.percentiles(),
        events,
        events_per_second: events as f64 / settled.duration_since(began).as_secs_f64(),
        last_lag: settled.saturating_duration_since(last_answer),
    })
}

fn text(measured: &Measured) -> String {
    format!(
        "commit → readable: {}\n{} orders, {} events in all topics, {:.0} events/s; the last \
         event was read {} ms after the last answer; {} lost, {} doubled\n",
        measured.latency,
        measured.orders,
        measured.events,
        measured.events_per_second,
        measured.last_lag.as_millis(),
        measured.lost,
        measured.doubled
    )
}

/// Notes when each order's first event arrives.
struct Reader {
    consumer: BaseConsumer,
}

type Seen = HashMap<Uuid, (Instant, u64)>;

impl Reader {
    fn open(broker: &str, fetch_wait: u32) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker)
            .set("group.id", format!("proofs-{}", Uuid::new_v4()))
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", fetch_wait.to_string())
            .set("log_level", "3")
            .create()?;
        let metadata = consumer
            .fetch_metadata(Some(ORDER), ANSWER_WITHIN)
            .with_context(|| format!("the event log at {broker} does not answer"))?;
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
            let (_, high) = consumer.fetch_watermarks(ORDER, partition.id(), ANSWER_WITHIN)?;
            list.add_partition_offset(ORDER, partition.id(), Offset::Offset(high))?;
        }
        consumer.assign(&list)?;
        Ok(Reader { consumer })
    }

    /// Reads until every wanted order was seen, or `drain` has passed since
    /// they were named.
    fn read(
        self,
        wanted: &std::sync::mpsc::Receiver<Vec<Uuid>>,
        drain: Duration,
    ) -> anyhow::Result<Seen> {
        let mut seen = Seen::new();
        let mut open: Option<(Vec<Uuid>, Instant)> = None;
        loop {
            if let Some(Ok(message)) = self.consumer.poll(POLL) {
                note(&mut seen, message.payload().unwrap_or_default())?;
            }
            if open.is_none()
                && let Ok(orders) = wanted.try_recv()
            {
                open = Some((orders, Instant::now()));
            }
            if let Some((orders, since)) = &mut open {
                orders.retain(|order| !seen.contains_key(order));
                if orders.is_empty() || since.elapsed() > drain {
                    return Ok(seen);
                }
            }
        }
    }
}

fn note(seen: &mut Seen, payload: &[u8]) -> anyhow::Result<()> {
    let at = Instant::now();
    let event: events::Event = serde_json::from_slice(payload).context("an event")?;
    if event.event_type == "ecommerce.order.order.created.v1" {
        let order: Uuid = event.partition_key.parse().context("an order's key")?;
        seen.entry(order).or_insert((at, 0)).1 += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_event_of_an_order_tells_the_time() {
        let mut seen = Seen::new();
        let order = Uuid::new_v4();
        let event = |kind: &str| {
            format!(
                r#"{{"eventId":"x","eventType":"ecommerce.order.order.{kind}.v1",
                     "partitionKey":"{order}","aggregateVersion":1,"payload":{{}}}}"#
            )
        };
        note(&mut seen, event("created").as_bytes()).unwrap();
        let first = seen[&order].0;
        note(&mut seen, event("paid").as_bytes()).unwrap();
        note(&mut seen, event("created").as_bytes()).unwrap();
        assert_eq!(seen[&order], (first, 2));
    }
}
