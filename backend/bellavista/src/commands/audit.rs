//! `bellavista audit`: whether the audit logs are what was written.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::collections::HashMap;

use anyhow::Context as _;
use platform::audit;
use platform::config::Config;
use platform::crypto::ColumnCipher;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Row};

use crate::{runner, targets};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Walk the hash chain of every service; exit 1 where one is broken.
    Verify,
}

/// Rows of the witness read at a time.
const PAGE: i64 = 1_000;
/// More disagreements than this tell nothing new.
const MAX_SHOWN: usize = 100;

pub async fn run(command: Command, config: &Config) -> anyhow::Result<()> {
    let Command::Verify = command;
    let key = &config.ground.auth.column_key_file;
    anyhow::ensure!(key.exists(), "the key file {} is missing", key.display());
    let cipher = ColumnCipher::load_or_create(key)?;
    let all: Vec<_> = targets::TARGETS.iter().collect();
    let databases = runner::databases(config, &all).await?;
    let mut schemas: Vec<_> = databases.keys().cloned().collect();
    schemas.sort();
    let mut broken = false;
    println!("{:<20} {:>10}  result", "service", "entries");
    for schema in schemas {
        let mut connection = connect(&databases, &schema).await?;
        let report = audit::verify(&mut connection, &cipher)
            .await
            .with_context(|| format!("reading the audit log of {schema}"))?;
        let mut wrong: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        wrong.extend(witnessed(&databases, &schema, &mut connection).await?);
        let result = if wrong.is_empty() { "whole" } else { "BROKEN" };
        println!("{schema:<20} {:>10}  {result}", report.entries);
        for finding in &wrong {
            println!("  {finding}");
        }
        broken |= !wrong.is_empty();
    }
    anyhow::ensure!(!broken, "an audit log is not what was written");
    Ok(())
}

async fn connect(
    databases: &HashMap<String, PgConnectOptions>,
    schema: &str,
) -> anyhow::Result<PgConnection> {
    let options = databases.get(schema).with_context(|| format!("no database for {schema}"))?;
    PgConnection::connect_with(options).await.with_context(|| format!("asking {schema}"))
}

/// Compares a log with what it exported, as `operations` heard it: this finds a
/// log that was put back to an older state as a whole.
async fn witnessed(
    databases: &HashMap<String, PgConnectOptions>,
    schema: &str,
    log: &mut PgConnection,
) -> anyhow::Result<Vec<String>> {
    let service = schema.replace('_', "-");
    let mut witness = connect(databases, "operations").await?;
    let (mut wrong, mut after) = (Vec::new(), 0i64);
    loop {
        let facts = sqlx::query(
            "SELECT id, seq, hash FROM audit_facts WHERE service = $1 AND id > $2 ORDER BY id LIMIT $3",
        )
        .bind(&service)
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut witness)
        .await
        .context("asking operations what was exported")?;
        let Some(last) = facts.last() else { return Ok(wrong) };
        after = last.try_get("id")?;
        let mut seqs: Vec<i64> = Vec::with_capacity(facts.len());
        for fact in &facts {
            seqs.push(fact.try_get("seq")?);
        }
        let kept: HashMap<i64, String> =
            sqlx::query_as("SELECT seq, encode(hash, 'hex') FROM audit_log WHERE seq = ANY($1)")
                .bind(&seqs)
                .fetch_all(&mut *log)
                .await?
                .into_iter()
                .collect();
        for fact in &facts {
            let (seq, hash): (i64, String) = (fact.try_get("seq")?, fact.try_get("hash")?);
            if kept.get(&seq) != Some(&hash) && wrong.len() < MAX_SHOWN {
                wrong.push(format!("entry {seq} is not the one that was exported"));
            }
        }
    }
}
