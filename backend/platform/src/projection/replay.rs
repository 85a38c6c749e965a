//! Rebuilding a read model beside the live one.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::log::Log;
use super::{ReadModel, lock_id};
use crate::config::Broker;
use crate::consumer::Received;

/// Events of one transaction: most orders of a log lie within so many.
const BATCH: usize = 10_000;
/// With so little left to read, the live fold is stopped for the rest.
const NEARLY_THERE: i64 = 2_000;
/// Rounds of reading what came meanwhile.
const MOST_ROUNDS: u32 = 50;
/// A live row may lag this far behind the log without being wrong.
const LAG_SECONDS: i64 = 30;
/// Rows that are named in the report.
const MOST_NAMED: i64 = 20;

/// What a replay found and did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub model: &'static str,
    pub events: u64,
    pub seconds: f64,
    /// Rows of the rebuilt model.
    pub rows: i64,
    /// Rows that are the same in both.
    pub equal: i64,
    /// Rows that differ, or are in one only.
    pub differing: i64,
    /// Keys of some of those.
    pub named: Vec<String>,
    /// Rows whose newest events the live model has not seen yet; not compared.
    pub behind: i64,
    pub swapped: bool,
}

impl Report {
    /// Share of the compared rows that were the same, in percent.
    pub fn parity(&self) -> f64 {
        match self.equal + self.differing {
            0 => 100.0,
            compared => self.equal as f64 * 100.0 / compared as f64,
        }
    }
}

/// Rebuilds `model` over the schema of `connection`, compares, and swaps unless
/// it is a `dry_run`. Refused while another replay of it runs.
pub async fn replay(
    connection: &mut PgConnection,
    broker: &Broker,
    model: &dyn ReadModel,
    dry_run: bool,
) -> anyhow::Result<Report> {
    let began = Instant::now();
    // Copies of millions of rows take longer than a request may.
    sqlx::query("SET statement_timeout = '10min'").execute(&mut *connection).await?;
    let free: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(lock_id(model).wrapping_add(1))
        .fetch_one(&mut *connection)
        .await?;
    ensure!(free, "another replay of {} is running", model.name());
    // The copy means nothing before the swap, whose commit waits for all of it.
    run(connection, "SET synchronous_commit = off").await?;
    let copy = format!("{}_rebuilt", model.table());
    run(connection, &format!("DROP TABLE IF EXISTS {copy}")).await?;
    run(connection, &format!("CREATE TABLE {copy} (LIKE {} INCLUDING ALL)", model.table())).await?;
    let indexes = take_indexes(connection, &copy).await?;
    let topics = model.topics().to_vec();
    let opened = broker.clone();
    let log = tokio::task::spawn_blocking(move || Log::open(&opened, &topics)).await??;
    let mut reader = Reader { log: Some(log), events: 0 };
    let mut rounds = 0;
    while reader.look_ahead().await? > NEARLY_THERE || rounds == 0 {
        reader.fold_to_end(connection, model, &copy).await?;
        rounds += 1;
        ensure!(rounds < MOST_ROUNDS, "the log grows faster than it is read");
    }
    for index in &indexes {
        run(connection, index).await?;
    }
    run(connection, &format!("ANALYZE {copy}")).await?;
    let mut tx = connection.begin().await?;
    run(&mut tx, "SET LOCAL synchronous_commit = on").await?;
    run(&mut tx, "SET LOCAL lock_timeout = '60s'").await?;
    // From here the live fold waits.
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock_id(model)).execute(&mut *tx).await?;
    reader.look_ahead().await?;
    reader.fold_to_end(&mut tx, model, &copy).await?;
    let mut report = compare(&mut tx, model, &copy).await?;
    if dry_run {
        run(&mut tx, &format!("DROP TABLE {copy}")).await?;
    } else {
        let (live, old) = (model.table(), format!("{}_replaced", model.table()));
        run(&mut tx, &format!("ALTER TABLE {live} RENAME TO {old}")).await?;
        run(&mut tx, &format!("ALTER TABLE {copy} RENAME TO {live}")).await?;
        run(&mut tx, &format!("DROP TABLE {old}")).await?;
    }
    tx.commit().await.context("swapping")?;
    report.swapped = !dry_run;
    report.events = reader.events;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// Drops the indexes that only reading needs, and gives the statements that make
