//! Rebuilding a read model beside the live one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use shared_types::Timestamp;
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
/// A part with more aggregates than this is no part any more.
const MOST_AGGREGATES: usize = 200_000;
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

/// Which part of a read model is rebuilt. All of it, unless limited.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Only aggregates with an event that happened then or later.
    pub since: Option<Timestamp>,
    /// Only this aggregate.
    pub aggregate: Option<String>,
}

/// What a replay is going to read and to touch.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Events in the log now.
    pub events: i64,
    /// Topic, partition, first and next offset.
    pub places: Vec<(String, i32, i64, i64)>,
    /// Rows of the live model.
    pub rows: i64,
    /// The aggregates whose rows are rebuilt; none named: all.
    pub aggregates: Option<BTreeSet<String>>,
}

/// Looks how much there is to do, without changing anything. A part is always
/// rebuilt from the first event of its aggregates.
pub async fn plan(
    connection: &mut PgConnection,
    broker: &Broker,
    model: &dyn ReadModel,
    part: &Part,
) -> anyhow::Result<Plan> {
    let count = AssertSqlSafe(format!("SELECT count(*) FROM {}", model.table()));
    let rows = sqlx::query_scalar(count).fetch_one(connection).await?;
    let (topics, part, broker) = (model.topics().to_vec(), part.clone(), broker.clone());
    let work = move || {
        let mut log = Log::open(&broker, &topics)?;
        let events = log.look_ahead()?;
        let places = log.places();
        let aggregates = match (&part.since, part.aggregate) {
            (None, None) => None,
            (None, Some(one)) => Some(BTreeSet::from([one])),
            (Some(since), one) => Some(touched(&mut log, *since, one.as_deref())?),
        };
        Ok(Plan { events, places, rows, aggregates })
    };
    tokio::task::spawn_blocking(work).await?
}

fn touched(log: &mut Log, since: Timestamp, one: Option<&str>) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    loop {
        let batch = log.batch(BATCH)?;
        if batch.is_empty() {
            return Ok(found);
        }
        let wanted =
            |e: &Received| e.occurred_at >= since && one.is_none_or(|one| one == e.aggregate_id);
        found.extend(batch.into_iter().filter(wanted).map(|event| event.aggregate_id));
        ensure!(found.len() <= MOST_AGGREGATES, "too many aggregates; replay the whole model");
    }
}

/// Rebuilds `model` over the schema of `connection` as planned, compares, and
/// swaps unless it is a `dry_run`. Refused while another replay of it runs.
pub async fn replay(
    connection: &mut PgConnection,
    broker: &Broker,
    model: &dyn ReadModel,
    plan: &Plan,
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
    let mut reader = Reader { log: Some(log), only: plan.aggregates.as_ref(), events: 0 };
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
    let whole = plan.aggregates.is_none();
    let mut report = compare(&mut tx, model, &copy, whole).await?;
    match (dry_run, whole) {
        (true, _) => run(&mut tx, &format!("DROP TABLE {copy}")).await?,
        (false, true) => swap(&mut tx, model, &copy).await?,
        (false, false) => replace_rows(&mut tx, model, &copy).await?,
    }
    tx.commit().await.context("swapping")?;
    report.swapped = !dry_run;
    report.events = reader.events;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

async fn swap(tx: &mut PgConnection, model: &dyn ReadModel, copy: &str) -> Result<(), sqlx::Error> {
    let (live, old) = (model.table(), format!("{}_replaced", model.table()));
    run(tx, &format!("ALTER TABLE {live} RENAME TO {old}")).await?;
    run(tx, &format!("ALTER TABLE {copy} RENAME TO {live}")).await?;
    run(tx, &format!("DROP TABLE {old}")).await
}

/// Puts the rows of a part in the place of those that are live.
async fn replace_rows(
    tx: &mut PgConnection,
    model: &dyn ReadModel,
    copy: &str,
) -> Result<(), sqlx::Error> {
    let live = model.table();
    let same: Vec<String> =
        model.key().split(',').map(|column| format!("l.{0} = r.{0}", column.trim())).collect();
    let same = same.join(" AND ");
    run(tx, &format!("DELETE FROM {live} l USING {copy} r WHERE {same}")).await?;
    run(tx, &format!("INSERT INTO {live} SELECT * FROM {copy}")).await?;
    run(tx, &format!("DROP TABLE {copy}")).await
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

struct Reader<'a> {
    /// Away only while a thread reads.
    log: Option<Log>,
    /// The aggregates that count; none named: all.
    only: Option<&'a BTreeSet<String>>,
    events: u64,
}

impl Reader<'_> {
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
            if let Some(only) = self.only {
                batch.retain(|event| only.contains(&event.aggregate_id));
            }
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
    whole: bool,
) -> anyhow::Result<Report> {
    let (live, key) = (model.table(), model.key());
    // Of a part only its own rows are there to compare with.
    let join = if whole { "FULL" } else { "RIGHT" };
    let both = format!(
        "WITH both_models AS (
            SELECT {key}, l.version IS NOT NULL AND r.version IS NOT NULL
                       AND l IS NOT DISTINCT FROM r AS same,
                   r.version IS NOT NULL AND coalesce(l.version, 0) < r.version
                       AND r.updated_at > now() - make_interval(secs => $1) AS behind
            FROM {live} l {join} JOIN {copy} r USING ({key}))"
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
