//! Runs an assembly: servers, relays, consumers, tasks; ready, drain, stop.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::Context as _;
use contracts::graph::SUBGRAPHS_PATH;
use platform::config::{Config, EngineMode};
use platform::consumer::Consumer;
use platform::consumer::faults::Faults;
use platform::engines::home::Home;
use platform::engines::postgres::Endpoint;
use platform::lifecycle::Lifecycle;
use platform::news::News;
use platform::service::Service;
use sqlx::postgres::PgConnectOptions;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::assembly::{Assembly, mounted};
use crate::targets::{self, Target};

/// Where each schema of `targets` is, from the configuration.
pub async fn databases(
    config: &Config,
    targets: &[&Target],
) -> anyhow::Result<HashMap<String, PgConnectOptions>> {
    let database = &config.ground.database;
    let mut found = HashMap::new();
    let endpoint = match database.mode {
        EngineMode::Embedded => {
            let home = Home::open(&config.ground.home)?;
            Some(Endpoint::of(&home, database.port).await?)
        }
        EngineMode::External => None,
    };
    for target in targets.iter().filter(|t| t.needs_database()) {
        let schema = target.schema();
        let options = match &endpoint {
            Some(endpoint) => endpoint.service_options(&schema)?,
            None => {
                let url = database.url.replace("{service}", &schema);
                url.parse().context("database.url")?
            }
        };
        found.insert(schema, options);
    }
    Ok(found)
}

/// Builds `targets` and runs them until the lifecycle drains. `ready` is called
/// once every port is open.
pub async fn run(
    config: Config,
    targets: &[&'static Target],
    lifecycle: Lifecycle,
    ready: impl AsyncFnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    // First of all: what services show from the start is shown to somebody.
    platform::health::install_metrics()?;
    let databases = databases(&config, targets).await?;
    let mut assembly = Assembly::new(config.clone(), lifecycle.clone(), databases);
    for target in targets {
        (target.build)(&mut assembly).with_context(|| format!("building {}", target.name))?;
    }
    let alone = !targets.iter().any(|t| t.name == "gateway");
    platform::telemetry::start(&config.ground.telemetry, &lifecycle)?;
    let health = platform::health::Health::new(lifecycle.clone());
    let mut servers = std::mem::take(&mut assembly.servers);
    if alone && let Some(router) = all_routes(&assembly.services, &lifecycle) {
        servers.push(("services", config.ground.http.socket(), router));
    }
    let internal =
        health.router()?.merge(subgraphs(&assembly.services)).merge(assembly.remote_subgraphs);
    let (serving, mut all_served) = mpsc::channel::<()>(1);
    for (name, address, router) in servers {
        let end = lifecycle.soft_token().cancelled_owned();
        serve_http(&lifecycle, name, address, router, end, serving.clone()).await?;
    }
    drop(serving);
    // The graph asks its parts here until its last answer is out.
    let soft = lifecycle.soft_token();
    let end = async move {
        soft.cancelled().await;
        all_served.recv().await;
    };
    serve_http(&lifecycle, "internal", config.ground.internal.socket(), internal, end, ()).await?;
    let verifier_services = std::mem::take(&mut assembly.services);
    let news = publishes_alone(&config, targets).then(News::default);
    start_services(&config, &lifecycle, &health, verifier_services, news).await?;
    health.started();
    ready().await?;
    lifecycle.draining().await;
    let outcome = lifecycle.stop(config.ground.lifecycle.drain()).await;
    outcome.map_err(|failure| anyhow::anyhow!(failure))
}

/// Whether everything that publishes to the event log runs in this process.
fn publishes_alone(config: &Config, targets: &[&'static Target]) -> bool {
    config.ground.broker.mode == EngineMode::Embedded
        && targets::TARGETS
            .iter()
            .filter(|t| t.in_all && t.needs.contains(&targets::Need::Events))
            .all(|t| targets.iter().any(|here| here.name == t.name))
}

/// Without a gateway in the process, the services' own port serves them all.
fn all_routes(services: &[Service], lifecycle: &Lifecycle) -> Option<axum::Router> {
    let routes: Vec<_> = services.iter().map(|s| (s.name, mounted(s).0)).collect();
    (!routes.is_empty()).then(|| gateway::without_front(routes, lifecycle.clone()))
}

/// Every service's part of the graph, for the federation router; each verifies
/// the caller itself.
fn subgraphs(services: &[Service]) -> axum::Router {
    services
        .iter()
        .filter_map(|service| service.graph.clone())
        .fold(axum::Router::new(), |all, subgraph| {
            all.nest(&format!("{SUBGRAPHS_PATH}/{}", subgraph.name), subgraph.router)
        })
}

/// Serves until `end`, and keeps `held` until the last request is answered.
async fn serve_http(
    lifecycle: &Lifecycle,
    name: &'static str,
    address: SocketAddr,
    router: axum::Router,
    end: impl Future<Output = ()> + Send + 'static,
    held: impl Send + 'static,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ({name})"))?;
    lifecycle.spawn(format!("http {name}"), async move {
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service).with_graceful_shutdown(end).await?;
        drop(held);
        Ok(())
    });
    Ok(())
}

async fn start_services(
    config: &Config,
    lifecycle: &Lifecycle,
    health: &platform::health::Health,
    services: Vec<Service>,
    news: Option<News>,
) -> anyhow::Result<()> {
    let mut grpc = platform::grpc::server::Routes::new(contracts::generated::DESCRIPTORS)?;
    for service in services {
        let ctx = service.ctx;
        health.database(ctx.service, ctx.pool.clone());
        for mount in service.grpc {
            grpc.mount(ctx.service, mount);
        }
        let mut relay = platform::outbox::relay::Relay::new(ctx.clone(), &config.ground.broker)?
            .waking(service.wakes);
        if let Some(news) = &news {
            relay = relay.telling(news.clone());
        }
        lifecycle.spawn(format!("{} relay", ctx.service), relay.run());
        if let Some(consumer) = service.consumer {
            let consumer = with_faults(config, consumer)?;
            let mut runner = platform::consumer::runner::Runner::new(
                ctx.clone(),
                consumer,
                &config.ground.broker,
            )?;
            if let Some(news) = &news {
                runner = runner.resting(news.clone());
            }
            health.consumer(ctx.service, runner.health());
            lifecycle.spawn(format!("{} consumer", ctx.service), runner.run());
        }
        for (name, task) in service.tasks {
            lifecycle.spawn(format!("{} {name}", ctx.service), task);
        }
    }
    if !grpc.is_empty() {
        let address = config.ground.grpc.socket();
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} (gRPC)"))?;
        lifecycle.spawn("grpc", grpc.serve(listener, lifecycle.soft_token()));
    }
    Ok(())
}

