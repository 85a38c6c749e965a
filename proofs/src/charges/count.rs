//! The sides that know what was charged: the shop, its events, the gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context as _;
use uuid::Uuid;

use super::buyers::Purchase;
use super::{Args, Sabotage};
use crate::events::{self, Event, Fold, Marks};
use crate::report::Table;
use crate::settings::ShopArgs;
use crate::simulator::{Account, Simulator};

/// No news for so long means that nothing more is coming.
const QUIET: Duration = Duration::from_secs(30);
/// Failures beyond this say nothing new.
const SHOWN: usize = 10;
/// Below this share of those who want to pay, a shop that charges nobody would
/// pass as well.
const ENOUGH_PERCENT: usize = 90;

/// Everything that was seen of one order.
#[derive(Clone, Debug)]
struct Sides {
    purchase: Purchase,
    captured_events: u64,
    account: Account,
}

/// All orders, and charges of orders that nobody placed.
pub struct Evidence {
    orders: Vec<Sides>,
    strangers: u64,
}

/// How often each order's payment was captured, by the event log.
struct Log {
    paid: BTreeSet<Uuid>,
    captured: BTreeMap<Uuid, u64>,
}

impl Fold for Log {
    fn take(&mut self, event: Event) {
        let Ok(order) = event.partition_key.parse::<Uuid>() else { return };
        if event.event_type == "ecommerce.payment.payment.captured.v1" {
            *self.captured.entry(order).or_default() += 1;
        }
    }

    fn complete(&self) -> bool {
        self.paid.iter().all(|order| self.captured.contains_key(order))
    }
}

/// Breaks the promise at the gateway itself, as far as was asked for.
pub async fn sabotage(
    args: &Args,
    simulator: &Simulator,
    purchases: &[Purchase],
) -> anyhow::Result<()> {
    let paid: Vec<_> = purchases.iter().filter(|p| p.paid).take(2).collect();
    let unpaid = purchases.iter().find(|p| !p.paid);
    if args.sabotage.is_some() {
        simulator.calm().await?;
    }
    if Sabotage::includes(args.sabotage, Sabotage::Double) {
        let order = paid.first().context("nothing was paid to charge again")?;
        simulator.charge_again(&order.order_id.to_string()).await?;
        println!("sabotage: charged one order again");
    }
    if Sabotage::includes(args.sabotage, Sabotage::Unpaid) {
        let order = unpaid.context("everything was paid")?;
        simulator.charge(&order.order_id.to_string(), order.total_minor, "USD").await?;
        println!("sabotage: charged an order that nobody paid");
    }
    if Sabotage::includes(args.sabotage, Sabotage::Missing) {
        let order = paid.last().context("nothing was paid to give back")?;
        simulator.give_back(&order.order_id.to_string()).await?;
        println!("sabotage: gave a charge back behind the shop's back");
    }
    Ok(())
}

pub async fn gather(
    shop_args: &ShopArgs,
    simulator: &Simulator,
    purchases: Vec<Purchase>,
    marks: Marks,
    ledger: i64,
) -> anyhow::Result<Evidence> {
    let paid = purchases.iter().filter(|p| p.paid).map(|p| p.order_id).collect();
    let log = Log { paid, captured: BTreeMap::new() };
    let log = events::follow(&shop_args.broker, marks, QUIET, log).await?;
    let mut accounts = simulator.accounts_since(ledger).await?;
    let orders = purchases.into_iter().map(|purchase| Sides {
        captured_events: log.captured.get(&purchase.order_id).copied().unwrap_or(0),
        account: accounts.remove(&purchase.order_id.to_string()).unwrap_or_default(),
        purchase,
    });
    let orders = orders.collect();
    Ok(Evidence { orders, strangers: accounts.len() as u64 })
}

