//! The federation router as a child: one graph over many subgraphs.
//!
//! It is stateless. Who asks reaches it through the gateway only; it listens on
//! the loopback interface.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::process::Command;
use tokio::sync::watch;

use super::home::{Home, create_private_dir, write_private};
use super::process::{self, LogFile};
use super::supervisor::{Engine, EngineState, Supervisor};
use super::{EngineError, ports};

const STOP_PLAN: &[(Signal, Duration)] = &[(Signal::SIGTERM, Duration::from_secs(3))];
const READY_DEADLINE: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const PULSE_EVERY: Duration = Duration::from_secs(2);
/// What is the same in every installation.
const SETTINGS: &str = include_str!("../../../engines/graphql/router.yaml");
/// The folder below the state folder that holds the router's two files.
const FOLDER: &str = "router";

/// What the router needs to know.
#[derive(Debug, Clone)]
pub struct RouterConfig {
    /// The state folder.
    pub home: Home,
    /// The router's program; see [`super::binary::resolve`].
    pub program: PathBuf,
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// The composed schema.
    pub supergraph: &'static str,
    /// Where each subgraph answers, by its name.
    pub subgraphs: BTreeMap<String, String>,
    /// Whether the schema and plans may be asked for.
    pub introspection: bool,
}

/// A running router.
#[derive(Debug)]
pub struct Router {
    supervisor: Supervisor,
}

impl Router {
    /// Starts the router and waits until it serves. The caller holds the lock
    /// of the state folder. Subgraphs may come later: one that is away is an
    /// error of its fields only.
    ///
    /// # Errors
    /// One line: the port is taken, or the router's last words.
    pub async fn start(config: RouterConfig) -> Result<Self, EngineError> {
        let log = LogFile::new(config.home.log("router"));
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build().map_err(
            |error| EngineError::Failed {
                engine: "the router",
                reason: format!("check failed: {error}"),
            },
        )?;
        let server = Server { config, log, client };
        server.write_settings()?;
        Ok(Self { supervisor: Supervisor::start(server).await? })
    }

    /// Process id of the router.
    pub fn process_id(&self) -> Option<i32> {
        self.supervisor.child_id()
    }

    /// How it is doing; see [`super::supervisor::given_up`].
    pub fn state(&self) -> watch::Receiver<EngineState> {
        self.supervisor.state()
    }

    /// Stops the router.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }
}

/// Ends a router left behind by a killed shop of this state folder.
pub async fn stop_leftovers(home: &Home) {
    let folder = home.root().join(FOLDER);
    let ours = |pid: &i32| {
        process::name(*pid).is_some_and(|name| name.starts_with("hive"))
            && process::working_dir(*pid).is_some_and(|place| place == folder)
    };
    for pid in process::all_ids().into_iter().filter(ours) {
        tracing::warn!(pid, "ending a router left behind");
        process::end(pid, STOP_PLAN).await;
    }
}

fn settings_file(home: &Home) -> PathBuf {
    home.root().join(FOLDER).join("router.yaml")
}

/// The complete settings: the common ones and those of this start. A line of
/// JSON is YAML, too.
fn settings(config: &RouterConfig, supergraph: &std::path::Path) -> String {
    let urls: serde_json::Map<String, serde_json::Value> =
        config.subgraphs.iter().map(|(name, url)| (name.clone(), json!({ "url": url }))).collect();
    let own = [
        ("http", json!({ "host": Ipv4Addr::LOCALHOST.to_string(), "port": config.port })),
        ("supergraph", json!({ "source": "file", "path": supergraph.display().to_string() })),
        ("override_subgraph_urls", json!({ "subgraphs": urls })),
        ("introspection", json!(config.introspection)),
        ("query_planner", json!({ "allow_expose": config.introspection })),
    ];
    let lines: String = own.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    format!("{SETTINGS}\n{lines}")
}

struct Server {
    config: RouterConfig,
    log: LogFile,
    client: reqwest::Client,
}

impl Server {
    fn write_settings(&self) -> Result<(), EngineError> {
        let folder = self.config.home.root().join(FOLDER);
        create_private_dir(&folder)?;
        let supergraph = folder.join("supergraph.graphql");
        write_private(&supergraph, self.config.supergraph)?;
        write_private(&settings_file(&self.config.home), &settings(&self.config, &supergraph))
    }

    async fn answers(&self, path: &str) -> bool {
        let address = format!("http://{}:{}{path}", Ipv4Addr::LOCALHOST, self.config.port);
        let answer = self.client.get(address).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }
}

impl Engine for Server {
    fn name(&self) -> &'static str {
        "the router"
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.config.program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("ROUTER_CONFIG_FILE_PATH", settings_file(&self.config.home))
            // By this folder one that was left behind is known.
            .current_dir(self.config.home.root().join(FOLDER));
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
        ports::ensure_free(self.config.port, "federation router")
    }

    async fn ready(&self) -> Result<bool, EngineError> {
        Ok(self.answers("/readiness").await)
    }

    fn pulse_every(&self) -> Option<Duration> {
        Some(PULSE_EVERY)
    }

    async fn pulse(&self) -> bool {
        self.answers("/health").await
    }
}
