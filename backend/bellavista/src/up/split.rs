//! `up --split`: every service in a process of its own, orders and inventory
//! twice, the way they run when scaled. This process keeps the engines, the
//! gateway and the payment simulator, and starts again whatever service dies.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::signal::Signal;
use platform::auth::KeyRing;
use platform::config::Config;
use platform::crypto::ColumnCipher;
use platform::engines::home::Home;
use platform::engines::process::{self, LogFile};
use platform::engines::supervisor::{Engine, Supervisor};
use platform::engines::{EngineError, ports};
use tokio::process::Command;

use crate::settings::Flags;
use crate::targets;

/// Services of which two run, to show that any instance may take any work.
const TWICE: &[&str] = &["inventory", "orders"];
/// How far the first service's port is from the public one; each has three.
const FIRST_PORT: u16 = 20;
const STOP_PLAN: &[(Signal, Duration)] = &[(Signal::SIGTERM, Duration::from_secs(12))];
const READY_DEADLINE: Duration = Duration::from_secs(60);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A service process and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub target: &'static str,
    /// 1, or 2 for the second of its kind.
    pub copy: u8,
    http: u16,
    grpc: u16,
    internal: u16,
}

/// Every service process for a shop whose public port is `public`.
pub fn parts(public: u16) -> anyhow::Result<Vec<Part>> {
    let mut next = public.checked_add(FIRST_PORT).context("the public port is too high")?;
    let mut parts = Vec::new();
    for target in targets::select("all")?.iter().filter(|target| target.needs_database()) {
        let copies = if TWICE.contains(&target.name) { 2 } else { 1 };
        for copy in 1..=copies {
            let name = target.name;
            parts.push(Part { target: name, copy, http: next, grpc: next + 1, internal: next + 2 });
            next = next.checked_add(3).context("the public port is too high")?;
        }
    }
    Ok(parts)
}

/// Settings of the gateway: where each service and its subgraph is.
pub fn overrides(parts: &[Part]) -> String {
    let table = |section: &str, port: fn(&Part) -> u16| {
        let line = |name| format!("{name} = \"{}\"\n", addresses(parts, name, port));
        let lines: String = names(parts).into_iter().map(line).collect();
        format!("[gateway.{section}]\n{lines}")
    };
    table("upstreams", |part| part.http) + &table("subgraphs", |part| part.internal)
}

/// How many pools run beside the ones of a single process.
pub fn further_pools() -> u32 {
    TWICE.len() as u32
}

fn names(parts: &[Part]) -> Vec<&'static str> {
    let mut names: Vec<_> = parts.iter().map(|part| part.target).collect();
    names.dedup();
    names
}

fn addresses(parts: &[Part], name: &str, port: fn(&Part) -> u16) -> String {
    let of = parts.iter().filter(|part| part.target == name);
    let all: Vec<String> = of.map(|part| format!("http://127.0.0.1:{}", port(part))).collect();
    all.join(",")
}

