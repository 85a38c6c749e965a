//! The whole way, outbox to inbox, over the embedded broker, or over the one
//! that `BV_TEST_KAFKA` names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use platform::config::{Broker, EngineMode};
use platform::consumer::runner::{Runner, dead_letter_topic, redrive_topic};
use platform::db::Plans;
use platform::engines::broker::topics::Topic;
use platform::outbox::NewEvent;
use platform::outbox::relay::Relay;
use platform::testing::outbox;
use sqlx::{ConnectOptions, PgPool};

use crate::engines::{TestHome, free_port, start, start_broker};
use crate::kafka::fresh_topics;
use crate::sample::{MIGRATIONS, TOPIC, bench, note, scribe};

const PACED: i64 = 50;
const WRITERS: usize = 6;
const EACH: i64 = 400;

type Seen = Arc<Mutex<HashMap<(String, i64), Instant>>>;

/// Every number of a book once and in order, however many wrote.
async fn in_order(pool: &PgPool) -> bool {
    let sql = "SELECT book FROM (
                   SELECT book, number, lag(number, 1, 0::bigint) OVER (PARTITION BY book ORDER BY id) AS before
                   FROM notes) AS seen
               WHERE number <> before + 1 LIMIT 1";
    sqlx::query_scalar::<_, String>(sql).fetch_optional(pool).await.unwrap().is_none()
}

