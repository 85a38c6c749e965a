//! What the counts mean.

use std::collections::BTreeMap;

use crate::report::Table;

/// The counts of every side. HTTP: what buyers were told. Orders and stock:
/// read afterwards. Events: the log. Ledger: the payment gateway's own.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Units that had to be sold: all of them, or one per buyer.
    pub expected_sold: u64,
    /// Buyers who had to be refused.
    pub expected_refused: u64,
    pub http_sold: u64,
    pub http_refused: u64,
    pub http_others: BTreeMap<String, u64>,
    pub orders_sold: u64,
    /// Accepted orders whose saga did not come to rest.
    pub orders_open: u64,
    /// Accepted orders that cannot be read.
    pub orders_vanished: u64,
    pub stock_sold: u64,
    pub stock_held: u64,
    pub oversold: u64,
    pub events_sold: u64,
    pub events_held: u64,
    /// Orders or holds that no buyer knows of.
    pub events_orphans: u64,
    /// Orders created more than once.
    pub events_doubled: u64,
    pub events_captured_twice: u64,
    pub ledger_sold: u64,
    /// Charges for orders that do not exist.
    pub ledger_orphans: u64,
    pub ledger_double: u64,
}

/// One line of the table: a count as each side has it, none where it cannot know.
#[derive(Clone, Debug)]
struct Row {
    what: &'static str,
    expected: u64,
    sides: [Option<u64>; 5],
}

#[derive(Debug)]
pub struct Verdict {
    rows: Vec<Row>,
    pub failures: Vec<String>,
}

const SIDES: [&str; 5] = ["HTTP", "orders", "stock", "events", "ledger"];

pub fn judge(e: &Evidence) -> Verdict {
    let row = |what, expected, sides| Row { what, expected, sides };
    let others = e.http_others.values().sum();
    let rows = vec![
        row(
            "sold units",
            e.expected_sold,
            [
                Some(e.http_sold),
                Some(e.orders_sold),
                Some(e.stock_sold),
                Some(e.events_sold),
                Some(e.ledger_sold),
            ],
        ),
        row("refused", e.expected_refused, [Some(e.http_refused), None, None, None, None]),
        row("other answers", 0, [Some(others), None, None, None, None]),
        row("held", 0, [None, Some(e.orders_open), Some(e.stock_held), Some(e.events_held), None]),
        row("oversold units", 0, [None, None, Some(e.oversold), None, None]),
        row(
            "orphan orders",
            0,
            [None, Some(e.orders_vanished), None, Some(e.events_orphans), Some(e.ledger_orphans)],
        ),
        row("double orders", 0, [None, None, None, Some(e.events_doubled), None]),
        row(
            "double charges",
            0,
            [None, None, None, Some(e.events_captured_twice), Some(e.ledger_double)],
        ),
    ];
    let mut failures: Vec<String> = rows.iter().flat_map(faults).collect();
    for (what, count) in &e.http_others {
        failures.push(format!("{count} × {what}"));
    }
    Verdict { rows, failures }
}

fn faults(row: &Row) -> Vec<String> {
    let wrong = |(side, count): (&str, &Option<u64>)| {
        let count = (*count)?;
        let expected = row.expected;
        (count != expected).then(|| format!("{}: {count} by {side}, must be {expected}", row.what))
    };
    SIDES.into_iter().zip(&row.sides).filter_map(wrong).collect()
}

impl Verdict {
    pub fn holds(&self) -> bool {
        self.failures.is_empty()
    }

    pub fn table(&self) -> String {
        let mut head = vec!["", "must be"];
        head.extend(SIDES);
        let mut table = Table::new(&head);
        for row in &self.rows {
            let mut cells = vec![row.what.to_owned(), row.expected.to_string()];
            let shown = |side: &Option<u64>| side.map_or("·".to_owned(), |n| n.to_string());
            cells.extend(row.sides.iter().map(shown));
            table.row(cells);
        }
        table.plain()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Evidence {
        Evidence {
            expected_sold: 3,
            expected_refused: 7,
            http_sold: 3,
            http_refused: 7,
            orders_sold: 3,
            stock_sold: 3,
            events_sold: 3,
            ledger_sold: 3,
            ..Evidence::default()
        }
    }

    #[test]
    fn sides_that_agree_hold() {
        let verdict = judge(&clean());
        assert!(verdict.holds(), "{:?}", verdict.failures);
        assert!(verdict.table().contains("sold"));
    }

    #[test]
    fn every_kind_of_disagreement_is_noticed() {
        let kinds: [fn(&mut Evidence); 17] = [
            |e| e.http_sold += 1,
            |e| e.http_refused -= 1,
            |e| *e.http_others.entry("500".to_owned()).or_default() += 1,
            |e| e.orders_sold -= 1,
            |e| e.orders_open += 1,
            |e| e.orders_vanished += 1,
            |e| e.stock_sold += 1,
            |e| e.stock_held += 1,
            |e| e.oversold += 1,
            |e| e.events_sold -= 1,
            |e| e.events_held += 1,
            |e| e.events_orphans += 1,
            |e| e.events_doubled += 1,
            |e| e.events_captured_twice += 1,
            |e| e.ledger_sold -= 1,
            |e| e.ledger_orphans += 1,
            |e| e.ledger_double += 1,
        ];
        for (index, change) in kinds.iter().enumerate() {
            let mut evidence = clean();
            change(&mut evidence);
            assert!(!judge(&evidence).holds(), "kind {index} went unnoticed");
        }
    }

    #[test]
    fn units_left_over_are_a_failure_although_all_sides_agree() {
        let mut evidence = clean();
        evidence.http_sold = 2;
        evidence.http_refused = 8;
        evidence.orders_sold = 2;
        evidence.stock_sold = 2;
        evidence.events_sold = 2;
        evidence.ledger_sold = 2;
        assert!(!judge(&evidence).holds());
    }
}
