//! The life of one hold.

use super::*;

const START: &str = "2026-11-20T10:00:00Z";
const TTL: Duration = Duration::from_secs(600);

fn start() -> Timestamp {
    START.parse().unwrap()
}

fn line(sku_key: &str, warehouse: &str, qty: i64) -> HoldLine {
    let (sku_key, warehouse) = (sku_key.to_owned(), warehouse.to_owned());
    HoldLine::of(&Pick { sku_key, warehouse, qty, sale: None })
}

fn held() -> Hold {
    Hold {
        status: HoldStatus::Held,
        expires_at: Some(start()),
        pinned: false,
        extended: false,
        lines: vec![line("a", "w1", 2), line("a", "w2", 1)],
        open: Units::new(),
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
    let same = Wanted::from([(Ask::ordinary("a"), 3)]);
    let other = Wanted::from([(Ask::ordinary("a"), 2)]);
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
    let wanted = Units::from([("a".to_owned(), 4)]);
    assert_eq!(hold.take_back(&wanted), Err(ReturnRefusal::NotConfirmed));
    hold.status = HoldStatus::Confirmed;
    let refusal = ReturnRefusal::Exceeds { sku_key: "a".into(), left: 3 };
    assert_eq!(hold.take_back(&wanted), Err(refusal));
}

#[test]
fn what_waits_is_held_once_everything_came() {
    let open = Units::from([("a".to_owned(), 3)]);
    let picks = [Pick { sku_key: "a".into(), warehouse: "w1".into(), qty: 1, sale: None }];
    let mut hold = Hold::new(&picks, open, start());
    assert_eq!((hold.status, hold.expires_at), (HoldStatus::Waiting, None));
    assert_eq!(hold.confirm(), Settlement::Gone, "not before it is all there");
    assert!(!hold.receive(&[Pick { qty: 2, ..picks[0].clone() }], start()));
    assert!(hold.receive(&picks, start().plus(TTL)));
    assert_eq!((hold.status, hold.lines[0].qty), (HoldStatus::Held, 4));
    assert_eq!(hold.expires_at, Some(start().plus(TTL)));
}
