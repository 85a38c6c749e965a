use proptest::prelude::*;

use super::*;
use crate::domain::status::{is_paid, may_become};

fn rules() -> Rules {
    Rules {
        max_declines: 5,
        unsent_retries: 2,
        unsent_retries_automatic: 3,
        hold_grace: Duration::from_secs(2),
        reserve_repeat: Duration::from_secs(3),
        reserving_limit: Duration::from_secs(900),
        retry_first: Duration::from_millis(250),
        retry_longest: Duration::from_secs(30),
        stuck_after: 4,
    }
}

fn now() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

fn id<T: From<uuid::Uuid>>(number: u128) -> T {
    T::from(uuid::Uuid::from_u128(number))
}

fn hold() -> Option<Option<Timestamp>> {
    Some(Some(now().plus(Duration::from_secs(600))))
}

fn placed(method: bool) -> Saga {
    Saga::placed(1_000, hold(), method.then(|| id(1)), &rules(), now())
}

fn tell(saga: &Saga, input: Input) -> Decision {
    saga.decide(input, &rules(), now()).expect("the input means something")
}

fn declined() -> Input {
    Input::Declined { code: "card_declined".into(), hold_expires_at: None }
}

fn captured() -> Input {
    Input::Captured { payment: id(9) }
}

#[test]
fn the_straight_way_is_reserve_pay_confirm() {
    let saga = placed(true);
    assert_eq!(next_step(&saga, now()), Some(Step::Charge));
    let paid = tell(&saga, captured()).saga;
    assert_eq!((paid.status, paid.captured_minor), (OrderStatus::Paid, 1_000));
    assert_eq!(next_step(&paid, now()), Some(Step::Confirm));
    let confirmed = tell(&paid, Input::Confirmed);
    assert_eq!(confirmed.saga.status, OrderStatus::Confirmed);
    assert!(confirmed.effects.contains(&Effect::Publish(Fact::Confirmed)));
    assert_eq!(next_step(&confirmed.saga, now()), None);
}

#[test]
fn a_decline_ends_an_automatic_order_and_leaves_a_manual_one_four_more() {
    assert_eq!(tell(&placed(true), declined()).saga.status, OrderStatus::Failed);
    let mut saga = placed(false);
    for attempt in 1..=5u32 {
        let trying = saga.pay(id(attempt.into()), now()).unwrap();
        saga = tell(&trying, declined()).saga;
        let wanted = if attempt < 5 { OrderStatus::Pending } else { OrderStatus::Failed };
        assert_eq!((saga.status, saga.declines), (wanted, attempt));
    }
    assert_eq!(next_step(&saga, now()), Some(Step::Release));
}

#[test]
fn what_never_left_is_tried_again_within_bounds_and_then_waits_for_the_buyer() {
    let mut saga = placed(false).pay(id(1), now()).unwrap();
    for _ in 0..2 {
        let decision = tell(&saga, Input::NotSent);
        assert_eq!(decision.effects, [Effect::AttemptAgain]);
        saga = decision.saga;
        assert_eq!(saga.state, State::Authorizing);
    }
    let decision = tell(&saga, Input::NotSent);
    assert_eq!(decision.effects, [Effect::AttemptEnded(AttemptEnd::NotSent)]);
    assert_eq!(decision.saga.state, State::AwaitingPayment);
    assert!(decision.saga.next_run_at.is_some(), "the hold still ends");
}

#[test]
fn lost_stock_is_paid_back_before_the_order_ends() {
    let paid = tell(&placed(true), captured()).saga;
    let lost = tell(&paid, Input::StockLost);
    assert_eq!(lost.saga.status, OrderStatus::Paid, "not before the money is back");
    let refund = Effect::RefundRest { cause: "stock_lost".into(), actor: SAGA.into() };
    assert!(lost.effects.contains(&refund));
    let back = tell(&lost.saga, Input::RefundDone { minor: 1_000, actor: SAGA.into() }).saga;
    let ended = tell(&back, Input::RefundsDone);
    assert_eq!(ended.saga.status, OrderStatus::Canceled);
    assert_eq!(ended.saga.end.unwrap().cause, "stock_lost");
}

#[test]
fn money_that_comes_after_the_end_goes_back() {
    let ended = placed(false).cancel(false, "user:1", now()).unwrap().saga;
    let done = tell(&ended, Input::Released).saga;
    let late = tell(&done, Input::LateCapture { payment: id(9), minor: 1_000 });
    assert_eq!((late.saga.status, late.saga.captured_minor), (OrderStatus::Canceled, 1_000));
    assert!(late.effects.iter().any(|e| matches!(e, Effect::RefundMinor { minor: 1_000, .. })));
    assert!(
        late.saga
            .decide(Input::LateCapture { payment: id(9), minor: 1_000 }, &rules(), now())
            .is_none()
    );
}

#[test]
fn failures_back_off_and_finally_call_a_person() {
    let mut saga = tell(&placed(true), captured()).saga;
    let mut last = now();
    for _ in 0..4 {
        assert_eq!(saga.stuck, None);
        saga = tell(&saga, Input::Failed { reason: "away".into() }).saga;
        let next = saga.next_run_at.unwrap();
        assert!(next > last);
        last = next;
    }
    assert_eq!(saga.stuck.as_deref(), Some("away"));
    assert_eq!(tell(&saga, Input::Confirmed).saga.stuck, None);
}

