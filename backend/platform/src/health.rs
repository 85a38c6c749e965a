//! The internal router: `/livez`, `/readyz`, `/health`, `/metrics`.
//!
//! Alive means that the process answers. Ready means that it has started, that
//! it is not draining, and that every named check passes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode, header};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use sqlx::PgPool;

use crate::consumer::runner::ConsumerHealth;
use crate::lifecycle::Lifecycle;

const CHECK_LIMIT: Duration = Duration::from_secs(3);
/// Answers are kept this long, so that probes cannot load what they probe.
const KEPT: Duration = Duration::from_secs(1);
/// How often the metrics recorder tidies up.
const UPKEEP: Duration = Duration::from_secs(5);

/// When it was asked, and what it said.
type Kept = (Instant, Vec<Checked>);
type Ask = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// The health of one process. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    lifecycle: Lifecycle,
    started: Arc<AtomicBool>,
    checks: Arc<Mutex<BTreeMap<String, Ask>>>,
    last: Arc<Mutex<Option<Kept>>>,
}

/// What a check said.
#[derive(Clone, Debug, Serialize)]
struct Checked {
    name: String,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Checked>,
}

impl Health {
    pub fn new(lifecycle: Lifecycle) -> Self {
        Health { lifecycle, started: Arc::default(), checks: Arc::default(), last: Arc::default() }
    }

    /// Says that everything of this process runs; not ready before.
    pub fn started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// Adds a named check.
    pub fn check<F>(&self, name: impl Into<String>, ask: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let ask: Ask = Arc::new(move || Box::pin(ask()));
        lock(&self.checks).insert(name.into(), ask);
        *lock(&self.last) = None;
    }

    /// Checks that the database of `service` answers and is migrated.
    pub fn database(&self, service: &str, pool: PgPool) {
        let database = pool.clone();
        self.check(format!("database {service}"), move || {
            let pool = database.clone();
            async move { crate::db::ready(&pool).await }
        });
        self.check(format!("migrations {service}"), move || {
            let pool = pool.clone();
            async move { migrated(&pool).await }
        });
    }

    /// Checks that the broker answers the consumer of `service`.
    pub fn consumer(&self, service: &str, consumer: ConsumerHealth) {
        self.check(format!("broker {service}"), move || {
            let consumer = consumer.clone();
            async move { consumer.check().await }
        });
    }

    /// The internal routes. Installs the process's metrics recorder when that
    /// was not done before.
    pub fn router(&self) -> anyhow::Result<Router> {
        let metrics = install_metrics()?;
        let house = self.lifecycle.clone();
        let upkeep = metrics.clone();
        self.lifecycle.spawn("metrics upkeep", async move {
            while house.sleep(UPKEEP).await {
                upkeep.run_upkeep();
            }
            Ok(())
        });
        Ok(Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(readyz))
            .route("/health", get(readyz))
            .route("/metrics", get(move || async move { exposition(&metrics) }))
            .with_state(self.clone()))
    }

    /// Whether everything passes, and what each check said.
    async fn ask_all(&self) -> (bool, Vec<Checked>) {
        let kept = lock(&self.last).clone();
        let checked = match kept {
            Some((at, checked)) if at.elapsed() < KEPT => checked,
            _ => {
                let checks: Vec<(String, Ask)> =
                    lock(&self.checks).iter().map(|(n, a)| (n.clone(), a.clone())).collect();
                let asked = checks.into_iter().map(|(name, ask)| run_check(name, ask));
                let checked = futures_util::future::join_all(asked).await;
                *lock(&self.last) = Some((Instant::now(), checked.clone()));
                checked
            }
        };
        (checked.iter().all(|c| c.ok), checked)
    }
}

async fn run_check(name: String, ask: Ask) -> Checked {
    let result = match tokio::time::timeout(CHECK_LIMIT, ask()).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("no answer in {} s", CHECK_LIMIT.as_secs())),
    };
    let reason =
        result.err().map(|error| crate::consumer::runner::presentable(&format!("{error:#}")));
    Checked { name, ok: reason.is_none(), reason }
}

async fn migrated(pool: &PgPool) -> anyhow::Result<()> {
    let (applied, failed): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE success), count(*) FILTER (WHERE NOT success)
         FROM _sqlx_migrations",
    )
    .fetch_one(pool)
    .await
    .context("never migrated")?;
    anyhow::ensure!(applied > 0 && failed == 0, "{applied} migrations applied, {failed} failed");
    Ok(())
}

async fn readyz(
    State(health): State<Health>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    // `?verbose` and `?verbose=true` alike.
    let verbose = query.get("verbose").is_some_and(|v| v != "false");
    let (passed, checks) = health.ask_all().await;
    let status = match (health.lifecycle.is_draining(), health.started.load(Ordering::Acquire)) {
        (true, _) => "draining",
        (false, false) => "starting",
        (false, true) if passed => "ready",
        (false, true) => "not ready",
    };
    let code = if status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let checks = if verbose { checks } else { checks.into_iter().filter(|c| !c.ok).collect() };
    let body = serde_json::to_vec(&Report { status, checks }).unwrap_or_default();
    let mut response = (code, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn exposition(metrics: &PrometheusHandle) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], metrics.render()).into_response()
}

const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const MILLISECONDS: &[f64] = &[
    1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 40.0, 60.0, 100.0, 150.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0,
];

/// The process's metrics, installed by the first call.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    static INSTALLED: OnceLock<Mutex<Option<PrometheusHandle>>> = OnceLock::new();
    let mut installed = lock(INSTALLED.get_or_init(Mutex::default));
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_ms".into()), MILLISECONDS))
        .and_then(PrometheusBuilder::install_recorder)
        .context("installing the metrics recorder")?;
    Ok(installed.insert(handle).clone())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
