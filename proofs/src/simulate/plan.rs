//! From lines to products, orders and refunds. Pure.

use std::collections::{BTreeMap, HashMap};

use super::file::{Invoice, Reason, Sheet};

/// A code at a price: one variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkuPlan {
    pub code: String,
    pub price_minor: i64,
    /// Units sold in the file: the opening stock.
    pub sold: i64,
    /// Units of these that are taken back.
    pub returned: i64,
}

impl SkuPlan {
    /// `85123A-2.55`, marked with the round from the second one on.
    pub fn name(&self, round: u32) -> String {
        let (pounds, pence) = (self.price_minor / 100, self.price_minor % 100);
        let mark = if round > 1 { format!("-r{round}") } else { String::new() };
        format!("{}-{pounds}.{pence:02}{mark}", self.code)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductPlan {
    pub code: String,
    pub title: String,
    /// Indices of its skus.
    pub skus: Vec<usize>,
}

/// Units of a sku, by its index.
pub type Units = BTreeMap<usize, i64>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderPlan {
    pub invoice: String,
    /// Empty for guests.
    pub customer: String,
    pub country: String,
    pub units: Units,
    pub total_minor: i64,
    /// What its refunds give back in all.
    pub refunded_minor: i64,
}

/// What one cancellation takes back from one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundPlan {
    pub invoice: String,
    /// Index of the order.
    pub order: usize,
    pub units: Units,
    pub amount_minor: i64,
}

/// Something to do, in the file's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Place(usize),
    TakeBack(usize),
}

#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub invoices_read: usize,
    pub lines_read: usize,
    pub customers: usize,
    /// Invoices without any line about goods that are sold or brought back.
    pub empty_invoices: usize,
    /// More lines than an order may have.
    pub oversized: Vec<String>,
    pub skipped: BTreeMap<Reason, u64>,
    /// Units that could not be taken back.
    pub units_without_sale: i64,
    pub products: Vec<ProductPlan>,
    pub skus: Vec<SkuPlan>,
    pub orders: Vec<OrderPlan>,
    pub refunds: Vec<RefundPlan>,
    pub steps: Vec<Step>,
}

/// Lines that an order may have.
const MAX_LINES: usize = 1_000;

/// Units sold in one line that nobody brought back yet.
struct Lot {
    order: usize,
    sku: usize,
    left: i64,
}

#[derive(Default)]
struct Planner {
    plan: Plan,
    skus: HashMap<(String, i64), usize>,
    products: HashMap<String, usize>,
    /// Orders by the place of their invoice in the sheet.
    orders: HashMap<usize, usize>,
    /// Lots by customer and code, oldest first.
    lots: HashMap<(String, String), Vec<Lot>>,
}

pub fn make(sheet: &Sheet) -> Plan {
    let mut planner = Planner::default();
    planner.plan.invoices_read = sheet.invoices.len();
    planner.plan.lines_read = sheet.lines_read;
    planner.plan.customers = sheet.customers();
    planner.plan.skipped = sheet.skipped.clone();
    for (place, invoice) in sheet.invoices.iter().enumerate() {
        if invoice.lines.is_empty() {
            planner.plan.empty_invoices += 1;
        } else if !invoice.cancels() {
            planner.order(place, invoice);
        }
    }
    planner.walk(sheet);
    planner.plan.steps = steps(sheet, &planner);
    planner.plan
}

impl Planner {
    fn sku(&mut self, code: &str, title: &str, price_minor: i64) -> usize {
        let plan = &mut self.plan;
        let sku = *self.skus.entry((code.to_owned(), price_minor)).or_insert_with(|| {
            plan.skus.push(SkuPlan { code: code.to_owned(), price_minor, sold: 0, returned: 0 });
            plan.skus.len() - 1
        });
        let product = *self.products.entry(code.to_owned()).or_insert_with(|| {
            let (code, title) = (code.to_owned(), String::new());
            plan.products.push(ProductPlan { code, title, skus: Vec::new() });
            plan.products.len() - 1
        });
        let product = &mut plan.products[product];
        if product.title.is_empty() {
            product.title = title.to_owned();
        }
        if !product.skus.contains(&sku) {
            product.skus.push(sku);
        }
        sku
    }

