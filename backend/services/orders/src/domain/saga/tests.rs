use proptest::prelude::*;

use shared_types::orders::Stage;

use super::*;
use crate::domain::status::{is_paid, may_become};

fn rules() -> Rules {
    Rules {
        max_declines: 5,
        unsent_retries: 2,
        unsent_retries_automatic: 3,
        hold_grace: Duration::from_secs(2),
        reserve_repeat: Duration::from_secs(3),
        backorder_repeat: Duration::from_secs(600),
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

fn hold() -> Shelf {
    Shelf::Held(Some(now().plus(Duration::from_secs(600))))
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
fn an_expired_hold_does_not_make_a_running_charge_forgotten() {
    let saga = placed(true);
    assert_eq!(saga.decide(Input::HoldLost { released: true }, &rules(), now()), None);
    let paid = tell(&saga, captured()).saga;
    assert_eq!(paid.decide(Input::HoldLost { released: true }, &rules(), now()), None);
    let refunding = tell(&paid, Input::StockLost);
    assert!(refunding.effects.iter().any(|e| matches!(e, Effect::RefundRest { .. })));
    // The charge found neither the hold nor an attempt that payments knows.
    let ended = tell(&saga, Input::HoldLost { released: false }).saga;
    assert_eq!((ended.status, ended.attempt), (OrderStatus::Canceled, None));
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
    let ended = placed(false).cancel("customer_request", "user:1", now()).unwrap().saga;
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
    let reserving = Saga::placed(1_000, Shelf::Unknown, None, &rules(), now());
    assert_eq!(reserving.pay(id(2), now()), Err(Refusal::NotReady));
    assert_eq!(placed(true).pay(id(2), now()), Err(Refusal::PaymentInProgress));
    let paid = tell(&placed(true), captured()).saga;
    assert_eq!(paid.pay(id(2), now()), Err(Refusal::AlreadyPaid));
    let failed = tell(&placed(true), declined()).saga;
    assert_eq!(failed.pay(id(2), now()), Err(Refusal::IllegalTransition));
}

#[test]
fn the_timer_of_a_placement_without_stock_ends_it() {
    let saga = Saga::placed(1_000, Shelf::Unknown, None, &rules(), now());
    assert_eq!(next_step(&saga, now()), None);
    assert_eq!(next_step(&saga, now().plus(Duration::from_secs(3))), Some(Step::Reserve));
    assert_eq!(next_step(&saga, now().plus(Duration::from_secs(900))), Some(Step::GiveUp));
    assert_eq!(tell(&saga, Input::TookTooLong).saga.status, OrderStatus::Failed);
    let short = tell(&saga, Input::Short).saga;
    assert_eq!((short.status, short.state), (OrderStatus::Canceled, State::Done));
}

#[test]
fn a_backordered_order_is_charged_when_its_units_came_and_not_before() {
    let shelf = Shelf::Waiting;
    let with_method = Saga::placed(1_000, shelf, Some(id(1)), &rules(), now());
    assert_eq!(
        (with_method.state, with_method.state.stage()),
        (State::Backordered, Stage::Backordered)
    );
    assert_eq!(next_step(&with_method, now()), None);
    assert_eq!(with_method.pay(id(2), now()), Err(Refusal::NotReady));
    let arrived = Input::Held { expires_at: Some(now().plus(Duration::from_secs(86_400))) };
    let charged = tell(&with_method, arrived.clone()).saga;
    assert_eq!(next_step(&charged, now()), Some(Step::Charge));
    let without = Saga::placed(1_000, shelf, None, &rules(), now());
    assert_eq!(tell(&without, arrived).saga.state, State::AwaitingPayment);
    let canceled = with_method.cancel("customer_request", "user:1", now()).unwrap();
    assert!(canceled.effects.contains(&Effect::AttemptEnded(AttemptEnd::NotSent)));
    assert_eq!(next_step(&canceled.saga, now()), Some(Step::Release));
    let late = tell(&Saga::placed(1_000, Shelf::Unknown, None, &rules(), now()), Input::Waiting);
    assert_eq!(late.saga.state, State::Backordered);
}

fn stuck(mut saga: Saga) -> Saga {
    for _ in 0..4 {
        saga = tell(&saga, Input::Failed { reason: "away".into() }).saga;
    }
    assert!(saga.stuck.is_some());
    saga
}

fn resolved(saga: &Saga, refund: Option<i64>) -> Decision {
    saga.resolve(refund, "user:9", &rules(), now()).unwrap()
}

#[test]
fn an_operator_retries_what_is_under_way_only() {
    let paid = stuck(tell(&placed(true), captured()).saga);
    let again = paid.retry(now()).unwrap().saga;
    assert_eq!((again.stuck.clone(), again.retries), (None, 0));
    assert_eq!(next_step(&again, now()), Some(Step::Confirm));
    assert_eq!(placed(false).retry(now()), Err(Refusal::WaitsForBuyer));
    let done = tell(&paid, Input::Confirmed).saga;
    assert_eq!(done.retry(now()), Err(Refusal::AtRest));
    let lost = tell(&paid, Input::StockLost).saga;
    let refused = Input::RefundFailed { reason: "no".into(), actor: SAGA.into() };
    let decision = tell(&lost, refused).saga.retry(now()).unwrap();
    assert!(matches!(decision.effects[..], [Effect::RefundRest { .. }]));
}

#[test]
fn an_operator_compensates_an_undecided_payment_and_its_money_still_goes_back() {
    assert_eq!(placed(true).compensate("user:9", now()), Err(Refusal::PaymentInProgress));
    let deciding = tell(&placed(true), Input::OutcomeUnknown).saga;
    let ended = deciding.compensate("user:9", now()).unwrap().saga;
    assert_eq!((ended.status, ended.state), (OrderStatus::Canceled, State::Releasing));
    assert_eq!(ended.compensate("user:9", now()), Err(Refusal::Compensating));
    let settling = tell(&ended, Input::Released).saga;
    assert_eq!(next_step(&settling, now()), Some(Step::AskOutcome));
    let late = tell(&settling, captured());
    let back = Effect::RefundMinor { minor: 1_000, cause: "late_capture".into() };
    assert!(late.effects.contains(&back));
    assert_eq!((late.saga.captured_minor, late.saga.attempt), (1_000, None));
    // The event came first: it is counted once.
    let known = tell(&settling, Input::LateCapture { payment: id(9), minor: 1_000 }).saga;
    assert!(!tell(&known, captured()).effects.contains(&back));
    assert_eq!(tell(&settling, Input::NotSent).saga.state, State::Done);
    let paid = tell(&placed(true), captured()).saga;
    assert_eq!(paid.compensate("user:9", now()).unwrap().saga.state, State::Refunding);
}

#[test]
fn an_operator_resolves_what_was_done_by_hand() {
    let paid = tell(&placed(true), captured()).saga;
    assert_eq!(paid.resolve(None, "user:9", &rules(), now()), Err(Refusal::NotStuck));
    assert_eq!(resolved(&stuck(paid.clone()), None).saga.status, OrderStatus::Confirmed);
    let deciding = tell(&placed(true), Input::OutcomeUnknown).saga;
    let refused = stuck(deciding).resolve(None, "user:9", &rules(), now());
    assert_eq!(refused, Err(Refusal::NotResolvable));
    let lost = tell(&paid, Input::StockLost).saga;
    let failed = Input::RefundFailed { reason: "no".into(), actor: SAGA.into() };
    let ended = resolved(&tell(&lost, failed).saga, None).saga;
    assert_eq!((ended.status, ended.refunded_minor), (OrderStatus::Canceled, 1_000));
    let waiting = Saga { refund_waits: true, ..stuck(lost) };
    let back = resolved(&waiting, Some(1_000));
    assert!(back.effects.contains(&Effect::RefundIs(RefundState::Succeeded)));
    assert_eq!(back.saga.refunded_minor, 1_000);
}

/// Anything that may reach a saga, likely or not.
#[derive(Clone, Debug)]
enum Knock {
    Input(Input),
    Pay,
    Cancel,
    RefundAsked,
    Retry,
    Compensate,
    Resolve,
}

fn knock() -> impl Strategy<Value = Knock> {
    let hold = Some(now().plus(Duration::from_secs(900)));
    let input = prop_oneof![
        Just(Input::Held { expires_at: hold }),
        Just(Input::Short),
        Just(Input::Waiting),
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
        1 => Just(Knock::Cancel),
        1 => Just(Knock::RefundAsked),
        1 => Just(Knock::Retry),
        1 => Just(Knock::Compensate),
        1 => Just(Knock::Resolve),
    ]
}

fn react(saga: &Saga, knock: Knock) -> Option<Decision> {
    match knock {
        Knock::Input(input) => saga.decide(input, &rules(), now()),
        Knock::Pay => {
            saga.pay(id(77), now()).ok().map(|saga| Decision { saga, effects: Vec::new() })
        }
        Knock::Cancel => saga.cancel("support_request", "user:1", now()).ok(),
        Knock::Retry => saga.retry(now()).ok(),
        Knock::Compensate => saga.compensate("user:9", now()).ok(),
        Knock::Resolve => {
            let refund = saga.refund_waits.then_some(saga.captured_minor - saga.refunded_minor);
            saga.resolve(refund, "user:9", &rules(), now()).ok()
        }
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
        start in 0..4u8,
        knocks in prop::collection::vec(knock(), 0..40),
    ) {
        let mut saga = match start {
            0 => placed(true),
            1 => placed(false),
            2 => Saga::placed(1_000, Shelf::Waiting, Some(id(1)), &rules(), now()),
            _ => Saga::placed(1_000, Shelf::Unknown, None, &rules(), now()),
        };
        for knock in knocks {
            let Some(Decision { saga: next, effects }) = react(&saga, knock.clone()) else { continue };
            let facts = effects.iter().filter(|e| matches!(e, Effect::Publish(_))).count();
            let rows = effects.iter().filter(|e| matches!(e, Effect::History { .. })).count();
            if next.status == saga.status {
                prop_assert_eq!(facts, 0, "{:?}", knock);
            } else {
                prop_assert!(may_become(saga.status, next.status), "{:?}: {} to {}", knock, saga.status, next.status);
                let by_hand = usize::from(matches!(knock, Knock::Resolve));
                prop_assert_eq!((facts, rows), (1, 1 + by_hand), "{:?}", knock);
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
            // An attempt that nobody learns the outcome of is never left behind.
            if next.state == State::Done {
                prop_assert!(next.attempt.is_none(), "{:?}", knock);
            }
            saga = next;
        }
    }
}
