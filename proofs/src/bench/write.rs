//! A run as people read it, on the screen and in the report.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::{Args, Measured, Range, machine};
use crate::report::{Table, median_and_spread, ms};

pub fn run_text(number: u16, run: &Measured) -> String {
    let mut text = format!(
        "run {number}: {} offered at {}/s, {} accepted, {:.1}/s\n  {}\n",
        run.offered, run.rate, run.accepted, run.answered_per_second, run.percentiles
    );
    text.push_str(&format!("  {}\n", books_text(run)));
    for (what, count) in &run.others {
        text.push_str(&format!("  ✗ {count} × {what}\n"));
    }
    text.push_str(&cpu_table(run).plain());
    if !run.telemetry.is_empty() {
        text.push_str(&telemetry_table(run).plain());
    }
    text
}

fn books_text(run: &Measured) -> String {
    let b = &run.books;
    format!(
        "books of {} orders: oversold {}, lost {}, doubled {}, units astray {}; read again {}, missing {}",
        b.accepted, b.oversold, b.lost, b.doubled, b.units_astray, b.read_back, b.unreadable
    )
}

fn cpu_table(run: &Measured) -> Table {
    let mut table = Table::new(&["process", "CPU ms", "CPU ms/order", "resident MiB"]);
    for spent in &run.spent {
        table.row(vec![
            spent.name.clone(),
            spent.cpu_ms.to_string(),
            format!("{:.2}", spent.cpu_ms_per_order),
            spent.resident_mib.to_string(),
        ]);
    }
    table
}

fn telemetry_table(run: &Measured) -> Table {
    let mut table = Table::new(&["where the time goes", "count", "mean ms", "total ms"]);
    for share in &run.telemetry {
        table.row(vec![
            share.name.clone(),
            share.count.to_string(),
            format!("{:.2}", share.mean_ms),
            format!("{:.0}", share.total_ms),
        ]);
    }
    table
}

/// Appends a section; what earlier runs wrote stays.
pub fn append(
    path: &Path,
    range: &Range,
    args: &Args,
    rate: u32,
    runs: &[Measured],
) -> anyhow::Result<()> {
    let section = section(&machine::look(range.port), args, rate, runs);
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    file.write_all(section.as_bytes()).with_context(|| path.display().to_string())
}

/// Appends the words of a run under a heading, with where it was measured.
pub fn append_section(
    path: &Path,
    name: &str,
    command: &str,
    machine: &machine::Machine,
    words: &str,
) -> anyhow::Result<()> {
    let section = format!(
        "\n## {name} ({})\n\n{}, {} cores, {} GiB; shop built as {}, generator as {}, both on \
         this machine. `./bv {command}`\n\n{words}",
        machine.commit,
        machine.processor,
        machine.cores,
        machine.memory_gib,
        machine.shop,
        machine.generator
    );
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    file.write_all(section.as_bytes()).with_context(|| path.display().to_string())
}

/// Appends a further table to the section.
pub fn append_table(path: &Path, table: &Table) -> anyhow::Result<()> {
    let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
    write!(file, "\n{}", table.markdown()).with_context(|| path.display().to_string())
}

fn section(machine: &machine::Machine, args: &Args, rate: u32, runs: &[Measured]) -> String {
    let paid = if args.pay { ", paid" } else { "" };
    let mut text = format!(
        "\n## orders at {rate}/s for {} s, {} lines{paid} ({})\n\n",
        args.seconds, args.lines, machine.commit
    );
    text.push_str(&format!(
        "{}, {} cores, {} GiB; commit {}; shop built as {}, generator as {}, both on this machine; \
         open-loop arrival, {} s of warm-up.\n\n",
        machine.processor,
        machine.cores,
        machine.memory_gib,
        machine.commit,
        machine.shop,
        machine.generator,
        args.warmup
    ));
    if args.search {
        text.push_str(&format!(
            "Found by search: the highest rate with p95 ≤ {} ms.\n\n",
            args.p95
        ));
    }
    text.push_str(&figures(runs).markdown());
    if let Some(last) = runs.last() {
        text.push_str(&format!("\nThe last run: {}.\n\n", books_text(last)));
        text.push_str(&cpu_table(last).markdown());
        if !last.telemetry.is_empty() {
            text.push('\n');
            text.push_str(&telemetry_table(last).markdown());
        }
    }
    if runs.iter().any(|run| !run.counts()) {
        text.push_str("\n**Worthless: the books are wrong or requests were refused.**\n");
        for (what, count) in runs.iter().flat_map(|run| &run.others) {
            text.push_str(&format!("- {count} × {what}\n"));
        }
    }
    text
}

fn figures(runs: &[Measured]) -> Table {
    let mut table =
        Table::new(&["run", "accepted/s", "p50 ms", "p95 ms", "p99 ms", "p99.9 ms", "max ms"]);
    for (index, run) in runs.iter().enumerate() {
        let p = run.percentiles;
        let mut cells = vec![(index + 1).to_string(), format!("{:.1}", run.answered_per_second)];
        cells.extend([p.p50, p.p95, p.p99, p.p999, p.max].map(ms));
        table.row(cells);
    }
    if runs.len() > 1 {
        let spread = |of: fn(&Measured) -> u32| {
            let values: Vec<f64> = runs.iter().map(|run| f64::from(of(run))).collect();
            let (median, low, high) = median_and_spread(&values).unwrap_or_default();
            format!("{} ({}–{})", ms(median as u32), ms(low as u32), ms(high as u32))
        };
        let rates: Vec<f64> = runs.iter().map(|run| run.answered_per_second).collect();
        let (median, low, high) = median_and_spread(&rates).unwrap_or_default();
        table.row(vec![
            "median (spread)".to_owned(),
            format!("{median:.1} ({low:.1}–{high:.1})"),
            spread(|r| r.percentiles.p50),
            spread(|r| r.percentiles.p95),
            spread(|r| r.percentiles.p99),
            spread(|r| r.percentiles.p999),
            spread(|r| r.percentiles.max),
        ]);
    }
    table
}