/// Starts every part and waits until all are ready.
pub async fn start(
    parts: &[Part],
    config: &Config,
    home: &Home,
    flags: &Flags,
) -> anyhow::Result<Vec<Supervisor>> {
    // Made here, once: ten processes that make a missing key each have another.
    KeyRing::load_or_create(&config.ground.auth.signing_key_file)?;
    ColumnCipher::load_or_create(&config.ground.auth.column_key_file)?;
    stop_leftovers(home).await;
    let program = std::env::current_exe().context("finding this program")?;
    let client = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build()?;
    let started = parts.iter().map(|part| {
        let process = Process {
            part: part.clone(),
            log: LogFile::new(home.log(&format!("{}-{}", part.target, part.copy))),
            program: program.clone(),
            arguments: arguments(part, home, flags),
            settings: settings(part, parts, config),
            client: client.clone(),
        };
        Supervisor::start(process)
    });
    let (mut running, mut failed) = (Vec::new(), None);
    for outcome in futures_util::future::join_all(started).await {
        match outcome {
            Ok(part) => running.push(part),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    let Some(error) = failed else { return Ok(running) };
    // Half a shop must not stay behind.
    futures_util::future::join_all(running.into_iter().map(Supervisor::stop)).await;
    Err(error.into())
}

/// Ends services that a killed shop of this state folder left behind.
pub async fn stop_leftovers(home: &Home) {
    let folder = home.root().display().to_string();
    let ours = |pid: &i32| {
        let arguments = process::arguments(*pid);
        let has = |word: &str| arguments.iter().any(|argument| argument == word);
        process::name(*pid).is_some_and(|name| name == "bellavista") && has("serve") && has(&folder)
    };
    let left = process::all_ids().into_iter().filter(ours);
    let end = left.map(|pid| async move { process::end(pid, STOP_PLAN).await });
    futures_util::future::join_all(end).await;
}

fn arguments(part: &Part, home: &Home, flags: &Flags) -> Vec<String> {
    let mut all = Vec::new();
    if let Some(config) = &flags.config {
        all.extend(["--config".to_owned(), config.display().to_string()]);
    }
    let home = home.root().display().to_string();
    all.extend(["--home".to_owned(), home, "serve".to_owned(), part.target.to_owned()]);
    all
}

/// The environment in which a part differs from the shop's own settings.
fn settings(part: &Part, parts: &[Part], config: &Config) -> Vec<(String, String)> {
    let ground = &config.ground;
    let mut all = vec![
        ("BV_HTTP__PORT".to_owned(), part.http.to_string()),
        ("BV_GRPC__PORT".to_owned(), part.grpc.to_string()),
        ("BV_INTERNAL__PORT".to_owned(), part.internal.to_string()),
        ("BV_BROKER__PORT".to_owned(), ground.broker.port.to_string()),
        ("BV_DATABASE__PORT".to_owned(), ground.database.port.to_string()),
        ("BV_LOG__FORMAT".to_owned(), "json".to_owned()),
    ];
    if let Ok(port) = config.section::<u16>("payment_simulator.port") {
        all.push(("BV_PAYMENT_SIMULATOR__PORT".to_owned(), port.to_string()));
    }
    if let Ok(demo) = config.section::<bool>("demo.enabled") {
        all.push(("BV_DEMO__ENABLED".to_owned(), demo.to_string()));
    }
    for name in ["inventory", "payments", "catalog", "cart"] {
        let key = format!("BV_PEERS__{}", name.to_ascii_uppercase());
        all.push((key, addresses(parts, name, |part| part.grpc)));
    }
    all
}

struct Process {
    part: Part,
    log: LogFile,
    program: PathBuf,
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
    client: reqwest::Client,
}

impl Engine for Process {
    fn name(&self) -> &'static str {
        self.part.target
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).envs(self.settings.iter().cloned());
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
        for port in [self.part.http, self.part.grpc, self.part.internal] {
            ports::ensure_free(port, self.part.target)?;
        }
        Ok(())
    }

    async fn ready(&self) -> Result<bool, EngineError> {
        let address = format!("http://127.0.0.1:{}/readyz", self.part.internal);
        let answer = self.client.get(address).send().await;
        Ok(answer.is_ok_and(|answer| answer.status().is_success()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_its_process_and_its_own_ports() {
        let parts = parts(9_000).unwrap();
        let mut ports: Vec<u16> =
            parts.iter().flat_map(|part| [part.http, part.grpc, part.internal]).collect();
        let count = ports.len();
        ports.dedup();
        assert_eq!(ports.len(), count);
        for name in TWICE {
            assert_eq!(parts.iter().filter(|part| part.target == *name).count(), 2, "{name}");
        }
        let toml = overrides(&parts);
        let orders = toml.lines().find(|line| line.starts_with("orders = ")).unwrap();
        assert_eq!(orders.matches("http://").count(), 2, "{orders}");
    }
}