async fn handled(pool: &PgPool, wanted: i64) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let count: i64 =
            sqlx::query_scalar("SELECT count(*) FROM notes").fetch_one(pool).await.unwrap();
        if count >= wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{count} of {wanted} arrived");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn write(
    ctx: platform::Context,
    book: String,
    numbers: std::ops::RangeInclusive<i64>,
    pause: Duration,
) -> Vec<((String, i64), Instant)> {
    let mut committed = Vec::new();
    for number in numbers {
        let mut tx = ctx.pool.begin().await.unwrap();
        ctx.outbox.append(&mut tx, &note(&book, number)).await.unwrap();
        tx.commit().await.unwrap();
        committed.push(((book.clone(), number), Instant::now()));
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    committed
}

/// A service with its own database, and a broker that keeps its log.
struct House {
    ctx: platform::Context,
    pool: PgPool,
    settings: Broker,
    broker: Option<platform::engines::broker::Broker>,
    postgres: platform::engines::postgres::Postgres,
    // Their folders and databases go last.
    _home: TestHome,
    _bench: platform::testing::Bench,
}

impl House {
    async fn open() -> Self {
        let (bench, home) = (bench().await, TestHome::new());
        let postgres = start(&home.home, free_port()).await;
        postgres.ensure_services(&["orders"]).await.unwrap();
        let port = free_port();
        let names = [TOPIC.to_owned(), dead_letter_topic(TOPIC), redrive_topic("books")];
        let broker = match crate::kafka::external() {
            Some(bootstrap) => {
                fresh_topics(&bootstrap, &names.each_ref().map(String::as_str));
                None
            }
            None => {
                let broker = start_broker(&home.home, &postgres, port).await;
                let topics = names.iter().map(|name| Topic { name, partitions: 2, config: &[] });
                broker.ensure_topics(&topics.collect::<Vec<_>>()).await.unwrap();
                Some(broker)
            }
        };
        let options = postgres.endpoint().service_options("orders").unwrap();
        let mut connection = options.connect().await.unwrap();
        platform::db::migrate(&mut connection, &MIGRATIONS).await.unwrap();
        let pool = platform::db::pool(options, 24, Duration::from_secs(10), "books", Plans::Kept);
        let ctx = platform::Context { pool: pool.clone(), ..bench.ctx.clone() };
        let settings = Broker {
            mode: if broker.is_some() { EngineMode::Embedded } else { EngineMode::External },
            bootstrap: crate::kafka::external().unwrap_or_default(),
            port,
            properties: Default::default(),
            engine_cache: None,
        };
        House { ctx, pool, settings, broker, postgres, _home: home, _bench: bench }
    }

    async fn close(self) {
        self.ctx.lifecycle.stop(Duration::from_secs(15)).await.unwrap();
        self.pool.close().await;
        if let Some(broker) = self.broker {
            broker.stop().await;
        }
        self.postgres.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_over_a_real_broker_arrives_once_and_in_order() {
    let house = House::open().await;
    let (ctx, pool, settings) = (house.ctx.clone(), house.pool.clone(), house.settings.clone());
    let relay = Relay::new(ctx.clone(), &settings).unwrap();
    ctx.lifecycle.spawn("relay", relay.run());
    let seen: Seen = Arc::default();
    let noted = seen.clone();
    let consumer = scribe("books", move |n| {
        noted.lock().unwrap().insert((n.book.clone(), n.number), Instant::now());
        Ok(())
    });
    let runner = Runner::new(ctx.clone(), consumer, &settings).unwrap();
    ctx.lifecycle.spawn("runner", runner.run());
    write(ctx.clone(), "warm".into(), 1..=20, Duration::ZERO).await;
    handled(&pool, 20).await;

    let committed = write(ctx.clone(), "paced".into(), 1..=PACED, Duration::from_millis(10)).await;
    handled(&pool, 20 + PACED).await;
    report_latency(&committed, &seen);

    let began = Instant::now();
    let total = WRITERS as i64 * EACH;
    let writers: Vec<_> = (0..WRITERS)
        .map(|w| tokio::spawn(write(ctx.clone(), format!("burst-{w}"), 1..=EACH, Duration::ZERO)))
        .collect();
    let writing = async {
        futures_util::future::join_all(writers).await;
        eprintln!("written: {:.0}/s", total as f64 / began.elapsed().as_secs_f64());
        while !outbox(&pool).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        eprintln!("published: {:.0}/s", total as f64 / began.elapsed().as_secs_f64());
    };
    tokio::join!(writing, handled(&pool, 20 + PACED + total));
    eprintln!(
        "burst of {total}, written and handled: {:.0}/s",
        total as f64 / began.elapsed().as_secs_f64()
    );

    assert!(in_order(&pool).await);
    house.close().await;
}

/// More than a quick fetch of the embedded broker can cope with.
const BACKLOG: i64 = 6_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_comes_late_to_a_long_backlog_catches_up() {
    let house = House::open().await;
    let (ctx, pool) = (house.ctx.clone(), house.pool.clone());
    for first in (1..=BACKLOG).step_by(500) {
        let mut tx = pool.begin().await.unwrap();
        let notes = (first..first + 500).map(|n| note(&format!("book-{}", n % 10), n / 10 + 1));
        let events = notes.map(|n| NewEvent::of(&ctx.ids, &n).unwrap()).collect();
        ctx.outbox.append_all(&mut tx, events).await.unwrap();
        tx.commit().await.unwrap();
    }
    let relay = Relay::new(ctx.clone(), &house.settings).unwrap();
    ctx.lifecycle.spawn("relay", relay.run());
    let began = Instant::now();
    while !outbox(&pool).await.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(120), "the outbox does not empty");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let began = Instant::now();
    let runner = Runner::new(ctx.clone(), scribe("books", |_| Ok(())), &house.settings).unwrap();
    ctx.lifecycle.spawn("runner", runner.run());
    handled(&pool, BACKLOG).await;
    eprintln!("backlog: {:.0}/s", BACKLOG as f64 / began.elapsed().as_secs_f64());
    house.close().await;
}

fn report_latency(committed: &[((String, i64), Instant)], seen: &Seen) {
    let seen = seen.lock().unwrap();
    let mut waits: Vec<Duration> = committed
        .iter()
        .filter_map(|(k, at)| Some(seen.get(k)?.saturating_duration_since(*at)))
        .collect();
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
    eprintln!("commit to handler: median {:?}, p95 {:?}, p99 {:?}", at(0.5), at(0.95), at(0.99));
}
