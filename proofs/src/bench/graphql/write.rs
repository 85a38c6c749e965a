//! The figures as people read them.

use super::{Cell, Outcome};
use crate::report::{Table, median_and_spread};

/// Milliseconds with the digits that a hop on loopback needs.
fn fine(micros: f64) -> String {
    format!("{:.2}", micros / 1_000.0)
}

/// The middle of some figures and their extremes.
fn spread(values: &[f64]) -> String {
    match median_and_spread(values) {
        Some((middle, low, high)) if values.len() > 1 => {
            format!("{} ({}–{})", fine(middle), fine(low), fine(high))
        }
        Some((middle, ..)) => fine(middle),
        None => "·".to_owned(),
    }
}

fn middle(values: &[f64]) -> f64 {
    median_and_spread(values).map_or(0.0, |(middle, ..)| middle)
}

/// One line for each place that was asked.
pub fn cells(cells: &[Cell]) -> Table {
    let mut table = Table::new(&[
        "asked",
        "per second",
        "answered",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "CPU ms/request",
    ]);
    for cell in cells {
        table.row(vec![
            cell.name(),
            format!("{:.0}", middle(&cell.each(|run| run.per_second))),
            cell.runs.iter().map(|run| run.answered).sum::<u64>().to_string(),
            spread(&cell.each(|run| f64::from(run.percentiles.p50))),
            spread(&cell.each(|run| f64::from(run.percentiles.p95))),
            spread(&cell.each(|run| f64::from(run.percentiles.p99))),
            format!("{:.2}", middle(&cell.each(|run| run.cpu_ms))),
        ]);
    }
    table
}

/// What each way in costs over asking the subgraph itself, from the medians of all
/// runs.
pub fn overhead(beside: &[Cell]) -> Option<Table> {
    let subgraph = beside.iter().find(|cell| cell.place == super::SUBGRAPH)?;
    let mut table = Table::new(&["over the subgraph itself", "p50 ms", "p99 ms"]);
    let others = beside
        .iter()
        .filter(|cell| cell.question == subgraph.question && cell.place != subgraph.place);
    for cell in others {
        let more = |of: fn(&super::Run) -> f64| {
            format!("{:+.2}", (middle(&cell.each(of)) - middle(&subgraph.each(of))) / 1_000.0)
        };
        table.row(vec![
            cell.place.clone(),
            more(|run| f64::from(run.percentiles.p50)),
            more(|run| f64::from(run.percentiles.p99)),
        ]);
    }
    Some(table)
}

fn highest(outcome: &Outcome) -> Option<Table> {
    if outcome.highest.is_empty() {
        return None;
    }
    let mut table = Table::new(&["highest rate of the product page", "per second"]);
    for (place, rate) in &outcome.highest {
        table.row(vec![place.clone(), rate.to_string()]);
    }
    Some(table)
}

/// Every table, as `draw` draws one.
pub fn words(outcome: &Outcome, draw: fn(&Table) -> String) -> String {
    let tables = [
        Some(cells(std::slice::from_ref(&outcome.page))),
        highest(outcome),
        Some(cells(&outcome.beside)),
        overhead(&outcome.beside),
    ];
    let mut text = format!(
        "{} products of {} variants; every request asks for another one.\n\n",
        outcome.plan.products, outcome.plan.variants
    );
    for table in tables.iter().flatten() {
        text.push_str(&draw(table));
        text.push('\n');
    }
    if !outcome.rival {
        text.push_str("Without @apollo/gateway: it could not be started here.\n\n");
    }
    for (what, count) in outcome.wrong() {
        text.push_str(&format!("- {count} × {what}\n"));
    }
    text.push_str(match outcome.right() {
        true => "Every answer was right.\n",
        false => "**Worthless: answers were wrong.**\n",
    });
    text
}
