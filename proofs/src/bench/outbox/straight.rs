//! Events put straight into outboxes, without the requests that would make them:
//! what relay and event log take, apart from what an order costs.
//!
//! Each row is what a service would write, in transactions of a few rows like a
//! service's, through a connection to the same server. They name a topic of
//! their own, which no consumer reads and which goes away afterwards. The time
//! of an event runs from the answer to its COMMIT until a reader has it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use super::{ANSWER_WITHIN, Args, POLL, command};
use crate::bench::{cpu, hot_sku, machine, write};
use crate::events::ORDER;
use crate::report::{Latencies, Percentiles, Table};
use crate::settings::ShopArgs;

/// The services whose outboxes an order's events leave.
const SERVICES: [&str; 3] = ["orders", "inventory", "payments"];
const FETCH_BYTES: &str = "400000";
/// Transactions under way in each outbox.
const WRITERS: usize = 2;

/// Where events go: split like the topic of orders.
#[derive(Clone, Copy)]
struct Place<'a> {
    topic: &'a str,
    partitions: i32,
}

/// A row that was committed.
struct Written {
    event: Uuid,
    at: Instant,
}

/// What a run came to.
struct Measured {
    written: u64,
    writing: Duration,
    lost: u64,
    doubled: u64,
    latency: Percentiles,
    /// From the first commit until the last event was read.
    took: Duration,
    last_lag: Duration,
    spent: Vec<cpu::Spent>,
}

impl Measured {
    fn right(&self) -> bool {
        self.lost == 0 && self.doubled == 0
    }
}

/// Whether every event came, once.
pub async fn run(shop: &ShopArgs, args: &Args, rate: u32) -> anyhow::Result<bool> {
    ensure!(args.per_commit <= rate, "--per-commit must be at most --rows");
    let pool = hot_sku::connect(shop, (SERVICES.len() * WRITERS) as u32).await?;
    let topic = format!("bench.outbox.{}", &Uuid::new_v4().simple().to_string()[..8]);
    let partitions = create(&shop.broker, &topic).await?;
    let place = Place { topic: &topic, partitions };
    let warmup = once(shop, args, rate, args.orders.warmup, &pool, place).await;
    let measured = match warmup {
        Ok(_) => once(shop, args, rate, args.orders.seconds, &pool, place).await,
        Err(error) => Err(error),
    };
    delete(&shop.broker, &topic).await;
    let measured = measured?;
    let text = text(&measured);
    print!("{text}");
    if let Some(path) = &args.orders.report {
        let machine = machine::look(machine::port_of(&shop.url));
        write::append_section(path, "outbox, rows put straight", &command(args), &machine, &text)?;
        println!("written to {}", path.display());
    }
    println!(
        "{}",
        if measured.right() { "books right" } else { "WORTHLESS: events lost or doubled" }
    );
    Ok(measured.right())
}

async fn once(
    shop: &ShopArgs,
    args: &Args,
    rate: u32,
    seconds: u64,
    pool: &PgPool,
    place: Place<'_>,
) -> anyhow::Result<Measured> {
    let reader = open(&shop.broker, place, args.fetch_wait)?;
    let (all_written, written_by_then) = std::sync::mpsc::channel();
    let drain = Duration::from_secs(args.drain);
    // Room for all of them now: a reader whose table grows would stand still meanwhile.
    let seen = Seen::with_capacity(rate as usize * seconds as usize);
    let reading = tokio::task::spawn_blocking(move || read(&reader, seen, &written_by_then, drain));
    let before = cpu::read();
    let began = Instant::now();
    let written = put(pool, args, rate, Duration::from_secs(seconds), place.topic).await?;
    let writing = began.elapsed();
    // The reader ends by itself when it is gone already.
    let _ = all_written.send(written.len());
    let seen = reading.await??;
    let spent = cpu::spent(&before, &cpu::read(), written.len() as u64);
    let mut latencies = Latencies::default();
    let (mut lost, mut doubled, mut last) = (0, 0, began);
    for row in &written {
        match seen.get(&row.event) {
            Some((at, times)) => {
                latencies.add(at.saturating_duration_since(row.at));
                doubled += times - 1;
                last = last.max(*at);
            }
            None => lost += 1,
        }
    }
    Ok(Measured {
        written: written.len() as u64,
        writing,
        lost,
        doubled,
        latency: latencies.percentiles(),
        took: last.saturating_duration_since(began),
        last_lag: last.saturating_duration_since(began + writing),
        spent,
    })
}

fn text(measured: &Measured) -> String {
    let per_second = |time: Duration| measured.written as f64 / time.as_secs_f64().max(0.001);
    let mut table = Table::new(&["process", "CPU ms", "CPU µs/event", "resident MiB"]);
    for spent in &measured.spent {
        table.row(vec![
            spent.name.clone(),
            spent.cpu_ms.to_string(),
            format!("{:.0}", spent.cpu_ms_per_order * 1_000.0),
            spent.resident_mib.to_string(),
        ]);
    }
    format!(
        "commit → readable: {}\n{} events committed at {:.0}/s, read at {:.0}/s, the last {} ms \
         after the last commit; {} lost, {} doubled\n\n{}",
        measured.latency,
        measured.written,
        per_second(measured.writing),
        per_second(measured.took),
        measured.last_lag.as_millis(),
        measured.lost,
        measured.doubled,
        table.markdown()
    )
}

