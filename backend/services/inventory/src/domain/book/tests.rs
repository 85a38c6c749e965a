//! Any sequence of commands keeps every promise.

use proptest::prelude::*;

use super::*;
use crate::domain::shelf::Ask;
use crate::domain::shelf::tests::shelf;

const START: &str = "2026-11-20T10:00:00Z";
const TTL: Duration = Duration::from_secs(600);

#[derive(Clone, Debug)]
enum Command {
    Reserve { order: u128, lines: Vec<(u8, i64)>, sale: bool, wait: bool },
    Confirm(u128),
    Release(u128),
    Pin(u128, bool, bool),
    TakeBack(u128, u8, i64),
    Dispatch(u128),
    Adjust(u8, i64),
    Count(u8, i64),
    SetAside(u128, u8, i64),
    EndSales,
    Serve,
    Wait(u64),
}

fn command() -> impl Strategy<Value = Command> {
    let order = || 0..8u128;
    let lines = || prop::collection::vec((0..3u8, 1..5i64), 1..4);
    prop_oneof![
        8 => (order(), lines(), any::<bool>(), any::<bool>())
            .prop_map(|(order, lines, sale, wait)| Command::Reserve { order, lines, sale, wait }),
        5 => order().prop_map(Command::Confirm),
        3 => order().prop_map(Command::Release),
        1 => (order(), any::<bool>(), any::<bool>()).prop_map(|(o, p, e)| Command::Pin(o, p, e)),
        2 => (order(), 0..3u8, 1..4i64).prop_map(|(o, s, q)| Command::TakeBack(o, s, q)),
        1 => order().prop_map(Command::Dispatch),
        3 => (0..3u8, -4..6i64).prop_map(|(s, q)| Command::Adjust(s, q)),
        1 => (0..3u8, 0..9i64).prop_map(|(s, q)| Command::Count(s, q)),
        2 => (90..92u128, 0..3u8, 1..4i64).prop_map(|(n, s, q)| Command::SetAside(n, s, q)),
        1 => Just(Command::EndSales),
        3 => Just(Command::Serve),
        2 => (1..700u64).prop_map(Command::Wait),
    ]
}

/// A book with its clock.
struct Shop {
    book: Book,
    now: Timestamp,
    counted: bool,
    /// Sales end once; carving for an ended one is refused before the shelf.
    sales_over: bool,
}

impl Shop {
    fn new() -> Self {
        let mut shelf = shelf(&[("s0", &[5, 3]), ("s1", &[0, 7]), ("s2", &[4])]);
        shelf.items.get_mut("s0").unwrap().backorder_limit = Some(6);
        shelf.items.get_mut("s2").unwrap().backorder_limit = Some(3);
        let now = START.parse().unwrap();
        Shop { book: Book::over(shelf), now, counted: false, sales_over: false }
    }

    fn run(&mut self, command: &Command) {
        let order = |n: &u128| Uuid::from_u128(*n);
        let book = &mut self.book;
        match command {
            Command::Reserve { order: n, lines, sale, wait } => {
                let sale = sale.then(|| Uuid::from_u128(90));
                let mut wanted = Wanted::new();
                for (sku, qty) in lines {
                    *wanted.entry(Ask { sku_key: format!("s{sku}"), sale }).or_default() += qty;
                }
                let end = self.now.plus(TTL);
                let first = book.reserve(order(n), &wanted, end, *wait);
                let again = book.reserve(order(n), &wanted, end.plus(TTL), *wait);
                if let Answer::Held { expires_at, .. } = first {
                    assert_eq!(again, Answer::Held { expires_at, repeated: true });
                } else {
                    assert_eq!(again, first, "asked twice");
                }
            }
            Command::Confirm(n) => {
                assert_eq!(book.confirm(order(n)), book.confirm(order(n)), "confirmed twice");
            }
            Command::Release(n) => {
                book.release(order(n));
                assert!(!book.release(order(n)), "released twice");
                assert!(!book.confirm(order(n)), "confirmed after release");
            }
            Command::Pin(n, pinned, extend) => {
                book.pin(order(n), *pinned, extend.then_some(TTL));
            }
            Command::TakeBack(n, sku, qty) => {
                book.take_back(order(n), &Units::from([(format!("s{sku}"), *qty)]));
            }
            Command::Dispatch(n) => {
                // What was counted away cannot be sent.
                if !self.counted {
                    book.dispatch(order(n));
                }
            }
            Command::Adjust(sku, by) => {
                let _ = book.adjust(&format!("s{sku}"), "w1", *by);
            }
            Command::Count(sku, counted) => {
                book.count(&format!("s{sku}"), "w1", *counted);
                self.counted = true;
            }
            Command::SetAside(sale, sku, qty) => {
                if !self.sales_over {
                    book.set_aside(Uuid::from_u128(*sale), &format!("s{sku}"), *qty);
                }
            }
            Command::EndSales => {
                book.end_sales();
                self.sales_over = true;
            }
            Command::Serve => self.serve(),
            Command::Wait(seconds) => {
                self.now = self.now.plus(Duration::from_secs(*seconds));
                book.expire(self.now);
            }
        }
    }

    fn serve(&mut self) {
        self.book.serve_queue(self.now.plus(TTL));
        for item in self.book.shelf.items.values() {
            let free: i64 = item.places.iter().map(|p| p.level.available()).sum();
            assert!(item.backordered() == 0 || free == 0, "units lie beside a queue");
        }
    }

    fn check(&self) {
        let broken = self.book.violations(self.counted);
        assert!(broken.is_empty(), "{broken:?}");
    }
}

proptest! {
    #[test]
    fn no_sequence_of_commands_oversells_or_loses_a_unit(commands in prop::collection::vec(command(), 1..80)) {
        let mut shop = Shop::new();
        for command in &commands {
            shop.run(command);
            shop.check();
        }
    }

    #[test]
    fn when_everything_is_given_back_every_unit_is_free(commands in prop::collection::vec(command(), 1..60)) {
        let mut shop = Shop::new();
        for command in commands.iter().filter(|c| !matches!(c, Command::Count(..))) {
            shop.run(command);
        }
        for order in 0..8u128 {
            shop.book.release(Uuid::from_u128(order));
        }
        shop.book.end_sales();
        shop.check();
        for item in shop.book.shelf.items.values() {
            assert_eq!((item.available(), item.backordered()), (item.on_hand(), 0));
        }
    }
}
