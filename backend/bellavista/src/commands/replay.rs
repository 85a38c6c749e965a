//! `bellavista replay`: rebuilds a read model from the event log beside the live
//! one, compares row by row, swaps, and says how they compared.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::sync::Arc;

use anyhow::Context as _;
use platform::config::Config;
use platform::projection::{self, Part, Plan, ReadModel, Report};
use shared_types::Timestamp;
use sqlx::{Connection as _, PgConnection};

use crate::{runner, targets};

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which one: order-summaries, …
    pub read_model: String,
    /// Only what changed then or later, such as 2026-11-20T10:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<Timestamp>,
    /// Only the rows of this aggregate: an order id, a sku.
    #[arg(long, value_name = "ID")]
    pub aggregate: Option<String>,
    /// Rebuild and compare, but leave the live model as it is.
    #[arg(long)]
    pub dry_run: bool,
}

/// Every read model with the service that owns it.
fn models() -> Vec<(&'static str, Arc<dyn ReadModel>)> {
    let of = |service, models: Vec<Arc<dyn ReadModel>>| {
        models.into_iter().map(move |model| (service, model))
    };
    of("orders", orders::read_models()).chain(of("inventory", inventory::read_models())).collect()
}

pub async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let models = models();
    let names: Vec<_> = models.iter().map(|(_, model)| model.name()).collect();
    let found = models.iter().find(|(_, model)| model.name() == args.read_model);
    let (schema, model) = found.with_context(|| {
        format!("there is no read model {:?}; read models: {}", args.read_model, names.join(", "))
    })?;
    let all: Vec<_> = targets::TARGETS.iter().collect();
    let databases = runner::databases(config, &all).await?;
    let options = databases.get(*schema).with_context(|| format!("no database for {schema}"))?;
    let mut connection = PgConnection::connect_with(options).await.context("the database")?;
    let broker = &config.ground.broker;
    let part = Part { since: args.since, aggregate: args.aggregate };
    let plan = projection::plan(&mut connection, broker, &**model, &part).await?;
    announce(&**model, &plan);
    let report = projection::replay(&mut connection, broker, &**model, &plan, args.dry_run).await?;
    tell(&report);
    Ok(())
}

fn announce(model: &dyn ReadModel, plan: &Plan) {
    println!("plan: {} with {} rows, from {} events", model.name(), plan.rows, plan.events);
    for (topic, partition, first, end) in &plan.places {
        println!("  {topic} [{partition}] from {first} to {end}");
    }
    match &plan.aggregates {
        None => println!("  all rows are rebuilt"),
        Some(few) => println!("  the rows of {} aggregates are rebuilt", few.len()),
    }
    println!("  nothing else happens: no event is published, nobody is told or charged");
}

fn tell(report: &Report) {
    println!(
        "{}: {} events in {:.1} s ({:.0}/s), {} rows",
        report.model,
        report.events,
        report.seconds,
        report.events as f64 / report.seconds.max(0.001),
        report.rows
    );
    println!(
        "parity {:.3} %: {} rows equal, {} differing, {} not compared because the live model is behind",
        report.parity(),
        report.equal,
        report.differing,
        report.behind
    );
    for key in &report.named {
        println!("  differed: {key}");
    }
    println!("{}", if report.swapped { "swapped" } else { "dry run: nothing was changed" });
}
