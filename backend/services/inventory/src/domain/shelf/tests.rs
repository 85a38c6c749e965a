//! Shelves for tests, and how they are served.

use super::*;

/// A shelf of skus, each with units per warehouse in order of priority.
pub fn shelf(skus: &[(&str, &[i64])]) -> Shelf {
    let item = |key: &str, units: &[i64]| Item {
        sku: key.parse().unwrap(),
        product_id: ProductId(uuid::Uuid::nil()),
        low_threshold: 0,
        backorder_limit: None,
        places: (1..)
            .zip(units)
            .map(|(priority, on_hand)| Place {
                warehouse: format!("w{priority}"),
                priority,
                level: Level { on_hand: *on_hand, ..Level::default() },
            })
            .collect(),
    };
    Shelf {
        items: skus.iter().map(|(key, units)| ((*key).to_owned(), item(key, units))).collect(),
        asides: BTreeMap::new(),
    }
}

fn wanted(lines: &[(&str, i64)]) -> Wanted {
    lines.iter().map(|(key, qty)| (Ask::ordinary(*key), *qty)).collect()
}

fn picked(picks: &[Pick]) -> Vec<(&str, &str, i64)> {
    picks.iter().map(|p| (p.sku_key.as_str(), p.warehouse.as_str(), p.qty)).collect()
}

#[test]
fn one_warehouse_serves_all_lines_when_it_can() {
    let mut shelf = shelf(&[("a", &[1, 5]), ("b", &[9, 5])]);
    let (picks, _) = shelf.take(&wanted(&[("a", 2), ("b", 2)])).unwrap();
    assert_eq!(picked(&picks), [("a", "w2", 2), ("b", "w2", 2)]);
}

#[test]
fn lines_split_in_order_of_priority_when_no_warehouse_has_all() {
    let mut shelf = shelf(&[("a", &[3, 5])]);
    let (picks, _) = shelf.take(&wanted(&[("a", 7)])).unwrap();
    assert_eq!(picked(&picks), [("a", "w1", 3), ("a", "w2", 4)]);
    assert_eq!(shelf.items["a"].available(), 1);
}

#[test]
fn a_short_line_takes_nothing_and_says_what_there_was() {
    let mut shelf = shelf(&[("a", &[3]), ("b", &[1])]);
    let short = shelf.take(&wanted(&[("a", 3), ("b", 2)])).unwrap_err();
    assert_eq!(short, [ShortOf { sku_key: "b".into(), requested: 2, available: 1 }]);
    assert_eq!(shelf.items["a"].available(), 3);
}

#[test]
fn a_sale_is_served_from_what_was_set_aside_and_only_while_it_lives() {
    let sale = Uuid::from_u128(7);
    let mut shelf = shelf(&[("a", &[3, 5])]);
    assert_eq!(shelf.carve(sale, "a", 9), Err(8));
    shelf.carve(sale, "a", 4).unwrap();
    assert_eq!(shelf.items["a"].available(), 4);
    let ask = |qty| Wanted::from([(Ask { sku_key: "a".into(), sale: Some(sale) }, qty)]);
    assert_eq!(shelf.take(&ask(5)).unwrap_err()[0].available, 4);
    let (picks, _) = shelf.take(&ask(4)).unwrap();
    assert_eq!(picked(&picks), [("a", "w1", 3), ("a", "w2", 1)]);
    assert_eq!((shelf.short(&ask(1)).len(), shelf.items["a"].available()), (1, 4));
    shelf.dissolve();
    assert!(shelf.unknown_sales(&ask(1)).is_empty());
    let other = Wanted::from([(Ask { sku_key: "a".into(), sale: Some(Uuid::nil()) }, 1)]);
    assert_eq!(shelf.unknown_sales(&other).len(), 1);
}

#[test]
fn who_waits_is_served_in_order_of_arrival_before_anybody_else() {
    let mut shelf = shelf(&[("a", &[2]), ("b", &[9])]);
    shelf.items.get_mut("a").unwrap().backorder_limit = Some(5);
    let first = shelf.queue(&wanted(&[("a", 4), ("b", 1)])).unwrap();
    assert_eq!(picked(&first.picks), [("a", "w1", 2), ("b", "w1", 1)]);
    assert_eq!(first.open, Units::from([("a".to_owned(), 2)]));
    assert_eq!(shelf.queue(&wanted(&[("a", 4)])).unwrap_err()[0].available, 0, "beyond the limit");
    shelf.queue(&wanted(&[("a", 3)])).unwrap();
    let place = &mut shelf.items.get_mut("a").unwrap().places[0];
    place.level.on_hand += 3;
    assert!(shelf.take(&wanted(&[("a", 1)])).is_err(), "the queue comes first");
    let waiter = |n, open| Waiter { order_id: Uuid::from_u128(n), sku_key: "a".into(), open };
    let (served, _) = shelf.serve(&[waiter(1, 2), waiter(2, 3)]);
    let units: Vec<i64> = served.iter().map(|(_, picks)| picks[0].qty).collect();
    assert_eq!(units, [2, 1]);
    assert_eq!(shelf.items["a"].backordered(), 2);
}
