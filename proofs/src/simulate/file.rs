//! Reading the file: which lines are sales of goods, and why others are not.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context as _;
use serde::Deserialize;

/// Why a line, or units of it, are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Unreadable,
    NotGoods,
    NoPrice,
    NoQuantity,
    SaleNotInFile,
    /// Some units of a line that was taken back for the rest.
    PartNotInFile,
}

impl Reason {
    pub fn text(self) -> &'static str {
        match self {
            Reason::Unreadable => "a quantity or price that is no number",
            Reason::NotGoods => "not goods (the code does not start with five digits)",
            Reason::NoPrice => "no price",
            Reason::NoQuantity => "quantity not positive, outside a cancellation",
            Reason::SaleNotInFile => "sale not in file",
            Reason::PartNotInFile => "sale not in file, for some of the line's units",
        }
    }
}

/// A line about goods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Upper case.
    pub code: String,
    pub title: String,
    /// Units sold, or taken back in a cancellation; always positive.
    pub qty: i64,
    pub price_minor: i64,
}

/// The lines of one invoice number, in the file's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    pub number: String,
    /// Empty for guests.
    pub customer: String,
    pub country: String,
    /// Its lines, with their place in the file.
    pub lines: Vec<(usize, Line)>,
}

impl Invoice {
    pub fn cancels(&self) -> bool {
        self.number.starts_with(['C', 'c'])
    }
}

/// The file as far as it is replayed.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    pub invoices: Vec<Invoice>,
    pub lines_read: usize,
    pub skipped: BTreeMap<Reason, u64>,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "InvoiceNo")]
    invoice: String,
    #[serde(rename = "StockCode")]
    code: String,
    #[serde(rename = "Description")]
    description: String,
    #[serde(rename = "Quantity")]
    quantity: String,
    #[serde(rename = "UnitPrice")]
    price: String,
    #[serde(rename = "CustomerID")]
    customer: String,
    #[serde(rename = "Country")]
    country: String,
}

/// The first `limit` invoices of the file, or all.
pub fn read(text: &str, limit: Option<usize>) -> anyhow::Result<Sheet> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut sheet = Sheet::default();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    for (index, record) in reader.deserialize().enumerate() {
        let record: Record = record.with_context(|| format!("line {}", index + 2))?;
        let known = places.get(&record.invoice).copied();
        if known.is_none() && limit.is_some_and(|limit| sheet.invoices.len() >= limit) {
            continue;
        }
        let place = known.unwrap_or_else(|| {
            places.insert(record.invoice.clone(), sheet.invoices.len());
            sheet.invoices.push(Invoice {
                number: record.invoice.clone(),
                customer: record.customer.clone(),
                country: record.country.clone(),
                lines: Vec::new(),
            });
            sheet.invoices.len() - 1
        });
        sheet.lines_read += 1;
        let invoice = &mut sheet.invoices[place];
        match line_of(&record, invoice.cancels()) {
            Ok(line) => invoice.lines.push((index, line)),
            Err(reason) => *sheet.skipped.entry(reason).or_default() += 1,
        }
    }
    Ok(sheet)
}

fn line_of(record: &Record, cancels: bool) -> Result<Line, Reason> {
    let code = record.code.to_uppercase();
    let digits = code.bytes().take_while(u8::is_ascii_digit).count();
    if digits < 5 {
        return Err(Reason::NotGoods);
    }
    let qty: i64 = record.quantity.parse().map_err(|_| Reason::Unreadable)?;
    let price_minor = pence(&record.price).ok_or(Reason::Unreadable)?;
    if price_minor <= 0 {
        return Err(Reason::NoPrice);
    }
    if (cancels && qty >= 0) || (!cancels && qty <= 0) {
        return Err(Reason::NoQuantity);
    }
    Ok(Line { code, title: record.description.clone(), qty: qty.abs(), price_minor })
}

/// Pounds with at most two digits as pence.
fn pence(text: &str) -> Option<i64> {
    let amount: shared_types::Amount = text.parse().ok()?;
    Some(amount.in_currency(shared_types::Currency::GBP).ok()?.minor)
}

impl Sheet {
    /// Customers who bought or brought back something.
    pub fn customers(&self) -> usize {
        let named = self.invoices.iter().filter(|i| !i.customer.is_empty());
        named.map(|i| &i.customer).collect::<HashSet<_>>().len()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Made by hand: every rule has its line.
    pub const SAMPLE: &str = "\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
1001,10001a,\"TIN, SMALL\",5,1/2/10 9:00,1.50,77,United Kingdom
1001,10001A,\"TIN, SMALL\",2,1/2/10 9:00,1.5,77,United Kingdom
1001,10001A,\"TIN, SMALL\",1,1/2/10 9:00,2.00,77,United Kingdom
1001,POST,POSTAGE,1,1/2/10 9:00,18.00,77,United Kingdom
1002,20002,JUG,4,1/2/10 9:05,3,,France
1002,20002,,0,1/2/10 9:05,3,,France
1003,20002,JUG,-3,1/2/10 9:10,0,,United Kingdom
1003,20003,BOWL,-3,1/2/10 9:10,1.25,,United Kingdom
C1004,10001A,\"TIN, SMALL\",-2,1/2/10 9:20,1.50,77,United Kingdom
C1004,30003,NEVER SOLD,-1,1/2/10 9:20,9.99,77,United Kingdom
1005,10001A,\"TIN, SMALL\",3,1/2/10 9:30,1.50,77,United Kingdom
C1006,10001a,\"TIN, SMALL\",-20,1/2/10 9:40,1.50,77,United Kingdom
C1007,20002,JUG,-1,1/2/10 9:50,3,,France
1008,20002,JUG,many,1/2/10 9:55,3,,France
";

    #[test]
    fn lines_are_sorted_by_the_rules() {
        let sheet = read(SAMPLE, None).unwrap();
        assert_eq!(sheet.invoices.len(), 8);
        assert_eq!(sheet.lines_read, 14);
        assert_eq!(sheet.customers(), 1);
        let skipped: Vec<_> = sheet.skipped.iter().map(|(r, n)| (*r, *n)).collect();
        assert_eq!(
            skipped,
            [
                (Reason::Unreadable, 1),
                (Reason::NotGoods, 1),
                (Reason::NoPrice, 1),
                (Reason::NoQuantity, 2)
            ]
        );
        let first = &sheet.invoices[0].lines;
        assert_eq!(first.len(), 3);
        assert_eq!(first[0].1.code, "10001A");
        assert_eq!(first[0].1.title, "TIN, SMALL");
        assert_eq!(first[1].1.price_minor, 150);
    }

    #[test]
    fn a_limit_counts_invoices() {
        let sheet = read(SAMPLE, Some(2)).unwrap();
        assert_eq!((sheet.invoices.len(), sheet.lines_read), (2, 6));
    }

    #[test]
    fn a_file_without_the_columns_is_refused() {
        assert!(read("a,b\n1,2\n", None).is_err());
    }
}
