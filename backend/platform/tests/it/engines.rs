//! The child engines for real: PostgreSQL and the broker, started, stopped,
//! killed and mended.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use platform::engines::binary::{Sources, resolve};
use platform::engines::broker::topics::Topic;
use platform::engines::broker::{Broker, BrokerConfig};
use platform::engines::home::Home;
use platform::engines::pins::pin;
use platform::engines::postgres::{self, BROKER_DATABASE, BROKER_ROLE, Postgres, PostgresConfig};
use platform::engines::supervisor::EngineState;
use platform::engines::{Progress, process};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use sqlx::{ConnectOptions, Connection};

/// Set for a second run of this program that plays a shop to be killed.
const VICTIM_HOME: &str = "BV_TEST_VICTIM_HOME";
const VICTIM_PORT: &str = "BV_TEST_VICTIM_PORT";

/// A state folder whose engines and data go away with it.
pub struct TestHome {
    folder: tempfile::TempDir,
    pub home: Home,
}

impl TestHome {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a state folder");
        Self { folder, home }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        let home = self.home.clone();
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                platform::engines::broker::stop_leftovers(&home).await;
                postgres::wipe(&home).await
            })
        });
        cleaner.join().expect("cleaning ends").expect("the cluster is removed");
    }
}

/// A port that is free together with the next one, below the range from which
/// the system gives out ports; each call of this process gets another one.
pub fn free_port() -> u16 {
    static STEP: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    let seed = u16::try_from(std::process::id() % 1000).expect("small");
    std::iter::repeat_with(|| STEP.fetch_add(1, Ordering::Relaxed))
        .take(1000)
        .map(|step| 28_000 + ((seed + step) % 1000) * 2)
        .find(|port| is_free(*port) && is_free(port + 1))
        .expect("a free port")
}

pub async fn start(home: &Home, port: u16) -> Postgres {
    let config = PostgresConfig {
        home: home.clone(),
        port,
        max_connections: 60,
        progress: Progress::quiet(),
    };
    Postgres::start(config).await.expect("PostgreSQL starts")
}

async fn execute(
    postgres: &Postgres,
    service: &str,
    statement: &'static str,
) -> Result<(), sqlx::Error> {
    let options = postgres.endpoint().service_options(service).expect("a role");
    let mut connection = options.connect().await?;
    sqlx::raw_sql(statement).execute(&mut connection).await?;
    connection.close().await
}

async fn count(postgres: &Postgres, service: &str, statement: &'static str) -> i64 {
    let options = postgres.endpoint().service_options(service).expect("a role");
    let mut connection = options.connect().await.expect("signs in");
    sqlx::query_scalar(statement).fetch_one(&mut connection).await.expect("counts")
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn state_survives_a_stop_and_a_service_sees_only_its_own_schema() {
    let home = TestHome::new();
    let port = free_port();
    let began = Instant::now();
    let postgres = start(&home.home, port).await;
    postgres.ensure_services(&["orders", "catalog"]).await.expect("prepared");
    eprintln!("first start: {:?}", began.elapsed());
    execute(&postgres, "orders", "CREATE TABLE kept (id bigint); INSERT INTO kept VALUES (1)")
        .await
        .expect("its own schema is writable");
    let foreign = execute(&postgres, "catalog", "SELECT * FROM orders.kept")
        .await
        .expect_err("not its schema");
    assert!(foreign.to_string().contains("permission denied"), "{foreign}");
    let public = execute(&postgres, "catalog", "CREATE TABLE public.x (id int)")
        .await
        .expect_err("not its schema");
    assert!(public.to_string().contains("permission denied"), "{public}");
    let pid = postgres.process_id().expect("a server");
    postgres.stop().await;
    assert!(!process::is_alive(pid), "the server ended");

    let began = Instant::now();
    let postgres = start(&home.home, port).await;
    postgres.ensure_services(&["orders", "catalog"]).await.expect("prepared again");
    eprintln!("second start: {:?}", began.elapsed());
    assert_eq!(count(&postgres, "orders", "SELECT count(*) FROM kept").await, 1);
    let url = postgres.endpoint().service_url("orders").expect("a role");
    let mut by_url = sqlx::PgConnection::connect(&url).await.expect("the URL works");
    let path: String =
        sqlx::query_scalar("SHOW search_path").fetch_one(&mut by_url).await.expect("shown");
    assert_eq!(path, "orders");
    postgres.stop().await;
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line() {
    let home = TestHome::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let config = PostgresConfig {
        home: home.home.clone(),
        port,
        max_connections: 20,
        progress: Progress::quiet(),
    };
    let refusal = Postgres::start(config).await.expect_err("the port is taken").to_string();
    assert_eq!(refusal.lines().count(), 1);
    assert!(refusal.starts_with(&format!("port {port} (PostgreSQL) is taken by ")), "{refusal}");
}

#[tokio::test]
async fn a_killed_server_is_started_again_without_losing_a_committed_row() {
    let home = TestHome::new();
    let postgres = start(&home.home, free_port()).await;
    postgres.ensure_services(&["orders"]).await.expect("prepared");
    execute(&postgres, "orders", "CREATE TABLE kept (id bigint); INSERT INTO kept VALUES (1)")
        .await
        .expect("written");
    let first = postgres.process_id().expect("a server");
    process::signal(first, Signal::SIGKILL);
    let mut state = postgres.state();
    until("a new server serves", async || {
        let ready = *state.borrow_and_update() == EngineState::Ready;
        ready && postgres.process_id().is_some_and(|pid| pid != first)
    })
    .await;
    assert_eq!(count(&postgres, "orders", "SELECT count(*) FROM kept").await, 1);
    postgres.stop().await;
}

fn engine_sources() -> Sources {
    let home = std::env::var("HOME").expect("HOME is set");
    Sources {
        cache: PathBuf::from(home).join(".cache/bellavista"),
        archives: std::env::var("BV_ENGINE_CACHE").ok().map(PathBuf::from),
    }
}

pub async fn start_broker(home: &Home, postgres: &Postgres, port: u16) -> Broker {
    let pin = pin("broker").expect("pinned");
    let program =
        resolve(&pin, &engine_sources(), &Progress::quiet()).await.expect("the broker's program");
    let storage_url = postgres.endpoint().socket_url(BROKER_ROLE, BROKER_DATABASE).expect("a role");
    Broker::start(BrokerConfig { home: home.clone(), program, port, storage_url })
        .await
        .expect("the broker starts")
}

async fn produce(servers: &str, topic: &str, payload: &str) {
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("enable.idempotence", "true")
        .create()
        .expect("a producer");
    let record = FutureRecord::to(topic).key("k").payload(payload);
    producer.send(record, Duration::from_secs(10)).await.expect("delivered");
}

/// The first `expected` payloads of a topic.
async fn read(servers: &str, topic: &'static str, expected: usize) -> Vec<String> {
    let servers = servers.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", "reader")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .create()
            .expect("a consumer");
        consumer.subscribe(&[topic]).expect("subscribed");
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut payloads = Vec::new();
        while payloads.len() < expected && Instant::now() < deadline {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                payloads.push(
                    String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned(),
                );
            }
        }
        payloads
    });
    read.await.expect("read")
}

