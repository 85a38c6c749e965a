//! What must hold: at every commit, and when nothing is left to happen. The
//! rules are written down here a second time, from the contract.

use inventory::domain::hold::HoldStatus;
use orders::domain::saga::{RefundState, State};
use shared_types::orders::OrderStatus;

use crate::stock::sku_key;
use crate::world::{No, World, id_of};

/// At every commit of inventory.
pub fn of_stock(world: &mut World) {
    for (key, item) in &world.book.shelf.items {
        for place in &item.places {
            let level = place.level;
            if level.held + level.allocated + level.set_aside > level.on_hand {
                let what = format!("{key} at {} is oversold: {level:?}", place.warehouse);
                return world.breaks(what);
            }
        }
    }
    if let Some(broken) = world.book.violations(false).into_iter().next() {
        world.breaks(broken);
    }
}

/// At every move of money.
pub fn of_money(world: &mut World, no: No) {
    let total = world.scenario.buyers[no].as_ref().map_or(0, |buyer| buyer.total_minor);
    let net = world.till.net(no);
    if net > total {
        let charges = world.till.charges(no);
        world.breaks(format!("order {no} of {total} is charged {net}, in {charges} charges"));
    }
    if net < 0 {
        world.breaks(format!("order {no} got back {} more than it paid", -net));
    }
}

/// At every change of an order.
pub fn of_status(world: &mut World, no: No, from: OrderStatus, to: OrderStatus) {
    use OrderStatus::{Canceled, Confirmed, Failed, Paid, Pending};
    let legal = matches!(
        (from, to),
        (Pending, Pending | Paid | Canceled | Failed)
            | (Paid, Paid | Confirmed | Canceled)
            | (Confirmed, Confirmed | Canceled)
            | (Canceled, Canceled)
            | (Failed, Failed)
    );
    if !legal {
        world.breaks(format!("order {no} goes from {from} to {to}"));
    }
}

/// When nothing is left to happen.
pub fn at_the_end(world: &mut World) {
    let orders: Vec<No> = world.rows.keys().copied().collect();
    for no in orders {
        if let Some(wrong) = wrong_with(world, no) {
            return world.breaks(format!("at the end, order {no}: {wrong}"));
        }
    }
    let nobodys = |(id, status): (&uuid::Uuid, HoldStatus)| {
        let lives =
            matches!(status, HoldStatus::Held | HoldStatus::Waiting | HoldStatus::Confirmed);
        lives && !world.rows.keys().any(|no| id_of(*no) == *id)
    };
    let holds = world.book.holds.iter().map(|(id, hold)| (id, hold.status));
    if let Some((id, _)) = holds.clone().find(|hold| nobodys(*hold)) {
        return world.breaks(format!("at the end, a hold of no order: {id}"));
    }
    if let Some((source, no)) = world.unread().into_iter().next() {
        return world.breaks(format!("at the end, an event of order {no} by {source:?} is unread"));
    }
    if let Some(wrong) = wrong_units(world) {
        world.breaks(format!("at the end, {wrong}"));
    }
}

fn wrong_with(world: &World, no: No) -> Option<String> {
    let row = world.rows.get(&no)?;
    let saga = &row.saga;
    if saga.state != State::Done || saga.next_run_at.is_some() || saga.stuck.is_some() {
        return Some(format!("its saga does not rest: {saga:?}"));
    }
    if row.refunds.iter().any(|refund| refund.is != Some(RefundState::Succeeded)) {
        return Some(format!("a refund is open: {:?}", row.refunds));
    }
    let sold = match saga.status {
        OrderStatus::Confirmed => true,
        OrderStatus::Canceled | OrderStatus::Failed => false,
        other => return Some(format!("it ended as {other}")),
    };
    let (net, charges) = (world.till.net(no), world.till.charges(no));
    if net != if sold { saga.total_minor } else { 0 } {
        return Some(format!("it is {} and {net} were taken", saga.status));
    }
    if sold && charges != 1 {
        return Some(format!("it took {charges} charges"));
    }
    if saga.captured_minor - saga.refunded_minor != net {
        return Some(format!("it believes in {} - {}", saga.captured_minor, saga.refunded_minor));
    }
    let hold = world.book.holds.get(&id_of(no)).map(|hold| hold.status);
    let fits = match hold {
        Some(HoldStatus::Confirmed) => sold,
        Some(HoldStatus::Held | HoldStatus::Waiting) => false,
        Some(HoldStatus::Released | HoldStatus::Expired) | None => !sold,
    };
    if !fits {
        return Some(format!("it is {} and its hold {hold:?}", saga.status));
    }
    wrong_story(world, no, &row.history)
}

/// The events that others counted tell what happened, each thing once.
fn wrong_story(world: &World, no: No, history: &[OrderStatus]) -> Option<String> {
    let word = |status: &OrderStatus| match status {
        OrderStatus::Pending => "order.created",
        OrderStatus::Paid => "order.paid",
        OrderStatus::Confirmed => "order.confirmed",
        OrderStatus::Failed => "order.failed",
        _ => "order.canceled",
    };
    let happened: Vec<&str> = history.iter().map(word).collect();
    let counted = world.summaries.get(&no).map(Vec::as_slice).unwrap_or_default();
    let consecutive = counted.iter().zip(1..).all(|((version, _), nth)| *version == nth);
    let told: Vec<&str> = counted.iter().map(|(_, name)| *name).collect();
    (told != happened || !consecutive)
        .then(|| format!("{happened:?} happened, {counted:?} was told"))
}

/// Every unit is sold or free.
fn wrong_units(world: &World) -> Option<String> {
    for sku in 0..world.scenario.goods.len() {
        let key = sku_key(sku);
        let item = world.book.shelf.items.get(&key)?;
        let sold: i64 = world
            .rows
            .iter()
            .filter(|(_, row)| row.saga.status == OrderStatus::Confirmed)
            .filter_map(|(no, _)| world.scenario.buyers[*no].as_ref())
            .flat_map(|buyer| &buyer.lines)
            .filter(|(of, _)| *of == sku)
            .map(|(_, units)| units)
            .sum();
        let free = item.available();
        if sold + free != item.on_hand() {
            let there = item.on_hand();
            return Some(format!("{key}: {there} units, {sold} sold, {free} free"));
        }
    }
    None
}
