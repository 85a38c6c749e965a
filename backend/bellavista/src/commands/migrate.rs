//! `bellavista migrate`: schemas and topics, then ends.

use platform::config::Config;

use crate::runner::Partitions;
use crate::{runner, targets};

pub async fn run(config: &Config) -> anyhow::Result<()> {
    let all: Vec<_> = targets::TARGETS.iter().collect();
    runner::migrate(config, &all).await?;
    runner::create_topics(&runner::bootstrap(config), Partitions::Declared).await?;
    tracing::info!("schemas and topics are up to date");
    Ok(())
}