const TOPICS: &[Topic<'static>] = &[
    Topic { name: "ecommerce.test.first", partitions: 2, config: &[("retention.ms", "604800000")] },
    Topic { name: "ecommerce.test.second", partitions: 1, config: &[] },
];

#[tokio::test]
async fn events_survive_a_stop_and_a_kill_of_the_broker() {
    let home = TestHome::new();
    let (database_port, port) = (free_port(), free_port());
    let postgres = start(&home.home, database_port).await;
    postgres.ensure_services(&[]).await.expect("prepared");
    let began = Instant::now();
    let broker = start_broker(&home.home, &postgres, port).await;
    eprintln!("first broker start: {:?}", began.elapsed());
    let began = Instant::now();
    broker.ensure_topics(TOPICS).await.expect("created");
    eprintln!("topics: {:?}", began.elapsed());
    broker.ensure_topics(TOPICS).await.expect("there already");
    produce(&broker.bootstrap(), "ecommerce.test.second", "one").await;

    let first = broker.process_id().expect("a broker");
    process::signal(first, Signal::SIGKILL);
    let mut state = broker.state();
    until("a new broker serves", async || {
        let ready = *state.borrow_and_update() == EngineState::Ready;
        ready && broker.process_id().is_some_and(|pid| pid != first)
    })
    .await;
    produce(&broker.bootstrap(), "ecommerce.test.second", "two").await;
    broker.stop().await;

    let began = Instant::now();
    let broker = start_broker(&home.home, &postgres, port).await;
    broker.ensure_topics(TOPICS).await.expect("still there");
    eprintln!("second broker start with topics: {:?}", began.elapsed());
    assert_eq!(read(&broker.bootstrap(), "ecommerce.test.second", 2).await, ["one", "two"]);
    broker.stop().await;
    postgres.stop().await;
}

/// Not a test of its own: when asked by the environment, it plays the shop
/// that the next test kills.
#[tokio::test]
async fn victim_of_the_kill_test() {
    let (Ok(home), Ok(port)) = (std::env::var(VICTIM_HOME), std::env::var(VICTIM_PORT)) else {
        return;
    };
    let home = Home::open(Path::new(&home)).expect("the state folder");
    let _lock = home.lock().expect("nobody else runs");
    let port: u16 = port.parse().expect("a port");
    let postgres = start(&home, port).await;
    postgres.ensure_services(&["orders"]).await.expect("prepared");
    let _broker = start_broker(&home, &postgres, port + 1).await;
    execute(&postgres, "orders", "CREATE TABLE kept (id bigint); INSERT INTO kept VALUES (1)")
        .await
        .expect("written");
    std::fs::write(home.run_file("victim-ready"), "").expect("told");
    std::future::pending::<()>().await;
}

fn victim(home: &Path, port: u16) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "engines::victim_of_the_kill_test"])
        .env(VICTIM_HOME, home)
        .env(VICTIM_PORT, port.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the victim starts")
}

#[tokio::test]
async fn what_a_killed_shop_leaves_behind_the_next_start_mends() {
    let home = TestHome::new();
    let port = free_port();
    let mut shop = victim(home.path(), port);
    let ready = home.home.run_file("victim-ready");
    until("the victim serves", async || ready.exists()).await;
    assert_eq!(home.home.lock_holder(), i32::try_from(shop.id()).ok());
    assert!(home.home.lock().is_err(), "a second start is refused");
    shop.kill().expect("killed");
    shop.wait().expect("reaped");

    let _lock = home.home.lock().expect("the lock died with its holder");
    let began = Instant::now();
    let postgres = start(&home.home, port).await;
    let broker = start_broker(&home.home, &postgres, port + 1).await;
    eprintln!("start after a kill: {:?}", began.elapsed());
    assert_eq!(count(&postgres, "orders", "SELECT count(*) FROM kept").await, 1);
    broker.stop().await;
    postgres.stop().await;
}