/// them again: at once they take a fraction of the time that row by row does.
async fn take_indexes(
    connection: &mut PgConnection,
    copy: &str,
) -> Result<Vec<String>, sqlx::Error> {
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
         WHERE indrelid = $1::regclass AND NOT indisunique",
    )
    .bind(copy)
    .fetch_all(&mut *connection)
    .await?;
    let mut statements = Vec::new();
    for (name, statement) in found {
        run(connection, &format!("DROP INDEX {name}")).await?;
        statements.push(statement);
    }
    Ok(statements)
}

/// The names in it are those that the model declares.
async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(connection).await?;
    Ok(())
}

struct Reader {
    /// Away only while a thread reads.
    log: Option<Log>,
    events: u64,
}

impl Reader {
    async fn on_thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Log) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let mut log = self.log.take().context("the log reader is gone")?;
        let (log, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = work(&mut log);
            (log, outcome)
        })
        .await?;
        self.log = Some(log);
        outcome
    }

    async fn look_ahead(&mut self) -> anyhow::Result<i64> {
        self.on_thread(Log::look_ahead).await
    }

    async fn batch(&mut self) -> anyhow::Result<Vec<Received>> {
        self.on_thread(|log| log.batch(BATCH)).await
    }

    /// Folds up to the end last looked at; while one batch is stored the next
    /// is read.
    async fn fold_to_end(
        &mut self,
        connection: &mut PgConnection,
        model: &dyn ReadModel,
        table: &str,
    ) -> anyhow::Result<()> {
        let mut batch = self.batch().await?;
        while !batch.is_empty() {
            self.events += batch.len() as u64;
            let stored = async {
                let mut tx = connection.begin().await?;
                model.fold(&mut tx, table, &batch).await?;
                tx.commit().await.context("storing")
            };
            let (stored, next) = tokio::join!(stored, self.batch());
            stored?;
            batch = next?;
        }
        Ok(())
    }
}

async fn compare(
    tx: &mut PgConnection,
    model: &dyn ReadModel,
    copy: &str,
) -> anyhow::Result<Report> {
    let (live, key) = (model.table(), model.key());
    let both = format!(
        "WITH both_models AS (
            SELECT {key}, l.version IS NOT NULL AND r.version IS NOT NULL
                       AND l IS NOT DISTINCT FROM r AS same,
                   r.version IS NOT NULL AND coalesce(l.version, 0) < r.version
                       AND r.updated_at > now() - make_interval(secs => $1) AS behind
            FROM {live} l FULL JOIN {copy} r USING ({key}))"
    );
    let counts = format!(
        "{both} SELECT count(*) FILTER (WHERE same) AS same,
                       count(*) FILTER (WHERE NOT same AND behind) AS behind,
                       count(*) FILTER (WHERE NOT same AND NOT behind) AS differing,
                       (SELECT count(*) FROM {copy}) AS rows FROM both_models"
    );
    let lag = Duration::from_secs(LAG_SECONDS.unsigned_abs()).as_secs_f64();
    let row = sqlx::query(AssertSqlSafe(counts)).bind(lag).fetch_one(&mut *tx).await?;
    let named = format!(
        "{both} SELECT concat_ws(' ', {key}) FROM both_models
         WHERE NOT same AND NOT behind LIMIT {MOST_NAMED}"
    );
    let differing: i64 = row.try_get("differing")?;
    let named = match differing {
        0 => Vec::new(),
        _ => sqlx::query_scalar(AssertSqlSafe(named)).bind(lag).fetch_all(&mut *tx).await?,
    };
    Ok(Report {
        model: model.name(),
        rows: row.try_get("rows")?,
        equal: row.try_get("same")?,
        behind: row.try_get("behind")?,
        differing,
        named,
        ..Report::default()
    })
}
