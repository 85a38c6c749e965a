//! Any sequence of commands keeps every promise.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::shelf::Shelf;
use crate::domain::shelf::tests::shelf;

const START: &str = "2026-11-20T10:00:00Z";
const TTL: Duration = Duration::from_secs(600);

fn start() -> Timestamp {
    START.parse().unwrap()
}

#[derive(Clone, Debug)]
enum Command {
    Reserve(u8, Vec<(u8, i64)>),
    Confirm(u8),
    Release(u8),
    Pin(u8, bool, bool),
    TakeBack(u8, u8, i64),
    Dispatch(u8),
    Wait(u64),
}

fn command() -> impl Strategy<Value = Command> {
    let order = 0..6u8;
    prop_oneof![
        4 => (order.clone(), prop::collection::vec((0..3u8, 1..5i64), 1..4))
            .prop_map(|(o, lines)| Command::Reserve(o, lines)),
        3 => order.clone().prop_map(Command::Confirm),
        2 => order.clone().prop_map(Command::Release),
        1 => (order.clone(), any::<bool>(), any::<bool>()).prop_map(|(o, p, e)| Command::Pin(o, p, e)),
        2 => (order.clone(), 0..3u8, 1..4i64).prop_map(|(o, s, q)| Command::TakeBack(o, s, q)),
        1 => order.prop_map(Command::Dispatch),
        2 => (1..700u64).prop_map(Command::Wait),
    ]
}

/// The shop in memory: the same rules over maps in place of tables.
struct Shop {
    shelf: Shelf,
    holds: BTreeMap<u8, Hold>,
    now: Timestamp,
    /// What the ledger would add up to.
    ledger: i64,
}

impl Shop {
    fn new() -> Self {
        let shelf = shelf(&[("s0", &[5, 3]), ("s1", &[0, 7]), ("s2", &[4])]);
        Shop { shelf, holds: BTreeMap::new(), now: start(), ledger: 19 }
    }

    fn settle(&mut self, order: u8, how: impl Fn(&Hold) -> Settlement) -> Option<Settlement> {
        let hold = self.holds.get_mut(&order)?;
        let settled = how(hold);
        match &settled {
            Settlement::Moves(status, moves) => {
                hold.status = *status;
                self.shelf.apply(moves);
            }
            Settlement::Marks(status) => hold.status = *status,
            Settlement::Already | Settlement::Gone => {}
        }
        Some(settled)
    }

    fn reserve(&mut self, order: u8, lines: &[(u8, i64)]) {
        let mut wanted = Wanted::new();
        for (sku, qty) in lines {
            *wanted.entry(format!("s{sku}")).or_default() += qty;
        }
        match reserve(self.holds.get(&order), &wanted) {
            ReserveStep::Take | ReserveStep::TakeAgain => {
                if let Ok(picks) = self.shelf.take(&wanted) {
                    let lines = picks.into_iter().map(|p| line(p.sku_key, p.warehouse, p.qty));
                    let hold = Hold {
                        status: HoldStatus::Held,
                        expires_at: Some(self.now.plus(TTL)),
                        pinned: false,
                        extended: false,
                        lines: lines.collect(),
                    };
                    self.holds.insert(order, hold);
                }
            }
            _ => assert!(self.holds.contains_key(&order)),
        }
    }

    fn dispatch(&mut self, order: u8) {
        let Some(hold) = self.holds.get_mut(&order) else { return };
        if hold.status != HoldStatus::Confirmed {
            return;
        }
        let mut moves = Moves::default();
        for line in &mut hold.lines {
            let units = line.undispatched();
            line.dispatched += units;
            self.ledger -= units;
            let delta = Delta { on_hand: -units, allocated: -units, held: 0 };
            moves.add(&line.sku_key, &line.warehouse, delta);
        }
        self.shelf.apply(&moves);
    }

