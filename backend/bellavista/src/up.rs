//! `bellavista up`: the whole shop on this machine, from nothing to open.
//!
//! Order: lock the state folder → database → schemas → event log → topics →
//! services → demo data → say where everything is. Stopping goes the other way
//! round. What a killed shop left behind is ended before its successor starts.

mod addresses;
mod console;
mod demo;
mod detach;
mod down;
mod engines;
mod logs;
mod router;
mod split;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use platform::config::{Config, EngineMode};
use platform::engines::binary::Sources;
use platform::engines::broker::{Broker, BrokerConfig};
use platform::engines::home::Home;
use platform::engines::postgres::{self, BROKER_DATABASE, BROKER_ROLE, Postgres, PostgresConfig};
use platform::engines::process::LogFile;
use platform::engines::{Progress, binary, pins, ports, supervisor};
use platform::lifecycle::Lifecycle;
use tokio::signal::unix::{SignalKind, signal};

use crate::runner::Partitions;
use crate::settings::{self, Flags};
use crate::targets::{self, Target};
use crate::{commands, runner};

use console::Console;

pub use addresses::{open_port, urls};
pub use down::down;
pub use engines::engines;
pub use logs::{Args as LogsArgs, logs};

/// Connections beyond the pools: 16 of the event log, and some for people,
/// commands and migrations.
const FURTHER_CONNECTIONS: u32 = 48;

/// The state folder says which public port the shop has while it is open.
const ADDRESSES: &str = "addresses";

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Start in the background and return once the shop is open.
    #[arg(short, long)]
    pub detach: bool,
    /// Forget all state first: orders, accounts, events.
    #[arg(long)]
    pub fresh: bool,
    /// No demo products and accounts, no payment simulator.
    #[arg(long)]
    pub no_demo: bool,
    /// Each service as a process of its own, orders and inventory twice.
    #[arg(long)]
    pub split: bool,
    /// Set by `--detach` for the process in the background.
    #[arg(long, hide = true)]
    pub detached: bool,
    #[command(flatten)]
    pub engines: EngineArgs,
}

/// Where engine programs are looked for.
#[derive(Debug, Clone, clap::Args)]
pub struct EngineArgs {
    /// Folder with prebuilt engines, which saves building them.
    #[arg(long, env = "BV_ENGINE_CACHE", value_name = "DIR")]
    engine_cache: Option<PathBuf>,
    /// Folder for engines and tools, shared by all checkouts.
    #[arg(long, env = "BV_CACHE", value_name = "DIR")]
    cache: Option<PathBuf>,
    #[arg(long, env = "XDG_CACHE_HOME", hide = true)]
    xdg_cache: Option<PathBuf>,
    #[arg(long, env = "HOME", hide = true)]
    user_home: Option<PathBuf>,
}

impl EngineArgs {
    fn sources(&self) -> anyhow::Result<Sources> {
        let under = |base: &PathBuf| base.join("bellavista");
        let cache = self
            .cache
            .clone()
            .or_else(|| self.xdg_cache.as_ref().filter(|dir| dir.is_absolute()).map(under))
            .or_else(|| self.user_home.as_ref().map(|home| home.join(".cache/bellavista")))
            .context("neither BV_CACHE nor HOME says where to keep engines")?;
        Ok(Sources { cache, archives: self.engine_cache.clone() })
    }
}

/// The configuration of `up`: demo mode is on unless refused.
pub fn load(args: &Args, flags: &Flags) -> anyhow::Result<Config> {
    let mut command = format!("[demo]\nenabled = {}\n", !args.no_demo);
    if args.split {
        let public = settings::load_with(flags, &command)?.ground.http.port;
        command.push_str(&split::overrides(&split::parts(public)?));
    }
    Ok(settings::load_with(flags, &command)?)
}

/// Runs the shop until it is asked to stop.
pub async fn run(args: Args, config: Config, flags: &Flags) -> anyhow::Result<()> {
    let home = Home::open(&config.ground.home)?;
    if args.detach && !args.detached {
        return detach::run(&args, flags, &home).await;
    }
    if args.detached {
        detach::leave_terminal()?;
    }
    let console = Console::new();
    let _lock = home.lock()?;
    platform::logging::install_to(&config.ground.log, LogFile::new(home.log("bellavista")))?;
    let lifecycle = Lifecycle::new();
    commands::serve::drain_on_signal(&lifecycle)?;
    drain_on_hangup(&lifecycle)?;
    if args.fresh {
        console.say("forgetting all state");
        wipe(&home).await?;
    }
    let flags = flags.clone();
    let shop = Shop { args, flags, config, home, lifecycle, console: Arc::new(console) };
    let outcome = shop.open_until_stopped().await;
    if outcome.is_ok() {
        shop.console.say("stopped");
    }
    outcome
}

