//! The end of a replay, for people: what was done, what was left out and why,
//! and whether the books balance.

use std::collections::BTreeMap;

use super::balance::Books;
use super::plan::Plan;
use super::replay::Pace;
use super::second::Sum;
use crate::report::{Table, pounds};

pub struct Summary<'a> {
    pub plan: &'a Plan,
    pub books: &'a Books,
    pub pace: &'a Pace,
    pub second: Sum,
}

/// At most so many of one kind of fault are listed.
const LISTED: usize = 10;

impl Summary<'_> {
    pub fn balanced(&self) -> bool {
        self.faults().is_empty()
    }

    /// Everything that does not add up.
    pub fn faults(&self) -> Vec<String> {
        let (plan, books) = (self.plan, self.books);
        let orders = plan.orders.len() as u64;
        let wanted = self.second.revenue_pence;
        let mut faults = Vec::new();
        let mut same = |what: &str, found: i64, expected: i64| {
            if found != expected {
                faults.push(format!("{what}: {found}, must be {expected}"));
            }
        };
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let len = |n: usize| signed(n as u64);
        same("invoices by the second reader", len(self.second.invoices), len(plan.invoices_read));
        same("orders by the second reader", len(self.second.orders), signed(orders));
        same("orders placed", len(books.facts.placed.len()), signed(orders));
        same("orders confirmed", len(books.facts.confirmed.len()), signed(orders));
        same("orders at rest", signed(books.at_rest), signed(orders));
        same("refunds", len(books.facts.refunded.len()), len(plan.refunds.len()));
        same("pence by the plan", plan.revenue_minor(), wanted);
        same("pence by the shop's answers", books.answered_minor, wanted);
        same("pence by the orders as they read", books.read_minor, wanted);
        same("pence by the payment ledger", books.ledger_minor, wanted);
        same("orders charged twice", signed(books.charged_twice), 0);
        same("skus balanced", signed(books.skus_balanced), len(plan.skus.len()));
        same("orders created, by events", signed(books.events_created), signed(orders));
        same("orders confirmed, by events", signed(books.events_confirmed), signed(orders));
        same("orders doubled or unknown, by events", signed(books.events_strange), 0);
        same("customers who see their orders", len(books.lists_right), len(books.lists_asked));
        faults
    }

    pub fn text(&self) -> String {
        let mut text = String::from("\n");
        text.push_str(&self.counts().plain());
        text.push_str(&self.reasons());
        text.push_str("\nrevenue, orders minus refunds (GBP)\n");
        text.push_str(&self.revenue().plain());
        if self.pace.placed > 0 {
            let seconds = self.pace.took.as_secs_f64();
            text.push_str(&format!(
                "\n{} orders in {seconds:.1} s: {:.1}/s\n  placing     {}\n  confirmed   {}\n",
                self.pace.placed,
                self.pace.placed as f64 / seconds,
                self.pace.placing.percentiles(),
                self.pace.confirming.percentiles(),
            ));
        }
        for (what, list) in
            [("stock", &self.books.skus_wrong), ("not at rest", &self.books.not_at_rest)]
        {
            for line in list.iter().take(LISTED) {
                text.push_str(&format!("  ✗ {what}: {line}\n"));
            }
        }
        let faults = self.faults();
        for fault in &faults {
            text.push_str(&format!("  ✗ {fault}\n"));
        }
        text.push_str(if faults.is_empty() { "balanced\n" } else { "NOT BALANCED\n" });
        text
    }

    fn counts(&self) -> Table {
        let (plan, books) = (self.plan, self.books);
        let mut table = Table::default();
        let mut row = |what: &str, count: String| table.row(vec![what.to_owned(), count]);
        row("invoices read", plan.invoices_read.to_string());
        row("lines read", plan.lines_read.to_string());
        row("invoices without goods", plan.empty_invoices.to_string());
        row("customers", plan.customers.to_string());
        row("orders placed", books.facts.placed.len().to_string());
        row("orders paid and confirmed", books.facts.confirmed.len().to_string());
        row("orders refused", books.facts.refused.len().to_string());
        row("refunds", books.facts.refunded.len().to_string());
        row("refunds refused", books.facts.refunds_refused.len().to_string());
        row("skus with balanced stock", format!("{}/{}", books.skus_balanced, plan.skus.len()));
        row(
            "customers who see their orders",
            format!("{}/{}", books.lists_right, books.lists_asked),
        );
        row(
            "events: created / confirmed / strange",
            format!(
                "{} / {} / {}",
                books.events_created, books.events_confirmed, books.events_strange
            ),
        );
        table
    }

    fn reasons(&self) -> String {
        let mut table = left_out(self.plan);
        let facts = &self.books.facts;
        let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in facts.refused.values().chain(facts.refunds_refused.values()) {
            *refused.entry(reason).or_default() += 1;
        }
        for (reason, count) in refused.into_iter().take(LISTED) {
            table.row(vec![format!("refused: {reason}"), count.to_string()]);
        }
        table.plain()
    }

    fn revenue(&self) -> Table {
        let mut table = Table::default();
        let rows = [
            ("second reader of the file", self.second.revenue_pence),
            ("plan of the replay", self.plan.revenue_minor()),
            ("the shop's answers", self.books.answered_minor),
            ("orders as they read now", self.books.read_minor),
            ("payment ledger", self.books.ledger_minor),
        ];
        for (what, minor) in rows {
            table.row(vec![what.to_owned(), pounds(minor)]);
        }
        table
    }
}

