//! The embedded event log: a broker with the Kafka API as a child, its log in
//! the private PostgreSQL.

pub mod topics;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::watch;

use self::topics::Topic;
use super::home::Home;
use super::process::{self, LogFile};
use super::supervisor::{Engine, EngineState, Supervisor};
use super::{EngineError, ports};

const STOP_PLAN: &[(Signal, Duration)] = &[(Signal::SIGTERM, Duration::from_secs(5))];
const READY_DEADLINE: Duration = Duration::from_secs(60);
const METADATA_TIMEOUT: Duration = Duration::from_secs(2);

/// What the broker needs to know.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// The state folder.
    pub home: Home,
    /// The broker's program; see [`super::binary::resolve`].
    pub program: PathBuf,
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// URL of the database that holds the log.
    pub storage_url: String,
}

/// A running broker.
#[derive(Debug)]
pub struct Broker {
    supervisor: Supervisor,
    port: u16,
}

impl Broker {
    /// Starts the broker. The caller holds the lock of the state folder and
    /// the database serves.
    ///
    /// # Errors
    /// One line: the port is taken, or the broker's last words.
    pub async fn start(config: BrokerConfig) -> Result<Self, EngineError> {
        let port = config.port;
        let log = LogFile::new(config.home.log("broker"));
        let supervisor = Supervisor::start(Server { config, log }).await?;
        Ok(Self { supervisor, port })
    }

    /// Address for Kafka clients.
    pub fn bootstrap(&self) -> String {
        bootstrap(self.port)
    }

    /// Process id of the broker.
    pub fn process_id(&self) -> Option<i32> {
        self.supervisor.child_id()
    }

    /// How it is doing; see [`super::supervisor::given_up`].
    pub fn state(&self) -> watch::Receiver<EngineState> {
        self.supervisor.state()
    }

    /// Makes sure every topic exists; see [`topics::ensure`].
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn ensure_topics(&self, wanted: &[Topic<'_>]) -> Result<(), EngineError> {
        topics::ensure(&self.bootstrap(), wanted).await
    }

    /// Stops the broker.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }
}

/// Ends a broker left behind by a killed shop of this state folder, at once: its
/// log lies in the database, and without that it only waits.
pub async fn stop_leftovers(home: &Home) {
    for pid in leftovers(&cluster_id(home)) {
        tracing::warn!(pid, "ending a broker left behind");
        process::end(pid, &[]).await;
    }
}

fn bootstrap(port: u16) -> String {
    // The address, not the name: the broker listens on version 4 only.
    format!("{}:{port}", Ipv4Addr::LOCALHOST)
}

/// One per state folder, so that its processes can be told from others'.
fn cluster_id(home: &Home) -> String {
    format!("bellavista-{}", home.id())
}

fn leftovers(cluster: &str) -> Vec<i32> {
    process::all_ids()
        .into_iter()
        .filter(|pid| process::name(*pid).is_some_and(|name| name.starts_with("nisshi")))
        .filter(|pid| process::arguments(*pid).iter().any(|argument| argument == cluster))
        .collect()
}

struct Server {
    config: BrokerConfig,
    log: LogFile,
}

impl Engine for Server {
    fn name(&self) -> &'static str {
        "the broker"
    }

    fn command(&self) -> Command {
        let address = format!("tcp://{}", bootstrap(self.config.port));
        let mut command = Command::new(&self.config.program);
        command
            .arg("broker")
            .args(["--cluster-id", &cluster_id(&self.config.home)])
            .args(["--listener-url", &address])
            .args(["--advertised-listener-url", &address])
            .args(["--group-initial-rebalance-delay", "0s"])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("RUST_LOG", "warn")
            // Not an argument: everybody may read those, and it holds the password.
            .env("STORAGE_ENGINE", &self.config.storage_url)
            .current_dir(self.config.home.root());
        command
    }

    fn log(&self) -> &LogFile {
        &self.log
    }

    fn stop_plan(&self) -> &'static [(Signal, Duration)] {
        STOP_PLAN
    }

    fn ready_deadline(&self) -> Duration {
        READY_DEADLINE
    }

    async fn mend(&self) -> Result<(), EngineError> {
        stop_leftovers(&self.config.home).await;
        ports::ensure_free(self.config.port, "broker")
    }

    async fn ready(&self) -> Result<bool, EngineError> {
        // The client waits long between its attempts; a bare connection tells
        // sooner when one is worth while.
        if TcpStream::connect((Ipv4Addr::LOCALHOST, self.config.port)).await.is_err() {
            return Ok(false);
        }
        answers_metadata(bootstrap(self.config.port)).await
    }
}

/// Whether a Kafka client gets the list of topics.
async fn answers_metadata(servers: String) -> Result<bool, EngineError> {
    let asked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("client.id", "readiness")
            .set("reconnect.backoff.ms", "20")
            .create()?;
        Ok(client.fetch_metadata(None, METADATA_TIMEOUT).is_ok())
    })
    .await;
    match asked {
        Ok(answer) => answer.map_err(EngineError::log("make a Kafka client")),
        Err(error) => Err(EngineError::Failed {
            engine: "the broker",
            reason: format!("check failed: {error}"),
        }),
    }
}