#[test]
fn paying_is_refused_where_it_makes_no_sense() {
    let reserving = Saga::placed(1_000, None, None, &rules(), now());
    assert_eq!(reserving.pay(id(2), now()), Err(Refusal::NotReady));
    assert_eq!(placed(true).pay(id(2), now()), Err(Refusal::PaymentInProgress));
    let paid = tell(&placed(true), captured()).saga;
    assert_eq!(paid.pay(id(2), now()), Err(Refusal::AlreadyPaid));
    let failed = tell(&placed(true), declined()).saga;
    assert_eq!(failed.pay(id(2), now()), Err(Refusal::IllegalTransition));
}

#[test]
fn the_timer_of_a_placement_without_stock_ends_it() {
    let saga = Saga::placed(1_000, None, None, &rules(), now());
    assert_eq!(next_step(&saga, now()), None);
    assert_eq!(next_step(&saga, now().plus(Duration::from_secs(3))), Some(Step::Reserve));
    assert_eq!(next_step(&saga, now().plus(Duration::from_secs(900))), Some(Step::GiveUp));
    assert_eq!(tell(&saga, Input::TookTooLong).saga.status, OrderStatus::Failed);
    let short = tell(&saga, Input::Short).saga;
    assert_eq!((short.status, short.state), (OrderStatus::Canceled, State::Done));
}

/// Anything that may reach a saga, likely or not.
#[derive(Clone, Debug)]
enum Knock {
    Input(Input),
    Pay,
    Cancel(bool),
    RefundAsked,
}

fn knock() -> impl Strategy<Value = Knock> {
    let hold = Some(now().plus(Duration::from_secs(900)));
    let input = prop_oneof![
        Just(Input::Held { expires_at: hold }),
        Just(Input::Short),
        any::<bool>().prop_map(|released| Input::HoldLost { released }),
        (8u128..10).prop_map(|n| Input::Captured { payment: id(n) }),
        Just(declined()),
        Just(Input::OutcomeUnknown),
        Just(Input::NotSent),
        Just(Input::Confirmed),
        Just(Input::StockLost),
        (1i64..1_500).prop_map(|minor| Input::RefundDone { minor, actor: SAGA.into() }),
        (1i64..1_500).prop_map(|minor| Input::RefundPaid { minor, actor: SAGA.into() }),
        Just(Input::Restocked),
        Just(Input::RefundFailed { reason: "no".into(), actor: "user:1".into() }),
        Just(Input::RefundsDone),
        Just(Input::Released),
        Just(Input::Nothing),
        (8u128..10).prop_map(|n| Input::LateCapture { payment: id(n), minor: 700 }),
        Just(Input::TookTooLong),
        Just(Input::Failed { reason: "away".into() }),
    ];
    prop_oneof![
        8 => input.prop_map(Knock::Input),
        1 => Just(Knock::Pay),
        1 => any::<bool>().prop_map(Knock::Cancel),
        1 => Just(Knock::RefundAsked),
    ]
}

fn react(saga: &Saga, knock: Knock) -> Option<Decision> {
    match knock {
        Knock::Input(input) => saga.decide(input, &rules(), now()),
        Knock::Pay => {
            saga.pay(id(77), now()).ok().map(|saga| Decision { saga, effects: Vec::new() })
        }
        Knock::Cancel(staff) => saga.cancel(staff, "user:1", now()).ok(),
        Knock::RefundAsked => {
            let saga = Saga { refund_waits: !saga.refund_waits, ..saga.clone() };
            Some(Decision { saga, effects: Vec::new() })
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_the_life_cycle_and_the_till_hold(
        start in 0..3u8,
        knocks in prop::collection::vec(knock(), 0..40),
    ) {
        let mut saga = match start {
            0 => placed(true),
            1 => placed(false),
            _ => Saga::placed(1_000, None, None, &rules(), now()),
        };
        for knock in knocks {
            let Some(Decision { saga: next, effects }) = react(&saga, knock.clone()) else { continue };
            let facts = effects.iter().filter(|e| matches!(e, Effect::Publish(_))).count();
            let rows = effects.iter().filter(|e| matches!(e, Effect::History { .. })).count();
            if next.status == saga.status {
                prop_assert_eq!(facts, 0, "{:?}", knock);
            } else {
                prop_assert!(may_become(saga.status, next.status), "{:?}: {} to {}", knock, saga.status, next.status);
                prop_assert_eq!((facts, rows), (1, 1), "{:?}", knock);
            }
            prop_assert!(next.refunded_minor >= saga.refunded_minor);
            prop_assert!((0..=next.captured_minor).contains(&next.refunded_minor));
            prop_assert!(next.captured_minor >= saga.captured_minor);
            if is_paid(next.status) {
                prop_assert!(next.captured_minor >= 1_000 && next.payment.is_some());
            }
            // Somebody will look again, unless a person or nobody has to.
            let rests = next.state == State::Done || next.stuck.is_some();
            let waits = next.state == State::AwaitingPayment && next.hold_expires_at.is_none();
            prop_assert!(rests || waits || next.next_run_at.is_some(), "{:?} in {:?}", knock, next.state);
            // Where a payment may be under way, there is an attempt.
            if matches!(next.state, State::Authorizing | State::Deciding) {
                prop_assert!(next.attempt.is_some() && next.status == OrderStatus::Pending);
            }
            saga = next;
        }
    }
}
