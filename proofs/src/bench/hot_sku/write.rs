//! The result for people and for the report.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::{Args, Outcome};
use crate::bench::machine;
use crate::report::{Percentiles, Table, ms};
use crate::settings::ShopArgs;

pub fn text(outcome: &Outcome) -> String {
    format!("{}\n{}\n", table(outcome).plain(), books(outcome))
}

fn table(outcome: &Outcome) -> Table {
    let mut table =
        Table::new(&["one hot sku", "connections", "durable/s", "p50 ms", "p99 ms", "max ms", "×"]);
    let ours = outcome.held_answers as f64 / outcome.load.took.as_secs_f64();
    let mut row = |name: &str, connections: String, rate: f64, p: Percentiles| {
        let times = if rate > 0.0 { ours / rate } else { 0.0 };
        let mut cells = vec![name.to_owned(), connections, format!("{rate:.0}")];
        cells.extend([p.p50, p.p99, p.max].map(ms));
        cells.push(format!("{times:.1}"));
        table.row(cells);
    };
    row("inventory, gRPC", "·".to_owned(), ours, outcome.load.latencies.percentiles());
    for rival in &outcome.rivals {
        let connections = rival.connections.to_string();
        row(rival.name, connections, rival.per_second, rival.percentiles);
    }
    table
}

fn books(o: &Outcome) -> String {
    let lag = o.lag_rows.map_or("unknown".to_owned(), |rows| rows.to_string());
    format!(
        "{} units; {} held, {} refused by answer; {} held by stock; oversold {}, undersold {}; \
         {} events; outbox behind by {lag} rows at the end, drained {:.1} s later",
        o.units,
        o.held_answers,
        o.short_answers,
        o.held_units,
        o.oversold,
        o.undersold,
        o.events,
        o.drained_in.as_secs_f64()
    )
}

/// Appends a section; what earlier runs wrote stays.
pub fn append(path: &Path, shop: &ShopArgs, args: &Args, outcome: &Outcome) -> anyhow::Result<()> {
    let machine = machine::look(machine::port_of(&shop.url));
    let pace = match args.rate {
        0 => format!("{} under way", args.under_way),
        rate => format!("{rate}/s, open loop"),
    };
    let mut section = format!(
        "\n## one hot sku for {} s, {pace} ({})\n\n{}, {} cores, {} GiB; commit {}; shop built as \
         {}, generator as {}, both on this machine.\n\n{}\n{}.\n",
        args.seconds,
        machine.commit,
        machine.processor,
        machine.cores,
        machine.memory_gib,
        machine.commit,
        machine.shop,
        machine.generator,
        table(outcome).markdown(),
        books(outcome)
    );
    for fault in outcome.faults() {
        section.push_str(&format!("\n**Worthless: {fault}.**\n"));
    }
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    file.write_all(section.as_bytes()).with_context(|| path.display().to_string())
}