/// The children, as far as they are started.
#[derive(Default)]
struct Children {
    postgres: Option<Postgres>,
    broker: Option<Broker>,
    /// The federation router's task, which the gateway needs to its last answer.
    router: Lifecycle,
    /// Services, when each has a process of its own.
    services: Vec<supervisor::Supervisor>,
}

struct Shop {
    args: Args,
    flags: Flags,
    config: Config,
    home: Home,
    lifecycle: Lifecycle,
    console: Arc<Console>,
}

impl Shop {
    async fn open_until_stopped(&self) -> anyhow::Result<()> {
        let mut children = Children::default();
        let outcome = self.run_with(&mut children).await;
        if let Err(error) = &outcome {
            // Who asked may have gone; the log is where one looks later.
            tracing::error!(error = format!("{error:#}"), "the shop ends");
        }
        if children.postgres.is_some() {
            self.console.say("stopping");
        }
        // Also after a failed start: tasks may run already.
        let patience = self.config.ground.lifecycle.drain();
        let drained = self.lifecycle.stop(patience).await;
        let drained = drained.and(children.router.stop(patience).await);
        // Also one that was only starting.
        platform::engines::router::stop_leftovers(&self.home).await;
        // Absent when the shop never opened.
        let _ = std::fs::remove_file(self.home.run_file(ADDRESSES));
        let services = std::mem::take(&mut children.services);
        futures_util::future::join_all(services.into_iter().map(|service| service.stop())).await;
        if let Some(broker) = children.broker.take() {
            broker.stop().await;
        }
        if let Some(postgres) = children.postgres.take() {
            postgres.stop().await;
        }
        outcome.and(drained.map_err(|failure| anyhow::anyhow!(failure)))
    }

    async fn run_with(&self, children: &mut Children) -> anyhow::Result<()> {
        self.check_ports()?;
        let targets = self.targets()?;
        self.start_engines(&targets, children).await?;
        if self.lifecycle.is_draining() {
            return Ok(());
        }
        self.console.say("starting services");
        let config = self.config.clone();
        let mine = if self.args.split {
            self.start_services(children).await?;
            targets::select(if self.demo() { "gateway,payment-simulator" } else { "gateway" })?
        } else {
            targets
        };
        self.federation(&children.router)?.spawn();
        runner::run(config, &mine, self.lifecycle.clone(), async || self.opened().await).await
    }

    async fn start_services(&self, children: &mut Children) -> anyhow::Result<()> {
        let parts = split::parts(self.config.ground.http.port)?;
        children.services = split::start(&parts, &self.config, &self.home, &self.flags).await?;
        for (service, part) in children.services.iter().zip(&parts) {
            self.stop_when_given_up(part.target, service.state());
        }
        Ok(())
    }

    fn federation(&self, lifecycle: &Lifecycle) -> anyhow::Result<router::Federation> {
        Ok(router::Federation {
            config: self.config.clone(),
            home: self.home.clone(),
            lifecycle: lifecycle.clone(),
            sources: self.args.engines.sources()?,
            progress: self.progress(),
            subgraphs: router::subgraphs(&self.config),
        })
    }

    fn demo(&self) -> bool {
        !self.args.no_demo
    }