/// `[faults]`: what fails on purpose.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultSettings {
    consumer: String,
    poison: u32,
    transient: u32,
}

/// The consumer, failing when it is the one of the drill. Outside demo mode a
/// drill is refused.
fn with_faults(config: &Config, consumer: Consumer) -> anyhow::Result<Consumer> {
    let faults: FaultSettings = config.section("faults")?;
    if faults.consumer.is_empty() {
        return Ok(consumer);
    }
    let demo: bool = config.section("demo.enabled")?;
    anyhow::ensure!(demo, "faults.consumer: drills are for demo mode only");
    if faults.consumer != consumer.name {
        return Ok(consumer);
    }
    tracing::warn!(consumer = consumer.name, "a drill: this consumer fails on purpose");
    Ok(consumer.failing(Faults::new(faults.poison, faults.transient)))
}

/// Migrates the schemas of `targets`, all at once.
pub async fn migrate(config: &Config, targets: &[&'static Target]) -> anyhow::Result<()> {
    let databases = databases(config, targets).await?;
    let work = databases.into_iter().map(|(schema, options)| async move {
        use sqlx::Connection;
        let named = || format!("migrating {schema}");
        let mut connection =
            sqlx::PgConnection::connect_with(&options).await.with_context(named)?;
        platform::db::migrate(&mut connection, migrations(&schema)?).await.with_context(named)?;
        Ok::<_, anyhow::Error>(())
    });
    futures_util::future::try_join_all(work).await?;
    Ok(())
}

fn migrations(schema: &str) -> anyhow::Result<&'static sqlx::migrate::Migrator> {
    Ok(match schema {
        "identity" => &identity::MIGRATIONS,
        "inventory" => &inventory::MIGRATIONS,
        "catalog" => &catalog::MIGRATIONS,
        "cart" => &cart::MIGRATIONS,
        "payments" => &payments::MIGRATIONS,
        "payment_simulator" => &payments::simulator::MIGRATIONS,
        "orders" => &orders::MIGRATIONS,
        "notifications" => &notifications::MIGRATIONS,
        "operations" => &operations::MIGRATIONS,
        other => anyhow::bail!("no migrations for {other}"),
    })
}

/// Into how many partitions a new topic is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitions {
    /// As its declaration says.
    Declared,
    /// One: a single process reads them all, and the embedded broker stores and
    /// fetches each partition by itself.
    One,
}

/// Creates every topic that is missing.
pub async fn create_topics(bootstrap: &str, split: Partitions) -> anyhow::Result<()> {
    let all = contracts::topics::all(&targets::consumers());
    let kept: Vec<String> = all.iter().map(|(_, _, ms)| ms.to_string()).collect();
    let settings: Vec<[(&str, &str); 1]> =
        kept.iter().map(|ms| [("retention.ms", ms.as_str())]).collect();
    let wanted: Vec<_> = all
        .iter()
        .zip(&settings)
        .map(|((name, partitions, _), config)| platform::engines::broker::topics::Topic {
            name,
            partitions: if split == Partitions::One { 1 } else { *partitions },
            config,
        })
        .collect();
    Ok(platform::engines::broker::topics::ensure(bootstrap, &wanted).await?)
}

/// The broker's address from the configuration.
pub fn bootstrap(config: &Config) -> String {
    let broker = &config.ground.broker;
    match broker.mode {
        EngineMode::Embedded => format!("127.0.0.1:{}", broker.port),
        EngineMode::External => broker.bootstrap.clone(),
    }
}
