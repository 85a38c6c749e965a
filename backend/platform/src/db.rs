//! The service's own database: pool, migrations, readiness.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::migrate::{Migration, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

/// What every service's schema starts with.
static GROUND: Migrator = sqlx::migrate!("../../migrations/platform");

/// Statements that run longer than this are given up by the server.
const STATEMENT_TIMEOUT: &str = "20s";

/// How the server plans the prepared statements of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plans {
    /// Once for each connection. For services whose statements go along keys, so
    /// that every call has the same best plan: the server would plan them anew
    /// each time, because it takes arrays for longer than they are. What filters
    /// freely asks in [`searching`].
    Kept,
    /// As the server thinks fit.
    PerCall,
}

impl Plans {
    /// A plan made while a table was empty is kept while it grows; so it may
    /// not read a whole table where there is an index.
    fn options(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Plans::Kept => &[("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")],
            Plans::PerCall => &[],
        }
    }
}

/// A pool for one service. Connections are made when first needed.
pub fn pool(
    options: PgConnectOptions,
    size: u32,
    acquire: Duration,
    service: &str,
    plans: Plans,
) -> PgPool {
    let options = options.application_name(service).options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "60s"),
        ("timezone", "UTC"),
    ]);
    let options = options.options(plans.options().iter().copied());
    PgPoolOptions::new()
        .max_connections(size)
        .min_connections(1.min(size))
        .acquire_timeout(acquire)
        // A connection that died is found out when it is used.
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// A transaction for a statement whose best plan depends on what it is asked,
/// such as a list with filters that may be left out.
pub async fn searching(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    pool.begin_with("BEGIN; SET LOCAL plan_cache_mode = auto; SET LOCAL enable_seqscan = on").await
}

/// Brings the schema that the connection's search path names up to date: the
/// ground's tables first, then the service's. Safe to run at once from several
/// processes.
pub async fn migrate(connection: &mut PgConnection, service: &Migrator) -> anyhow::Result<()> {
    together(service).run(connection).await.context("migrating")
}

/// The ground's migrations and the service's, in the order they run.
pub(crate) fn together(service: &Migrator) -> Migrator {
    let mut all: Vec<Migration> = GROUND.iter().chain(service.iter()).cloned().collect();
    all.sort_by_key(|m| m.version);
    Migrator { migrations: Cow::Owned(all), ..Migrator::DEFAULT }
}

/// Whether every migration of this program is applied.
pub async fn migrated(pool: &PgPool, service: &Migrator) -> anyhow::Result<()> {
    let newest = together(service).iter().map(|m| m.version).max().unwrap_or(0);
    let applied: Option<i64> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(pool)
            .await
            .context("the schema was never migrated")?;
    let applied = applied.unwrap_or(0);
    anyhow::ensure!(applied >= newest, "migration {newest} is missing, {applied} is the last one");
    Ok(())
}

/// Whether the database answers.
pub async fn ready(pool: &PgPool) -> anyhow::Result<()> {
    let ask = sqlx::query("SELECT 1").execute(pool);
    tokio::time::timeout(Duration::from_secs(2), ask).await.context("no answer in 2 s")??;
    Ok(())
}