/// Writes at the rate, spread over the outboxes; a transaction that is late
/// follows at once.
async fn put(
    pool: &PgPool,
    args: &Args,
    rate: u32,
    lasting: Duration,
    topic: &str,
) -> anyhow::Result<Vec<Written>> {
    let started = Instant::now();
    let writers = SERVICES.len() * WRITERS;
    let (done, mut rows) = mpsc::unbounded_channel();
    let mut tasks = tokio::task::JoinSet::new();
    let between = Duration::from_secs_f64(f64::from(args.per_commit) / f64::from(rate));
    for writer in 0..writers {
        let (pool, done, topic) = (pool.clone(), done.clone(), topic.to_owned());
        let (per_commit, bytes) = (args.per_commit, args.bytes);
        tasks.spawn(async move {
            let insert = insert(SERVICES[writer % SERVICES.len()]);
            for turn in (writer as u32..).step_by(writers) {
                let due = started + between * turn;
                if due >= started + lasting {
                    return Ok(());
                }
                tokio::time::sleep_until(due).await;
                for row in commit(&pool, &insert, &topic, per_commit, bytes).await? {
                    // Whoever takes them ends after us.
                    let _ = done.send(row);
                }
            }
            anyhow::Ok(())
        });
    }
    drop(done);
    let mut all = Vec::with_capacity((f64::from(rate) * lasting.as_secs_f64()) as usize);
    while let Some(row) = rows.recv().await {
        all.push(row);
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(all)
}

fn insert(service: &str) -> String {
    format!(
        "INSERT INTO {service}.outbox (event_id, topic, event_type, partition_key, aggregate_id,
             payload, aggregate_version, occurred_at, trace_id, correlation_id, span_id)
         SELECT id, $2, 'bench.outbox.row.v1', id::text, id::text, $3, 1, now(),
             replace(id::text, '-', ''), id::text, left(replace(id::text, '-', ''), 16)
         FROM unnest($1::uuid[]) AS new(id)"
    )
}

async fn commit(
    pool: &PgPool,
    insert: &str,
    topic: &str,
    rows: u32,
    bytes: u32,
) -> anyhow::Result<Vec<Written>> {
    let events: Vec<Uuid> = (0..rows).map(|_| Uuid::now_v7()).collect();
    let payload = serde_json::json!({ "padding": "x".repeat(bytes as usize) }).to_string();
    sqlx::query(AssertSqlSafe(insert))
        .bind(&events)
        .bind(topic)
        .bind(payload)
        .execute(pool)
        .await
        .context("writing to an outbox")?;
    let at = Instant::now();
    Ok(events.into_iter().map(|event| Written { event, at }).collect())
}

type Seen = HashMap<Uuid, (Instant, u64)>;

fn open(broker: &str, place: Place<'_>, fetch_wait: u32) -> anyhow::Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("group.id", place.topic)
        .set("enable.auto.commit", "false")
        .set("fetch.wait.max.ms", fetch_wait.to_string())
        // As consumers of the embedded log do, which reads all that a fetch may
        // bring and throws away what it had no time for.
        .set("message.max.bytes", FETCH_BYTES)
        .set("fetch.max.bytes", FETCH_BYTES)
        .set("log_level", "3")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..place.partitions {
        let (_, high) = consumer.fetch_watermarks(place.topic, partition, ANSWER_WITHIN)?;
        list.add_partition_offset(place.topic, partition, Offset::Offset(high))?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

/// Reads until as many events came as were written, and then a moment longer
/// for those that come twice; or until `drain` has passed without one.
fn read(
    consumer: &BaseConsumer,
    mut seen: Seen,
    written: &std::sync::mpsc::Receiver<usize>,
    drain: Duration,
) -> anyhow::Result<Seen> {
    const AFTERWARDS: Duration = Duration::from_millis(500);
    let mut wanted: Option<usize> = None;
    let mut last = Instant::now();
    loop {
        if let Some(message) = consumer.poll(POLL) {
            let message = message.context("reading the event log")?;
            last = Instant::now();
            let key = std::str::from_utf8(message.key().unwrap_or_default())?;
            seen.entry(key.parse().context("an event's key")?).or_insert((last, 0)).1 += 1;
            continue;
        }
        wanted = wanted.or_else(|| written.try_recv().ok());
        let patience = match wanted {
            Some(count) if seen.len() >= count => AFTERWARDS,
            _ => drain,
        };
        if wanted.is_some() && last.elapsed() > patience {
            return Ok(seen);
        }
    }
}

fn admin(broker: &str) -> anyhow::Result<AdminClient<DefaultClientContext>> {
    Ok(ClientConfig::new().set("bootstrap.servers", broker).create()?)
}

/// Makes the topic; says into how many partitions.
async fn create(broker: &str, topic: &str) -> anyhow::Result<i32> {
    let admin = Arc::new(admin(broker)?);
    let asked = admin.clone();
    let orders = tokio::task::spawn_blocking(move || {
        asked.inner().fetch_metadata(Some(ORDER), ANSWER_WITHIN)
    });
    let partitions = orders.await??.topics().first().map_or(0, |topic| topic.partitions().len());
    let partitions = i32::try_from(partitions)?;
    ensure!(partitions > 0, "the event log has no topic {ORDER}");
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_WITHIN));
    for made in admin.create_topics([&new], &options).await? {
        made.map_err(|(topic, code)| anyhow::anyhow!("making topic {topic}: {code}"))?;
    }
    Ok(partitions)
}

/// A topic that stays is only untidy.
async fn delete(broker: &str, topic: &str) {
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_WITHIN));
    let Ok(admin) = admin(broker) else { return };
    if let Err(error) = admin.delete_topics(&[topic], &options).await {
        eprintln!("topic {topic} stays: {error}");
    }
}