    fn run(&mut self, command: &Command) {
        match command {
            Command::Reserve(order, lines) => self.reserve(*order, lines),
            Command::Confirm(order) => {
                self.settle(*order, Hold::confirm);
                let again = self.settle(*order, Hold::confirm);
                assert!(!matches!(again, Some(Settlement::Moves(..))), "confirmed twice");
            }
            Command::Release(order) => {
                self.settle(*order, Hold::release);
                let again = self.settle(*order, Hold::release);
                assert!(matches!(again, None | Some(Settlement::Already)), "released twice");
            }
            Command::Pin(order, pinned, extend) => {
                if let Some(hold) = self.holds.get_mut(order) {
                    hold.pin(*pinned, extend.then_some(TTL));
                }
            }
            Command::TakeBack(order, sku, qty) => {
                if let Some(hold) = self.holds.get_mut(order) {
                    let wanted = Wanted::from([(format!("s{sku}"), *qty)]);
                    if let Ok(moves) = hold.take_back(&wanted) {
                        self.ledger += moves.iter().map(|(_, d)| d.on_hand).sum::<i64>();
                        self.shelf.apply(&moves);
                    }
                }
            }
            Command::Dispatch(order) => self.dispatch(*order),
            Command::Wait(seconds) => {
                self.now = self.now.plus(Duration::from_secs(*seconds));
                let now = self.now;
                for order in self.holds.keys().copied().collect::<Vec<_>>() {
                    self.settle(order, |h| h.expire(now));
                }
            }
        }
    }

    fn check(&self) {
        let mut on_hand = 0;
        for (key, item) in &self.shelf.0 {
            for place in &item.places {
                let level = place.level;
                assert!(level.held >= 0 && level.allocated >= 0, "{key} {level:?}");
                assert!(level.committed() <= level.on_hand, "oversold {key} {level:?}");
                let lines = |status: HoldStatus, units: fn(&HoldLine) -> i64| -> i64 {
                    let holds = self.holds.values().filter(|h| h.status == status);
                    let here = |l: &&HoldLine| l.sku_key == *key && l.warehouse == place.warehouse;
                    holds.flat_map(|h| h.lines.iter().filter(here)).map(units).sum()
                };
                assert_eq!(level.held, lines(HoldStatus::Held, |l| l.qty));
                assert_eq!(level.allocated, lines(HoldStatus::Confirmed, HoldLine::undispatched));
                on_hand += level.on_hand;
            }
        }
        assert_eq!(on_hand, self.ledger);
    }
}

fn line(sku_key: String, warehouse: String, qty: i64) -> HoldLine {
    HoldLine { sku_key, warehouse, qty, dispatched: 0, returned: 0, brought_back: 0 }
}

proptest! {
    #[test]
    fn no_sequence_of_commands_oversells_or_loses_a_unit(commands in prop::collection::vec(command(), 1..60)) {
        let mut shop = Shop::new();
        for command in &commands {
            shop.run(command);
            shop.check();
        }
    }
}

fn held() -> Hold {
    Hold {
        status: HoldStatus::Held,
        expires_at: Some(start()),
        pinned: false,
        extended: false,
        lines: vec![line("a".into(), "w1".into(), 2), line("a".into(), "w2".into(), 1)],
    }
}

#[test]
fn a_pinned_hold_does_not_expire_and_is_extended_once() {
    let mut hold = held();
    assert!(hold.pin(true, Some(TTL)));
    assert_eq!(hold.expire(start().plus(TTL)), Settlement::Gone);
    assert!(hold.pin(false, Some(TTL)));
    assert_eq!(hold.expires_at, Some(start().plus(TTL)));
    assert!(matches!(hold.expire(start().plus(TTL)), Settlement::Moves(HoldStatus::Expired, _)));
}

#[test]
fn an_order_keeps_its_first_request() {
    let same = Wanted::from([("a".to_owned(), 3)]);
    let other = Wanted::from([("a".to_owned(), 2)]);
    let mut hold = held();
    assert!(matches!(reserve(Some(&hold), &same), ReserveStep::Repeat { .. }));
    assert_eq!(reserve(Some(&hold), &other), ReserveStep::Differs);
    hold.status = HoldStatus::Expired;
    assert_eq!(reserve(Some(&hold), &other), ReserveStep::TakeAgain);
    hold.status = HoldStatus::Released;
    assert_eq!(reserve(Some(&hold), &same), ReserveStep::Ended);
}

#[test]
fn more_than_was_bought_cannot_come_back() {
    let mut hold = held();
    let wanted = Wanted::from([("a".to_owned(), 4)]);
    assert_eq!(hold.take_back(&wanted), Err(ReturnRefusal::NotConfirmed));
    hold.status = HoldStatus::Confirmed;
    let refusal = ReturnRefusal::Exceeds { sku_key: "a".into(), left: 3 };
    assert_eq!(hold.take_back(&wanted), Err(refusal));
}
