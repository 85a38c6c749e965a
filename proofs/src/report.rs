//! What people read at the end: tables and percentiles.

use std::time::Duration;

/// Latencies of one kind, in microseconds.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    micros: Vec<u32>,
}

/// The usual points of a distribution, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    pub p50: u32,
    pub p95: u32,
    pub p99: u32,
    pub p999: u32,
    pub max: u32,
}

impl Latencies {
    pub fn add(&mut self, took: Duration) {
        self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn extend(&mut self, other: &Latencies) {
        self.micros.extend_from_slice(&other.micros);
    }

    pub fn percentiles(&self) -> Percentiles {
        let mut sorted = self.micros.clone();
        sorted.sort_unstable();
        let at = |per_mille| nearest_rank(&sorted, per_mille);
        Percentiles { p50: at(500), p95: at(950), p99: at(990), p999: at(999), max: at(1_000) }
    }
}

/// The smallest value that at least `per_mille` thousandths do not exceed.
fn nearest_rank(sorted: &[u32], per_mille: usize) -> u32 {
    let rank = (sorted.len() * per_mille).div_ceil(1_000);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// Milliseconds with one digit below 100.
pub fn ms(micros: u32) -> String {
    if micros < 100_000 {
        format!("{:.1}", f64::from(micros) / 1_000.0)
    } else {
        format!("{:.0}", f64::from(micros) / 1_000.0)
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "p50 {} ms, p95 {} ms, p99 {} ms, p99.9 {} ms, max {} ms",
            ms(self.p50),
            ms(self.p95),
            ms(self.p99),
            ms(self.p999),
            ms(self.max)
        )
    }
}

/// The middle of several measurements, and their extremes.
pub fn median_and_spread(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    Some(((sorted[low] + sorted[high]) / 2.0, first, last))
}

/// Columns of text: the first to the left, the others to the right.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(head: &[&str]) -> Self {
        let mut table = Table::default();
        table.row(head.iter().map(|h| (*h).to_owned()).collect());
        table
    }

    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub fn plain(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                if column == 0 {
                    line.push_str(&format!("  {cell:<width$}"));
                } else {
                    line.push_str(&format!("  {cell:>width$}"));
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if index == 0 {
                text.push_str(&format!("|{}\n", " --- |".repeat(row.len())));
            }
        }
        text
    }
}

/// Pence as pounds.
pub fn pounds(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", minor.abs() / 100, minor.abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut latencies = Latencies::default();
        for ms in (1..=1_000).rev() {
            latencies.add(Duration::from_millis(ms));
        }
        let p = latencies.percentiles();
        assert_eq!((p.p50, p.p95, p.p99), (500_000, 950_000, 990_000));
        assert_eq!((p.p999, p.max), (999_000, 1_000_000));
        let mut one = Latencies::default();
        one.add(Duration::from_micros(7));
        assert_eq!(one.percentiles().p50, 7);
        assert_eq!(Latencies::default().percentiles(), Percentiles::default());
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median_and_spread(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(median_and_spread(&[4.0, 1.0]), Some((2.5, 1.0, 4.0)));
        assert_eq!(median_and_spread(&[]), None);
    }

    #[test]
    fn tables_line_up() {
        let mut table = Table::new(&["what", "n"]);
        table.row(vec!["a".to_owned(), "12".to_owned()]);
        assert_eq!(table.plain(), "  what   n\n  a     12\n");
        assert_eq!(table.markdown(), "| what | n |\n| --- | --- |\n| a | 12 |\n");
    }

    #[test]
    fn pence_become_pounds() {
        assert_eq!(
            (pounds(1_234), pounds(5), pounds(-5)),
            ("12.34".into(), "0.05".into(), "-0.05".into())
        );
    }
}
