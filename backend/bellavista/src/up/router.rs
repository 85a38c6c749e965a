//! The federation router: started beside the shop, which opens without it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use contracts::graph::SUBGRAPHS_PATH;
use platform::config::{Config, EngineMode};
use platform::engines::binary::{self, Sources};
use platform::engines::home::Home;
use platform::engines::router::{Router, RouterConfig};
use platform::engines::{Progress, pins, supervisor};
use platform::lifecycle::Lifecycle;

/// How long to leave it alone when it could not be started or kept alive.
const PAUSE: Duration = Duration::from_secs(30);

/// What the router's task needs.
pub struct Federation {
    pub config: Config,
    pub home: Home,
    /// Its own: it ends when the gateway has answered everybody.
    pub lifecycle: Lifecycle,
    pub sources: Sources,
    pub progress: Progress,
    /// Where each subgraph answers.
    pub subgraphs: BTreeMap<String, String>,
}

impl Federation {
    /// Keeps a router alive until the drain. It may have to be built first, and
    /// may fail: only `/graphql` waits for it.
    pub fn spawn(self) {
        if self.config.ground.federation.mode == EngineMode::External {
            return;
        }
        let lifecycle = self.lifecycle.clone();
        lifecycle.spawn("federation router", async move {
            while !self.lifecycle.is_draining() {
                if let Err(error) = self.keep().await {
                    tracing::error!(%error, "the federation router is away");
                    self.progress.say(format!("/graphql is away: {error}"));
                }
                if !self.lifecycle.sleep(PAUSE).await {
                    break;
                }
            }
            Ok(())
        });
    }

    /// One router until the drain, or until it cannot be kept alive.
    async fn keep(&self) -> anyhow::Result<()> {
        let Some(program) = self.program().await? else { return Ok(()) };
        let config = RouterConfig {
            home: self.home.clone(),
            program,
            port: self.config.ground.federation.port,
            supergraph: contracts::graph::SUPERGRAPH,
            subgraphs: self.subgraphs.clone(),
            introspection: self.explorable()?,
        };
        let router = tokio::select! {
            router = Router::start(config) => router?,
            () = self.lifecycle.draining() => return Ok(()),
        };
        tracing::info!("the federation router serves");
        tokio::select! {
            reason = supervisor::given_up(router.state()) => Err(anyhow::anyhow!(reason)),
            () = self.lifecycle.draining() => {
                router.stop().await;
                Ok(())
            }
        }
    }

    async fn program(&self) -> anyhow::Result<Option<PathBuf>> {
        let pin = pins::pin("router")?;
        tokio::select! {
            program = binary::resolve(&pin, &self.sources, &self.progress) => Ok(Some(program?)),
            () = self.lifecycle.draining() => Ok(None),
        }
    }

    fn explorable(&self) -> anyhow::Result<bool> {
        let demo: bool = self.config.section("demo.enabled")?;
        let wanted: bool = self.config.section("gateway.graphql.introspection")?;
        Ok(demo || wanted)
    }
}

/// Every subgraph at the internal port of this process, which has it or knows who does.
pub fn subgraphs(config: &Config) -> BTreeMap<String, String> {
    let base = format!("http://127.0.0.1:{}{SUBGRAPHS_PATH}", config.ground.internal.port);
    let here = |name: String| {
        let url = format!("{base}/{name}");
        (name, url)
    };
    subgraph_names().map(here).collect()
}

/// The names of the subgraphs that the supergraph is made of.
pub fn subgraph_names() -> impl Iterator<Item = String> {
    const MARK: &str = "@join__graph(name: \"";
    let lines = contracts::graph::SUPERGRAPH.lines();
    lines.filter_map(|line| line.split_once(MARK)?.1.split('"').next().map(str::to_owned))
}
