//! Balancing the books: every order, refund and unit read again from the shop,
//! from its events and from the payment ledger.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared_types::Page;
use shared_types::identity::{Login, Tokens};
use shared_types::inventory::Stock;
use shared_types::orders::{Order, OrderStatus, OrderSummary, Stage as Doing};

use super::Stage;
use super::journal::{Facts, Placed};
use super::people;
use super::plan::SkuPlan;
use super::replay::{bar, pence};
use crate::client::{Call, Credential, Shop};
use crate::events::{self, Event, Fold};
use crate::shelves;
use crate::simulator::Account;

const AT_ONCE: usize = 8;
const REST_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(250);
const QUIET: Duration = Duration::from_secs(20);
/// Customers whose own list of orders is looked at.
const ASKED_CUSTOMERS: usize = 3;

/// What was found.
#[derive(Debug, Default)]
pub struct Books {
    pub facts: Facts,
    /// Totals of the answers to the placements, minus the answers to refunds.
    pub answered_minor: i64,
    /// The same from the orders as they read now.
    pub read_minor: i64,
    /// Charges minus refunds of our orders in the payment ledger.
    pub ledger_minor: i64,
    pub charged_twice: u64,
    pub at_rest: u64,
    pub not_at_rest: Vec<String>,
    pub skus_balanced: u64,
    pub skus_wrong: Vec<String>,
    pub events_created: u64,
    pub events_confirmed: u64,
    /// Orders of our skus in the event log that the journal does not know, or
    /// that were created twice.
    pub events_strange: u64,
    /// Customers whose own list of orders was right, and those asked.
    pub lists_right: usize,
    pub lists_asked: usize,
}

pub async fn take(stage: &Stage) -> anyhow::Result<Books> {
    let facts = stage.journal.facts();
    let orders = orders_at_rest(stage, &facts).await?;
    let mut books = Books { facts: facts.clone(), ..Books::default() };
    let answered: i64 = confirmed(&facts).map(|(_, placed)| placed.total_minor).sum();
    books.answered_minor = answered - facts.refunded.values().sum::<i64>();
    for (invoice, order) in &orders {
        if order.stage == Doing::Done {
            books.at_rest += 1;
        } else {
            books.not_at_rest.push(format!("{invoice}: {} / {}", order.status, order.stage));
        }
        let ended = matches!(order.status, OrderStatus::Canceled | OrderStatus::Failed);
        if !ended {
            books.read_minor += pence(order.total_amount)? - pence(order.refunded_amount)?;
        }
    }
    ledger(stage, &mut books).await?;
    shelves_balance(stage, &mut books).await?;
    event_log(stage, &mut books).await?;
    own_lists(stage, &mut books).await?;
    Ok(books)
}

fn confirmed(facts: &Facts) -> impl Iterator<Item = (&String, &Placed)> {
    facts.placed.iter().filter(|(invoice, _)| facts.confirmed.contains(*invoice))
}