impl Sides {
    fn wrong(&self) -> Option<String> {
        let Sides { purchase, captured_events, account } = self;
        let id = purchase.order_id;
        let kept_minor = account.charged_minor - account.refunded_minor;
        if purchase.paid {
            if account.charges != 1 {
                return Some(format!("{id} is paid and was charged {} times", account.charges));
            }
            if kept_minor != purchase.total_minor {
                let total = purchase.total_minor;
                return Some(format!("{id} is paid and {kept_minor} of {total} were kept"));
            }
            if *captured_events != 1 {
                return Some(format!("{id} is paid and has {captured_events} captures in the log"));
            }
        } else if kept_minor != 0 {
            return Some(format!("{id} is not paid and {kept_minor} of it were kept"));
        } else if account.charges > 1 {
            return Some(format!("{id} is not paid and was charged {} times", account.charges));
        }
        None
    }
}

impl Evidence {
    /// Prints what was seen; whether the promise held.
    pub fn print(&self, args: &Args, unknown: u64) -> bool {
        let of = |what: fn(&&Sides) -> bool| self.orders.iter().filter(what).count();
        let wanted = of(|s| s.purchase.manner.wants_to_pay());
        let paid = of(|s| s.purchase.paid);
        let mut table =
            Table::new(&["", "orders", "charged once", "more often", "captured by events"]);
        for (name, is_paid) in [("paid", true), ("not paid", false)] {
            let some: Vec<_> = self.orders.iter().filter(|s| s.purchase.paid == is_paid).collect();
            let of = |what: fn(&Sides) -> bool| some.iter().filter(|s| what(s)).count().to_string();
            table.row(vec![
                name.to_owned(),
                some.len().to_string(),
                of(|s| s.account.charges == 1),
                of(|s| s.account.charges > 1),
                of(|s| s.captured_events > 0),
            ]);
        }
        print!("\n{}", table.plain());
        println!(
            "  {paid} of {wanted} who wanted to pay have paid; {} kills; {unknown} outcomes unknown",
            args.kills
        );
        let failures = self.failures(args, unknown);
        for failure in failures.iter().take(SHOWN) {
            println!("  ✗ {failure}");
        }
        if failures.len() > SHOWN {
            println!("  ✗ and {} more", failures.len() - SHOWN);
        }
        let held = failures.is_empty();
        println!(
            "{}",
            if held { "held: one charge per paid order, none for others" } else { "BROKEN" }
        );
        held
    }

    fn failures(&self, args: &Args, unknown: u64) -> Vec<String> {
        let mut failures: Vec<String> = self.orders.iter().filter_map(Sides::wrong).collect();
        if self.strangers > 0 {
            failures.push(format!("{} orders were charged that nobody placed", self.strangers));
        }
        if unknown > 0 {
            failures.push(format!("{unknown} outcomes are unknown still"));
        }
        if self.orders.len() as u64 != args.payments {
            failures.push(format!("{} orders instead of {}", self.orders.len(), args.payments));
        }
        let wanted = self.orders.iter().filter(|s| s.purchase.manner.wants_to_pay());
        let (wanted, paid) = (wanted.clone().count(), wanted.filter(|s| s.purchase.paid).count());
        if paid * 100 < wanted * ENOUGH_PERCENT {
            failures.push(format!("only {paid} of {wanted} could pay"));
        }
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::charges::buyers::Manner;

    fn sides(paid: bool, charges: u64, refunded_minor: i64) -> Sides {
        let purchase = Purchase::for_test(Manner::Later, 2_990, paid);
        let charged_minor = charges as i64 * 2_990;
        let account = Account { charges, charged_minor, refunded_minor };
        Sides { purchase, captured_events: u64::from(paid), account }
    }

    #[test]
    fn a_paid_order_has_one_charge_and_another_has_nothing() {
        assert_eq!(sides(true, 1, 0).wrong(), None);
        assert_eq!(sides(false, 0, 0).wrong(), None);
        assert_eq!(sides(false, 1, 2_990).wrong(), None, "taken too late and given back");
        for wrong in [
            sides(true, 0, 0),
            sides(true, 2, 0),
            sides(true, 2, 2_990),
            sides(true, 1, 10),
            sides(false, 1, 0),
            sides(false, 2, 5_980),
            Sides { captured_events: 2, ..sides(true, 1, 0) },
        ] {
            assert!(wrong.wrong().is_some(), "{wrong:?}");
        }
        let mut odd = sides(true, 1, 0);
        odd.account.charged_minor += 1;
        assert!(odd.wrong().is_some(), "another amount");
    }
}