    fn targets(&self) -> anyhow::Result<Vec<&'static Target>> {
        targets::select(if self.demo() { "all,payment-simulator" } else { "all" })
    }

    /// Says early which port is taken and by whom; the engines' ports are
    /// looked at when their leftovers are gone.
    fn check_ports(&self) -> anyhow::Result<()> {
        let ground = &self.config.ground;
        ports::ensure_free(ground.http.port, "storefront and API")?;
        ports::ensure_free(ground.grpc.port, "gRPC")?;
        ports::ensure_free(ground.internal.port, "health and metrics")?;
        if self.demo() {
            ports::ensure_free(addresses::simulator_port(&self.config)?, "payment simulator")?;
        }
        Ok(())
    }

    async fn start_engines(
        &self,
        targets: &[&'static Target],
        children: &mut Children,
    ) -> anyhow::Result<()> {
        let program = async {
            match self.config.ground.broker.mode {
                EngineMode::Embedded => self.broker_program().await,
                EngineMode::External => Ok(None),
            }
        };
        let database = self.start_database(&mut children.postgres);
        let (program, prepared) = tokio::join!(program, database);
        prepared?;
        if self.lifecycle.is_draining() {
            return Ok(());
        }
        let Some(program) = program? else {
            runner::migrate(&self.config, targets).await?;
            return runner::create_topics(&runner::bootstrap(&self.config), Partitions::Declared)
                .await;
        };
        self.console.say("starting the event log, bringing schemas up to date");
        let broker = async {
            let storage_url = match &children.postgres {
                Some(postgres) => postgres.endpoint().socket_url(BROKER_ROLE, BROKER_DATABASE)?,
                None => anyhow::bail!(
                    "broker.mode = \"embedded\" needs database.mode = \"embedded\": its log lies there"
                ),
            };
            let config = BrokerConfig {
                home: self.home.clone(),
                program,
                port: self.config.ground.broker.port,
                storage_url,
            };
            Ok(Broker::start(config).await?)
        };
        let (broker, migrated) = tokio::join!(broker, runner::migrate(&self.config, targets));
        let broker = children.broker.insert(broker?);
        migrated?;
        if let Some(postgres) = &children.postgres {
            postgres.lighten_broker().await?;
        }
        self.stop_when_given_up("event log", broker.state());
        let partitions = if self.args.split { Partitions::Declared } else { Partitions::One };
        runner::create_topics(&broker.bootstrap(), partitions).await
    }

    async fn start_database(&self, slot: &mut Option<Postgres>) -> anyhow::Result<()> {
        if self.config.ground.database.mode == EngineMode::External {
            return Ok(());
        }
        self.console.say("starting PostgreSQL");
        let schemas = targets::schemas();
        let further = if self.args.split { split::further_pools() } else { 0 };
        let pools =
            (u32::try_from(schemas.len())? + further) * self.config.ground.database.pool_size;
        let config = PostgresConfig {
            home: self.home.clone(),
            port: self.config.ground.database.port,
            max_connections: u16::try_from(pools + FURTHER_CONNECTIONS)
                .context("database.pool_size is too large")?,
            progress: self.progress(),
        };
        let postgres = slot.insert(Postgres::start(config).await?);
        self.stop_when_given_up("database", postgres.state());
        let names: Vec<&str> = schemas.iter().map(String::as_str).collect();
        Ok(postgres.ensure_services(&names).await?)
    }

    /// The broker's program, or nothing when the wait for it was broken off.
    async fn broker_program(&self) -> anyhow::Result<Option<PathBuf>> {
        let pin = pins::pin("broker")?;
        let sources = self.args.engines.sources()?;
        let progress = self.progress();
        tokio::select! {
            program = binary::resolve(&pin, &sources, &progress) => Ok(Some(program?)),
            () = self.lifecycle.draining() => Ok(None),
        }
    }

    /// An engine that cannot be kept alive ends the shop, with the reason.
    fn stop_when_given_up(
        &self,
        name: &str,
        state: tokio::sync::watch::Receiver<supervisor::EngineState>,
    ) {
        let house = self.lifecycle.clone();
        self.lifecycle.spawn(name, async move {
            tokio::select! {
                reason = supervisor::given_up(state) => Err(anyhow::anyhow!(reason)),
                () = house.draining() => Ok(()),
            }
        });
    }

    fn progress(&self) -> Progress {
        let console = self.console.clone();
        Progress::new(move |line| console.say(line))
    }

    async fn opened(&self) -> anyhow::Result<()> {
        if self.demo() {
            tokio::select! {
                seeded = demo::ensure(&self.config, &self.home, &self.console) => seeded?,
                () = self.lifecycle.draining() => return Ok(()),
            }
        }
        let addresses = addresses::list(&self.config, self.demo())?;
        std::fs::write(self.home.run_file(ADDRESSES), addresses::lines(&addresses))
            .context("noting the addresses in the state folder")?;
        self.console.open(&self.config, self.demo(), self.args.detached);
        Ok(())
    }
}

/// A terminal that is closed stops its shop in order.
fn drain_on_hangup(lifecycle: &Lifecycle) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let house = lifecycle.clone();
    lifecycle.spawn("hang-up", async move {
        tokio::select! {
            _ = hangup.recv() => house.drain(),
            () = house.draining() => {}
        }
        Ok(())
    });
    Ok(())
}

/// Removes everything but the lock and the folder's own id.
async fn wipe(home: &Home) -> anyhow::Result<()> {
    split::stop_leftovers(home).await;
    platform::engines::router::stop_leftovers(home).await;
    platform::engines::broker::stop_leftovers(home).await;
    postgres::wipe(home).await?;
    for entry in std::fs::read_dir(home.root()).context("reading the state folder")? {
        let path = entry?.path();
        let kept = path.ends_with("run") || path.ends_with("id");
        if kept {
            continue;
        }
        let removed = if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.with_context(|| format!("removing {}", path.display()))?;
    }
    Home::open(home.root())?;
    Ok(())
}