/// Reads every order until its saga rests and its refunds have gone through.
async fn orders_at_rest(stage: &Stage, facts: &Facts) -> anyhow::Result<BTreeMap<String, Order>> {
    let expected: HashMap<&str, i64> =
        stage.plan.orders.iter().map(|o| (o.invoice.as_str(), o.refunded_minor)).collect();
    let mut orders: BTreeMap<String, Order> = BTreeMap::new();
    let started = Instant::now();
    let bar = bar(facts.placed.len(), "re-reading");
    let shop = stage.shop.with_bar(&bar);
    loop {
        let open: Vec<_> = facts
            .placed
            .iter()
            .filter(|(invoice, _)| {
                let refunds = expected.get(invoice.as_str()).copied().unwrap_or(0);
                let refunded = |o: &Order| pence(o.refunded_amount).unwrap_or(0);
                let settled = |o: &Order| o.stage == Doing::Done && refunded(o) == refunds;
                !orders.get(*invoice).is_some_and(settled)
            })
            .collect();
        bar.set_position((facts.placed.len() - open.len()) as u64);
        if open.is_empty()
            || (started.elapsed() > REST_WITHIN && orders.len() == facts.placed.len())
        {
            bar.finish_and_clear();
            return Ok(orders);
        }
        let read: Vec<(String, Order)> = stream::iter(open)
            .map(|(invoice, placed)| read_order(&shop, invoice, placed))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        orders.extend(read);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read_order(
    shop: &Shop,
    invoice: &str,
    placed: &Placed,
) -> anyhow::Result<(String, Order)> {
    let call = Call::get(format!("/orders/{}", placed.order_id))
        .by(Credential::Order(placed.token.clone()));
    let answer = shop.patiently(&call).await?;
    let order = answer.expect(&[200], "reading an order").with_context(|| invoice.to_owned())?;
    Ok((invoice.to_owned(), order))
}

async fn ledger(stage: &Stage, books: &mut Books) -> anyhow::Result<()> {
    let accounts = stage.simulator.accounts_since(stage.run.ledger_position).await?;
    let none = Account::default();
    for placed in books.facts.placed.values() {
        let account = accounts.get(&placed.order_id).unwrap_or(&none);
        books.ledger_minor += account.charged_minor - account.refunded_minor;
        books.charged_twice += u64::from(account.charges > 1);
    }
    Ok(())
}

/// On hand what the file sells, allocated what is not taken back, nothing held.
async fn shelves_balance(stage: &Stage, books: &mut Books) -> anyhow::Result<()> {
    let bar = bar(stage.plan.skus.len(), "stock");
    let shop = stage.shop.with_bar(&bar);
    let mut stocks = stream::iter(&stage.plan.skus)
        .map(|sku| {
            let (shop, name) = (&shop, sku.name(stage.run.round));
            async move {
                let stock = shelves::find_stock(shop, &stage.merchant, &name).await?;
                anyhow::Ok((sku, name, stock))
            }
        })
        .buffered(AT_ONCE);
    while let Some((sku, name, stock)) = stocks.try_next().await? {
        match stock.as_ref().map(|stock| fault(sku, stock)) {
            Some(None) => books.skus_balanced += 1,
            Some(Some(fault)) => books.skus_wrong.push(format!("{name}: {fault}")),
            None => books.skus_wrong.push(format!("{name}: no stock")),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

fn fault(sku: &SkuPlan, stock: &Stock) -> Option<String> {
    let wanted = [
        ("on hand", sku.sold, stock.on_hand),
        ("allocated", sku.sold - sku.returned, stock.allocated),
        ("held", 0, stock.held),
        ("available", sku.returned, stock.available),
    ];
    let wrong = wanted.into_iter().find(|(_, expected, found)| expected != found);
    wrong.map(|(what, expected, found)| format!("{what} {found}, must be {expected}"))
}

struct Log {
    skus: HashSet<String>,
    placed: usize,
    confirmable: usize,
    created: HashMap<String, u64>,
    confirmed: HashSet<String>,
}

impl Fold for Log {
    fn take(&mut self, event: Event) {
        if !event.skus().any(|sku| self.skus.contains(&sku)) {
            return;
        }
        match event.event_type.as_str() {
            "ecommerce.order.order.created.v1" => {
                *self.created.entry(event.partition_key).or_default() += 1;
            }
            "ecommerce.order.order.confirmed.v1" => {
                self.confirmed.insert(event.partition_key);
            }
            _ => {}
        }
    }

    fn complete(&self) -> bool {
        self.created.len() >= self.placed && self.confirmed.len() >= self.confirmable
    }
}

async fn event_log(stage: &Stage, books: &mut Books) -> anyhow::Result<()> {
    let names = stage.plan.skus.iter().map(|sku| sku.name(stage.run.round).to_lowercase());
    let log = Log {
        skus: names.collect(),
        placed: books.facts.placed.len(),
        confirmable: books.facts.confirmed.len(),
        created: HashMap::new(),
        confirmed: HashSet::new(),
    };
    let log = events::follow(&stage.broker, stage.run.marks.clone(), QUIET, log).await?;
    let ours: HashSet<&str> = books.facts.placed.values().map(|p| p.order_id.as_str()).collect();
    books.events_created = log.created.len() as u64;
    books.events_confirmed = log.confirmed.len() as u64;
    let strange = |(id, count): &(&String, &u64)| **count > 1 || !ours.contains(id.as_str());
    books.events_strange = log.created.iter().filter(strange).count() as u64;
    Ok(())
}

/// Some customers sign in and look at their orders: exactly theirs are there.
async fn own_lists(stage: &Stage, books: &mut Books) -> anyhow::Result<()> {
    let mut placed: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
    for order in stage.plan.orders.iter().filter(|o| !o.customer.is_empty()) {
        if let Some(found) = books.facts.placed.get(&order.invoice) {
            placed.entry(&order.customer).or_default().insert(&found.order_id);
        }
    }
    let asked: Vec<_> = placed.into_iter().take(ASKED_CUSTOMERS).collect();
    books.lists_asked = asked.len();
    let mut right = 0;
    for (customer, wanted) in asked {
        let login = Login {
            email: people::email(&stage.run, customer),
            password: people::password(&stage.run, customer),
        };
        let answer = stage.shop.patiently(&Call::post("/users/login", &login)?).await?;
        let tokens: Tokens = answer.expect(&[200], "signing a customer in")?;
        let call =
            Call::get("/orders?first=200").by(Credential::Bearer(tokens.access_token.clone()));
        let answer = stage.shop.patiently(&call).await?;
        let page: Page<OrderSummary> = answer.expect(&[200], "listing a customer's orders")?;
        let found: HashSet<String> =
            page.items.iter().map(|row| row.order_id.to_string()).collect();
        right += usize::from(found.iter().map(String::as_str).collect::<HashSet<_>>() == wanted);
    }
    books.lists_right = right;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_balances_only_when_every_count_is_right() {
        let sku = SkuPlan { code: "10001".into(), price_minor: 100, sold: 10, returned: 3 };
        let stock = |on_hand, held, allocated, available| Stock {
            sku: "10001-1.00".parse().unwrap(),
            on_hand,
            held,
            allocated,
            set_aside: 0,
            available,
            warehouses: Vec::new(),
        };
        assert_eq!(fault(&sku, &stock(10, 0, 7, 3)), None);
        for wrong in [stock(9, 0, 7, 2), stock(10, 1, 7, 2), stock(10, 0, 8, 2), stock(10, 0, 7, 2)]
        {
            assert!(fault(&sku, &wrong).is_some(), "{wrong:?}");
        }
    }
}
