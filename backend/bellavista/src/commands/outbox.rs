//! `bellavista outbox`: what waits to be published.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use anyhow::Context as _;
use platform::config::Config;
use sqlx::{Connection, Row};

use crate::{runner, targets};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Per service: rows waiting, age of the oldest, rows the broker refused.
    Status,
}

pub async fn run(command: Command, config: &Config) -> anyhow::Result<()> {
    let Command::Status = command;
    let all: Vec<_> = targets::TARGETS.iter().collect();
    let mut databases: Vec<_> = runner::databases(config, &all).await?.into_iter().collect();
    databases.sort_by(|a, b| a.0.cmp(&b.0));
    println!("{:<20} {:>10} {:>12} {:>8}", "service", "waiting", "oldest (s)", "refused");
    for (schema, options) in databases {
        let mut connection = sqlx::PgConnection::connect_with(&options)
            .await
            .with_context(|| format!("asking {schema}"))?;
        let row = sqlx::query(
            "SELECT count(*) AS waiting,
                    coalesce(extract(epoch FROM now() - min(occurred_at)), 0)::bigint AS oldest,
                    (SELECT count(*) FROM outbox_dead) AS refused
             FROM outbox",
        )
        .fetch_one(&mut connection)
        .await
        .with_context(|| format!("asking {schema}"))?;
        println!(
            "{schema:<20} {:>10} {:>12} {:>8}",
            row.get::<i64, _>("waiting"),
            row.get::<i64, _>("oldest"),
            row.get::<i64, _>("refused")
        );
    }
    Ok(())
}
