//! `bellavista token-keys`: the keys that seal payment tokens.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::time::Duration;

use anyhow::Context as _;
use payments::TokenKeys;
use platform::config::Config;
use platform::db::Plans;

use crate::{runner, targets};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Every key, the current one first, and how many tokens it seals.
    Status,
    /// Put a fresh key in front. Running services notice it within 15 seconds and
    /// seal anew what the old ones sealed.
    Rotate,
    /// Remove the keys that seal nothing any more.
    Prune,
}

/// So long after a change a running service may still seal with the key before.
const SETTLED: Duration = Duration::from_secs(60);

pub async fn run(command: Command, config: &Config) -> anyhow::Result<()> {
    let keys = TokenKeys::of(config)?;
    let keys = keys.context("payments.token_keys_file is empty: the column key seals tokens")?;
    if let Command::Rotate = command {
        println!("{} seals from now on", keys.rotate()?);
        return Ok(());
    }
    let all: Vec<_> = targets::TARGETS.iter().collect();
    let databases = runner::databases(config, &all).await?;
    let options = databases.get("payments").context("no database for payments")?.clone();
    let pool = platform::db::pool(options, 1, Duration::from_secs(5), "payments", Plans::Kept);
    if let Command::Prune = command {
        let gone = keys.prune(&pool, SETTLED).await?;
        println!("removed: {}", if gone.is_empty() { "none".to_owned() } else { gone.join(" ") });
    }
    println!("{:<12} {:<8} {:>8}", "key", "", "tokens");
    for key in keys.used(&pool).await? {
        let current = if key.current { "current" } else { "" };
        println!("{:<12} {current:<8} {:>8}", key.id, key.tokens);
    }
    Ok(())
}
