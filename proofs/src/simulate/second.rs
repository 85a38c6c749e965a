//! A second reader of the file, for the sum alone. It shares no code with the
//! replay: its own reading of CSV, its own arithmetic in whole pence, its own
//! way of finding what a cancellation takes back.

use std::collections::HashMap;

/// What the file comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Orders minus refunds.
    pub revenue_pence: i64,
    pub ordered_pence: i64,
    pub refunded_pence: i64,
    pub invoices: usize,
    /// Invoices that order something.
    pub orders: usize,
}

/// Sums the first `limit` invoices of a file, or all.
pub fn read(text: &str, limit: Option<usize>) -> Sum {
    let mut sum = Sum::default();
    let mut rows = Rows { rest: text.trim_start_matches('\u{feff}') };
    let Some(head) = rows.next() else { return sum };
    let column = |name: &str| head.iter().position(|h| h.trim() == name);
    let find = ["InvoiceNo", "StockCode", "Quantity", "UnitPrice", "CustomerID"].map(column);
    let [Some(invoice), Some(code), Some(quantity), Some(price), Some(customer)] = find else {
        return sum;
    };
    // Whether an invoice has ordered something yet, by number; and its customer.
    let mut invoices: HashMap<String, (bool, String)> = HashMap::new();
    // Prices of units sold and not brought back, one entry per unit.
    let mut sold: HashMap<String, Vec<i64>> = HashMap::new();
    for row in rows {
        let cell = |at: usize| row.get(at).map_or("", |c| c.trim());
        let number = cell(invoice);
        if !invoices.contains_key(number) {
            if limit == Some(invoices.len()) {
                continue;
            }
            invoices.insert(number.to_owned(), (false, cell(customer).to_owned()));
        }
        let Some((ordered, who)) = invoices.get_mut(number) else { continue };
        let goods =
            cell(code).len() >= 5 && cell(code).as_bytes()[..5].iter().all(u8::is_ascii_digit);
        let (Some(units), Some(pence)) = (whole(cell(quantity)), hundredths(cell(price))) else {
            continue;
        };
        if !goods || pence == 0 {
            continue;
        }
        let shelf = format!("{who}|{}", cell(code).to_ascii_lowercase());
        if !number.to_ascii_uppercase().starts_with('C') {
            if units > 0 {
                *ordered = true;
                sum.ordered_pence += units * pence;
                sold.entry(shelf).or_default().extend((0..units).map(|_| pence));
            }
        } else if !who.is_empty() && units < 0 {
            let stack = sold.entry(shelf).or_default();
            let kept = stack.len().saturating_sub(units.unsigned_abs() as usize);
            sum.refunded_pence += stack.drain(kept..).sum::<i64>();
        }
    }
    sum.invoices = invoices.len();
    sum.orders = invoices.values().filter(|(ordered, _)| *ordered).count();
    sum.revenue_pence = sum.ordered_pence - sum.refunded_pence;
    sum
}

fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || digits.len() > 9 || digits.bytes().any(|b| !b.is_ascii_digit()) {
        return None;
    }
    let value = digits.bytes().fold(0, |sum, b| sum * 10 + i64::from(b - b'0'));
    Some(if text.starts_with('-') { -value } else { value })
}

/// `2.5` is 250; negative prices count as none.
fn hundredths(text: &str) -> Option<i64> {
    let mut parts = text.split('.');
    let (pounds, pence) = (parts.next()?, parts.next().unwrap_or("0"));
    if parts.next().is_some() || pence.len() > 2 {
        return None;
    }
    if pounds.starts_with('-') {
        return Some(0);
    }
    let tens = if pence.len() == 1 { 10 } else { 1 };
    Some(whole(pounds)? * 100 + whole(pence)? * tens)
}

/// Rows of a CSV text; quotes may hold commas, line ends and doubled quotes.
struct Rows<'a> {
    rest: &'a str,
}

impl Iterator for Rows<'_> {
    type Item = Vec<String>;

    fn next(&mut self) -> Option<Vec<String>> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut row, mut cell, mut quoted) = (Vec::new(), String::new(), false);
        let mut letters = self.rest.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' if quoted && letters.peek().is_some_and(|(_, l)| *l == '"') => {
                    cell.push('"');
                    letters.next();
                }
                '"' => quoted = !quoted,
                ',' if !quoted => row.push(std::mem::take(&mut cell)),
                '\n' if !quoted => {
                    self.rest = &self.rest[at + 1..];
                    row.push(cell);
                    return Some(row);
                }
                other => cell.push(other),
            }
        }
        self.rest = "";
        row.push(cell);
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::{self, tests::SAMPLE};
    use super::super::plan;
    use super::*;

    #[test]
    fn the_sum_of_the_sample_is_the_one_added_up_by_hand() {
        let sum = read(SAMPLE, None);
        // 5 × 1.50 + 2 × 1.50 + 1 × 2.00; 4 × 3.00; 3 × 1.50.
        assert_eq!(sum.ordered_pence, 1_250 + 1_200 + 450);
        // C1004: 2.00 + 1.50; C1006: the nine at 1.50 that are left.
        assert_eq!(sum.refunded_pence, 350 + 9 * 150);
        assert_eq!((sum.invoices, sum.orders), (8, 3));
    }

    #[test]
    fn both_readers_agree_at_every_limit() {
        for limit in 0..=9 {
            let planned = plan::make(&file::read(SAMPLE, Some(limit)).unwrap());
            let second = read(SAMPLE, Some(limit));
            assert_eq!(second.revenue_pence, planned.revenue_minor(), "limit {limit}");
            assert_eq!(second.orders, planned.orders.len(), "limit {limit}");
        }
    }

    #[test]
    fn quotes_hold_commas_quotes_and_line_ends() {
        let rows: Vec<_> = Rows { rest: "a,\"b, \"\"c\"\"\nd\",e\nf" }.collect();
        assert_eq!(rows, [vec!["a", "b, \"c\"\nd", "e"], vec!["f"]]);
    }

    #[test]
    fn prices_are_read_in_pence() {
        assert_eq!(hundredths("2.55"), Some(255));
        assert_eq!(hundredths("2.5"), Some(250));
        assert_eq!(hundredths("165"), Some(16_500));
        assert_eq!(hundredths("0.001"), None);
        assert_eq!(hundredths("x"), None);
    }
}