    /// Repeated lines of a code and price are added up.
    fn order(&mut self, place: usize, invoice: &Invoice) {
        let mut units = Units::new();
        let mut total_minor = 0;
        let mut kinds: Vec<_> =
            invoice.lines.iter().map(|(_, line)| (&line.code, line.price_minor)).collect();
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.len() > MAX_LINES {
            self.plan.oversized.push(invoice.number.clone());
            return;
        }
        for (_, line) in &invoice.lines {
            let sku = self.sku(&line.code, &line.title, line.price_minor);
            *units.entry(sku).or_default() += line.qty;
            total_minor += line.qty * line.price_minor;
            self.plan.skus[sku].sold += line.qty;
        }
        self.orders.insert(place, self.plan.orders.len());
        self.plan.orders.push(OrderPlan {
            invoice: invoice.number.clone(),
            customer: invoice.customer.clone(),
            country: invoice.country.clone(),
            units,
            total_minor,
            refunded_minor: 0,
        });
    }

    /// All lines in the file's order: sales lay lots down, cancellations take
    /// from them, newest first.
    fn walk(&mut self, sheet: &Sheet) {
        let mut lines: Vec<_> = sheet
            .invoices
            .iter()
            .enumerate()
            .flat_map(|(place, invoice)| invoice.lines.iter().map(move |line| (place, line)))
            .collect();
        lines.sort_by_key(|(_, (index, _))| *index);
        let mut refunds: BTreeMap<(usize, usize), Units> = BTreeMap::new();
        for (place, (_, line)) in lines {
            let invoice = &sheet.invoices[place];
            let whose = (invoice.customer.clone(), line.code.clone());
            if invoice.cancels() {
                let taken = self.take(&whose, line.qty);
                for (order, sku, qty) in taken {
                    *refunds.entry((place, order)).or_default().entry(sku).or_default() += qty;
                }
            } else if let Some(order) = self.orders.get(&place).copied() {
                let sku = self.sku(&line.code, &line.title, line.price_minor);
                self.lots.entry(whose).or_default().push(Lot { order, sku, left: line.qty });
            }
        }
        for ((place, order), units) in refunds {
            let price = |sku: &usize| self.plan.skus[*sku].price_minor;
            let amount_minor = units.iter().map(|(sku, qty)| price(sku) * qty).sum();
            for (sku, qty) in &units {
                self.plan.skus[*sku].returned += qty;
            }
            self.plan.orders[order].refunded_minor += amount_minor;
            let invoice = sheet.invoices[place].number.clone();
            self.plan.refunds.push(RefundPlan { invoice, order, units, amount_minor });
        }
    }

    /// Guests are nobody in particular: nothing of theirs is found again.
    fn take(&mut self, whose: &(String, String), qty: i64) -> Vec<(usize, usize, i64)> {
        let (mut missing, mut taken) = (qty, Vec::new());
        let mut none = Vec::new();
        let lots = match self.lots.get_mut(whose) {
            Some(lots) if !whose.0.is_empty() => lots,
            _ => &mut none,
        };
        while missing > 0
            && let Some(lot) = lots.last_mut()
        {
            let part = lot.left.min(missing);
            taken.push((lot.order, lot.sku, part));
            lot.left -= part;
            missing -= part;
            if lot.left == 0 {
                lots.pop();
            }
        }
        if missing > 0 {
            let reason =
                if taken.is_empty() { Reason::SaleNotInFile } else { Reason::PartNotInFile };
            *self.plan.skipped.entry(reason).or_default() += 1;
            self.plan.units_without_sale += missing;
        }
        taken
    }
}