/// What of the file is not replayed, and why.
fn left_out(plan: &Plan) -> Table {
    let mut table = Table::default();
    for (reason, count) in &plan.skipped {
        table.row(vec![format!("skipped: {}", reason.text()), format!("{count} lines")]);
    }
    if plan.units_without_sale > 0 {
        let units = format!("{} units", plan.units_without_sale);
        table.row(vec!["not taken back".to_owned(), units]);
    }
    for invoice in &plan.oversized {
        table.row(vec![format!("left out: {invoice} has more than 1,000 lines"), String::new()]);
    }
    table
}

/// What a replay would do.
pub fn of_plan(plan: &Plan, second: Sum) -> String {
    let mut table = left_out(plan);
    table.row(vec!["revenue by the plan".to_owned(), pounds(plan.revenue_minor())]);
    table.row(vec!["revenue by the second reader".to_owned(), pounds(second.revenue_pence)]);
    table.plain()
}

#[cfg(test)]
mod tests {
    use super::super::file::{self, tests::SAMPLE};
    use super::super::journal::Placed;
    use super::super::{plan, second};
    use super::*;

    fn clean(plan: &Plan) -> Books {
        let revenue = plan.revenue_minor();
        let mut books = Books {
            answered_minor: revenue,
            read_minor: revenue,
            ledger_minor: revenue,
            at_rest: plan.orders.len() as u64,
            skus_balanced: plan.skus.len() as u64,
            events_created: plan.orders.len() as u64,
            events_confirmed: plan.orders.len() as u64,
            lists_asked: 1,
            lists_right: 1,
            ..Books::default()
        };
        for order in &plan.orders {
            let placed =
                Placed { order_id: order.invoice.clone(), token: String::new(), total_minor: 0 };
            books.facts.placed.insert(order.invoice.clone(), placed);
            books.facts.confirmed.insert(order.invoice.clone());
        }
        for (index, refund) in plan.refunds.iter().enumerate() {
            books.facts.refunded.insert(format!("{index}"), refund.amount_minor);
        }
        books
    }

    #[test]
    fn books_balance_only_when_every_side_agrees() {
        let plan = plan::make(&file::read(SAMPLE, None).unwrap());
        let pace = Pace::default();
        let second = second::read(SAMPLE, None);
        let faults = |change: fn(&mut Books)| {
            let mut books = clean(&plan);
            change(&mut books);
            Summary { plan: &plan, books: &books, pace: &pace, second }.faults()
        };
        assert_eq!(faults(|_| ()), Vec::<String>::new());
        let changes: [fn(&mut Books); 13] = [
            |b| b.answered_minor += 1,
            |b| b.read_minor -= 1,
            |b| b.ledger_minor += 1,
            |b| b.charged_twice += 1,
            |b| b.at_rest -= 1,
            |b| b.skus_balanced -= 1,
            |b| b.events_created += 1,
            |b| b.events_confirmed -= 1,
            |b| b.events_strange += 1,
            |b| b.lists_right -= 1,
            |b| drop(b.facts.placed.pop_first()),
            |b| drop(b.facts.confirmed.pop_first()),
            |b| drop(b.facts.refunded.pop_first()),
        ];
        for (index, change) in changes.into_iter().enumerate() {
            assert!(!faults(change).is_empty(), "change {index} went unnoticed");
        }
    }
}