/// An order stands where its first line stands, a refund where the last line of
/// its cancellation does: what it takes back was placed before.
fn steps(sheet: &Sheet, planner: &Planner) -> Vec<Step> {
    let mut steps: Vec<(usize, Step)> = Vec::new();
    let places: HashMap<&str, usize> =
        sheet.invoices.iter().enumerate().map(|(p, i)| (i.number.as_str(), p)).collect();
    for (place, order) in &planner.orders {
        let first = sheet.invoices[*place].lines.first().map_or(0, |(index, _)| *index);
        steps.push((first, Step::Place(*order)));
    }
    for (index, refund) in planner.plan.refunds.iter().enumerate() {
        let place = places[refund.invoice.as_str()];
        let last = sheet.invoices[place].lines.last().map_or(0, |(index, _)| *index);
        steps.push((last, Step::TakeBack(index)));
    }
    steps.sort_by_key(|(at, step)| match step {
        Step::Place(order) => (*at, *order),
        Step::TakeBack(refund) => (*at, *refund),
    });
    steps.into_iter().map(|(_, step)| step).collect()
}

impl Plan {
    pub fn in_short(&self) -> String {
        format!(
            "{} invoices: {} orders, {} refunds, {} products, {} skus, {} customers",
            self.invoices_read,
            self.orders.len(),
            self.refunds.len(),
            self.products.len(),
            self.skus.len(),
            self.customers,
        )
    }

    /// What the orders come to, refunds taken off.
    pub fn revenue_minor(&self) -> i64 {
        self.orders.iter().map(|o| o.total_minor - o.refunded_minor).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::{read, tests::SAMPLE};
    use super::*;

    fn plan() -> Plan {
        make(&read(SAMPLE, None).unwrap())
    }

    #[test]
    fn one_product_per_code_and_one_variant_per_price() {
        let plan = plan();
        let codes: Vec<_> = plan.products.iter().map(|p| (p.code.as_str(), p.skus.len())).collect();
        assert_eq!(codes, [("10001A", 2), ("20002", 1)]);
        let names: Vec<_> = plan.skus.iter().map(|s| s.name(1)).collect();
        assert_eq!(names, ["10001A-1.50", "10001A-2.00", "20002-3.00"]);
        assert_eq!(plan.skus[0].name(2), "10001A-1.50-r2");
        let sold: Vec<_> = plan.skus.iter().map(|s| s.sold).collect();
        assert_eq!(sold, [10, 1, 4], "opening stock is what the file sells");
    }

    #[test]
    fn repeated_lines_are_added_up() {
        let plan = plan();
        assert_eq!(plan.orders[0].units, Units::from([(0, 7), (1, 1)]));
        assert_eq!(plan.orders[0].total_minor, 1_250);
        assert_eq!((plan.orders.len(), plan.empty_invoices), (3, 2));
    }

    #[test]
    fn units_come_back_from_the_newest_sale_first_at_its_price() {
        let plan = plan();
        // C1004 takes two: the unit at 2.00 was the newest line, then one at 1.50.
        let first = &plan.refunds[0];
        assert_eq!((first.invoice.as_str(), first.order), ("C1004", 0));
        assert_eq!(first.units, Units::from([(0, 1), (1, 1)]));
        assert_eq!(first.amount_minor, 350);
        // C1006 wants twenty: six of the first order are left, three of the second.
        let rest: Vec<_> = plan.refunds[1..].iter().map(|r| (r.order, &r.units)).collect();
        assert_eq!(rest, [(0, &Units::from([(0, 6)])), (2, &Units::from([(0, 3)]))]);
        assert_eq!(plan.skus[0].returned, 10);
    }

    #[test]
    fn what_has_no_sale_is_skipped() {
        let plan = plan();
        // Never sold; and a guest's, because guests are not found again.
        assert_eq!(plan.skipped[&Reason::SaleNotInFile], 2);
        assert_eq!(plan.skipped[&Reason::PartNotInFile], 1);
        assert_eq!(plan.units_without_sale, 1 + 1 + 11);
    }

    #[test]
    fn steps_follow_the_file() {
        let plan = plan();
        let order: Vec<_> = plan.steps.iter().map(|s| format!("{s:?}")).collect();
        assert_eq!(
            order,
            ["Place(0)", "Place(1)", "TakeBack(0)", "Place(2)", "TakeBack(1)", "TakeBack(2)"]
        );
    }

    #[test]
    fn revenue_is_orders_minus_refunds() {
        assert_eq!(plan().revenue_minor(), 1_250 + 1_200 + 450 - 350 - 900 - 450);
    }
}
