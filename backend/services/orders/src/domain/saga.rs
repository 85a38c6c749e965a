//! The checkout as a state machine.
//!
//! [`next_step`] says what to do now, [`Saga::decide`] what an answer or event
//! means, [`Saga::pay`] and [`Saga::cancel`] whether people may. Nothing here
//! acts: a decision is the new state and a list of effects, which are stored
//! together.

mod diagram;
mod operators;
mod people;
mod words;

use std::time::Duration;

use shared_types::orders::OrderStatus;
use shared_types::{AttemptId, PaymentId, Timestamp};

pub use people::Refusal;
pub use words::{AttemptEnd, Effect, Fact, Input, RefundState, Shelf, State, Step};

/// The changing part of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saga {
    pub state: State,
    pub status: OrderStatus,
    /// The attempt that pays now.
    pub attempt: Option<AttemptId>,
    /// The attempt came with the placement: a decline ends the order.
    pub automatic: bool,
    pub declines: u32,
    pub not_sent: u32,
    /// Failures of the present step.
    pub retries: u32,
    pub total_minor: i64,
    pub captured_minor: i64,
    pub refunded_minor: i64,
    pub payment: Option<PaymentId>,
    pub last_decline: Option<String>,
    pub hold_expires_at: Option<Timestamp>,
    /// How the order ends once the money went back.
    pub end: Option<End>,
    /// A refund of this order is under way. Not stored: read with the refunds.
    pub refund_waits: bool,
    /// Null: it waits for somebody else.
    pub next_run_at: Option<Timestamp>,
    pub deadline: Option<Timestamp>,
    /// Why a person must look.
    pub stuck: Option<String>,
}

/// Why and by whom an order ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub cause: String,
    pub actor: String,
}

/// The saga's own name in history rows and events.
pub const SAGA: &str = "service:orders";

#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub max_declines: u32,
    pub unsent_retries: u32,
    pub unsent_retries_automatic: u32,
    pub hold_grace: Duration,
    pub reserve_repeat: Duration,
    pub backorder_repeat: Duration,
    pub reserving_limit: Duration,
    pub retry_first: Duration,
    pub retry_longest: Duration,
    pub stuck_after: u32,
}

impl Rules {
    fn pause(&self, failures: u32) -> Duration {
        let doubled = self.retry_first.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.retry_longest)
    }
}

/// What is to be done at `now`; `None` when the saga rests.
pub fn next_step(saga: &Saga, now: Timestamp) -> Option<Step> {
    if saga.next_run_at.is_none_or(|at| at > now) {
        return None;
    }
    match saga.state {
        State::Reserving if saga.deadline.is_some_and(|at| at <= now) => Some(Step::GiveUp),
        State::Reserving | State::Backordered => Some(Step::Reserve),
        State::AwaitingPayment => Some(Step::HoldTimer),
        State::Authorizing => Some(Step::Charge),
        State::Deciding | State::Settling => Some(Step::AskOutcome),
        State::Confirming => Some(Step::Confirm),
        State::Refunding if saga.refund_waits => Some(Step::Refund),
        State::Refunding => Some(Step::EndRefunded),
        State::Releasing => Some(Step::Release),
        State::Done if saga.refund_waits => Some(Step::Refund),
        State::Done => Some(Step::Rest),
    }
}

/// A new state with its effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub saga: Saga,
    pub effects: Vec<Effect>,
}

fn history(cause: &str, actor: &str) -> Effect {
    Effect::History { cause: cause.to_owned(), actor: actor.to_owned() }
}

impl Saga {
    /// The saga of an order that is placed now.
    pub fn placed(
        total_minor: i64,
        shelf: Shelf,
        attempt: Option<AttemptId>,
        rules: &Rules,
        now: Timestamp,
    ) -> Saga {
        let saga = Saga {
            state: State::Reserving,
            status: OrderStatus::Pending,
            automatic: attempt.is_some(),
            attempt,
            declines: 0,
            not_sent: 0,
            retries: 0,
            total_minor,
            captured_minor: 0,
            refunded_minor: 0,
            payment: None,
            last_decline: None,
            hold_expires_at: None,
            end: None,
            refund_waits: false,
            next_run_at: Some(now.plus(rules.reserve_repeat)),
            deadline: Some(now.plus(rules.reserving_limit)),
            stuck: None,
        };
        match shelf {
            Shelf::Held(expires_at) => saga.held(expires_at, rules, now),
            Shelf::Waiting => saga.backordered(rules, now),
            Shelf::Unknown => saga,
        }
    }

    fn go(&self, state: State, next_run_at: Option<Timestamp>) -> Saga {
        Saga { state, next_run_at, retries: 0, stuck: None, deadline: None, ..self.clone() }
    }

    /// Done, unless a refund waits.
    fn rest(&self, now: Timestamp) -> Saga {
        self.go(State::Done, self.refund_waits.then_some(now))
    }

    fn held(&self, expires_at: Option<Timestamp>, rules: &Rules, now: Timestamp) -> Saga {
        let mut saga = match self.attempt {
            Some(_) => self.go(State::Authorizing, Some(now)),
            None => self.awaiting(expires_at, rules),
        };
        saga.hold_expires_at = expires_at;
        saga
    }

    /// An event says when the units came; asking now and then is the net below.
    fn backordered(&self, rules: &Rules, now: Timestamp) -> Saga {
        self.go(State::Backordered, Some(now.plus(rules.backorder_repeat)))
    }

    fn awaiting(&self, expires_at: Option<Timestamp>, rules: &Rules) -> Saga {
        let timer = expires_at.map(|at| at.plus(rules.hold_grace));
        let mut saga = self.go(State::AwaitingPayment, timer);
        saga.hold_expires_at = expires_at;
        saga.attempt = None;
        saga.automatic = false;
        saga.not_sent = 0;
        saga
    }

    /// What `input` means; `None` when it says nothing new.
    pub fn decide(&self, input: Input, rules: &Rules, now: Timestamp) -> Option<Decision> {
        use State::{
            Authorizing, AwaitingPayment, Backordered, Confirming, Deciding, Refunding, Releasing,
            Settling,
        };
        let (saga, effects) = match (self.state, input) {
            (State::Reserving | Backordered, Input::Held { expires_at }) => {
                (self.held(expires_at, rules, now), vec![history("reserved", SAGA)])
            }
            (State::Reserving, Input::Waiting) => {
                (self.backordered(rules, now), vec![history("backordered", SAGA)])
            }
            (Backordered, Input::Waiting) => (self.backordered(rules, now), Vec::new()),
            (State::Reserving | Backordered, Input::Short) => {
                self.ended(OrderStatus::Canceled, "stock_short", SAGA, State::Done, now)
            }
            (State::Reserving, Input::TookTooLong) => {
                self.ended(OrderStatus::Failed, "timeout", SAGA, Releasing, now)
            }
            (AwaitingPayment, Input::HoldLost { released }) => {
                let next = if released { State::Done } else { Releasing };
                self.ended(OrderStatus::Canceled, "hold_expired", SAGA, next, now)
            }
            // Only the charge itself knows that no money is on its way: the event
            // alone must not make the attempt forgotten.
            (Authorizing, Input::HoldLost { released: false }) => {
                let (mut saga, mut effects) =
                    self.ended(OrderStatus::Canceled, "hold_expired", SAGA, Releasing, now);
                saga.attempt = None;
                effects.push(Effect::AttemptEnded(AttemptEnd::HoldExpired));
                (saga, effects)
            }
            (Authorizing | Deciding | AwaitingPayment, Input::Captured { payment }) => {
                self.captured(payment, now)
            }
            (Authorizing | Deciding, Input::Declined { code, hold_expires_at }) => {
                self.declined(code, hold_expires_at, rules, now)
            }
            (Authorizing, Input::OutcomeUnknown) => {
                (self.go(Deciding, Some(now.plus(rules.retry_first))), Vec::new())
            }
            (Deciding, Input::OutcomeUnknown) => self.again("the payment is undecided", rules, now),
            (Authorizing | Deciding, Input::NotSent) => self.not_sent(rules, now),
            (Confirming, Input::Confirmed) => self.confirmed(now),
            (Confirming, Input::StockLost) => {
                self.refunding("stock_lost".to_owned(), SAGA.to_owned(), now)
            }
            (Refunding, Input::RefundsDone) => {
                let end = self
                    .end
                    .clone()
                    .unwrap_or(End { cause: "canceled".to_owned(), actor: SAGA.to_owned() });
                self.ended(OrderStatus::Canceled, &end.cause, &end.actor, Releasing, now)
            }
            (Releasing, Input::Released) if self.attempt.is_some() => {
                (self.go(Settling, Some(now)), Vec::new())
            }
            (Releasing, Input::Released) => (self.rest(now), Vec::new()),
            (Settling, input) => return self.decide_settling(input, rules, now),
            (State::Done, Input::Nothing) => {
                let saga = Saga { next_run_at: None, retries: 0, ..self.clone() };
                (saga, Vec::new())
            }
            (_, input) => return self.decide_anywhere(input, rules, now),
        };
        Some(Decision { saga, effects })
    }

    /// What the outcome of a payment means once its order has ended.
    fn decide_settling(&self, input: Input, rules: &Rules, now: Timestamp) -> Option<Decision> {
        let (saga, effects) = match input {
            Input::Captured { payment } => self.settled_with(payment, now),
            Input::Declined { .. } | Input::NotSent => self.settled(now),
            Input::OutcomeUnknown => self.again("the payment is undecided", rules, now),
            input => return self.decide_anywhere(input, rules, now),
        };
        Some(Decision { saga, effects })
    }

    /// Inputs that mean the same in every state.
    fn decide_anywhere(&self, input: Input, rules: &Rules, now: Timestamp) -> Option<Decision> {
        let mut saga = self.clone();
        let effects = match input {
            Input::RefundDone { minor, actor } | Input::RefundPaid { minor, actor }
                if minor > self.captured_minor - self.refunded_minor =>
            {
                // Cannot be: refunds are promised under the order's lock.
                let reason = format!("a refund of {minor} by {actor} exceeds what was captured");
                let failed = Input::RefundFailed { reason, actor: SAGA.to_owned() };
                return self.decide_anywhere(failed, rules, now);
            }
            Input::RefundDone { minor, actor } => {
                saga.refunded(minor, now);
                vec![history("refunded", &actor), Effect::RefundIs(RefundState::Succeeded)]
            }
            Input::RefundPaid { minor, actor } => {
                saga.refunded(minor, now);
                saga.next_run_at = Some(now.plus(rules.retry_first));
                vec![history("refunded", &actor), Effect::RefundIs(RefundState::Restocking)]
            }
            Input::Restocked => {
                saga.refunded(0, now);
                vec![Effect::RefundIs(RefundState::Succeeded)]
            }
            Input::RefundFailed { reason, actor } => {
                saga.next_run_at = Some(now);
                if saga.state == State::Refunding {
                    // The order may not end while its money is not back.
                    saga.next_run_at = None;
                }
                if saga.state == State::Refunding || actor == SAGA {
                    saga.stuck = Some(reason);
                }
                vec![Effect::RefundIs(RefundState::Failed)]
            }
            Input::LateCapture { payment, minor } if self.payment != Some(payment) => {
                saga.captured_minor = saga.captured_minor.saturating_add(minor);
                saga.payment = saga.payment.or(Some(payment));
                if matches!(saga.state, State::Done | State::Refunding) {
                    saga.next_run_at = Some(now);
                }
                let refund = Effect::RefundMinor { minor, cause: "late_capture".to_owned() };
                vec![history("late_capture", SAGA), refund]
            }
            Input::Failed { reason } => {
                let (saga, effects) = self.again(&reason, rules, now);
                return Some(Decision { saga, effects });
            }
            _ => return None,
        };
        Some(Decision { saga, effects })
    }

    fn refunded(&mut self, minor: i64, now: Timestamp) {
        self.refunded_minor += minor;
        self.retries = 0;
        self.stuck = None;
        self.next_run_at = Some(now);
    }

    /// The order ends; in [`State::Releasing`] its stock is given back next.
    fn ended(
        &self,
        status: OrderStatus,
        cause: &str,
        actor: &str,
        next: State,
        now: Timestamp,
    ) -> (Saga, Vec<Effect>) {
        let mut saga = self.go(next, (next != State::Done).then_some(now));
        saga.status = status;
        saga.hold_expires_at = None;
        saga.end = Some(End { cause: cause.to_owned(), actor: actor.to_owned() });
        let fact = if status == OrderStatus::Failed { Fact::Failed } else { Fact::Canceled };
        let mut effects = vec![history(cause, actor), Effect::Publish(fact)];
        let never_tried = matches!(self.state, State::Reserving | State::Backordered);
        if never_tried && self.attempt.is_some() {
            saga.attempt = None;
            effects.push(Effect::AttemptEnded(AttemptEnd::NotSent));
        }
        (saga, effects)
    }

    /// An attempt that was undecided when the order ended took no money.
    fn settled(&self, now: Timestamp) -> (Saga, Vec<Effect>) {
        let saga = Saga { attempt: None, ..self.rest(now) };
        (saga, vec![Effect::AttemptEnded(AttemptEnd::Abandoned)])
    }

    /// It did take money, which goes back; an event may have said so before.
    fn settled_with(&self, payment: PaymentId, now: Timestamp) -> (Saga, Vec<Effect>) {
        let (mut saga, mut effects) = self.settled(now);
        if self.payment != Some(payment) {
            let minor = self.total_minor;
            saga.captured_minor = self.captured_minor.saturating_add(minor);
            saga.payment = self.payment.or(Some(payment));
            saga.next_run_at = Some(now);
            effects.push(history("late_capture", SAGA));
            effects.push(Effect::RefundMinor { minor, cause: "late_capture".to_owned() });
        }
        (saga, effects)
    }

    fn captured(&self, payment: PaymentId, now: Timestamp) -> (Saga, Vec<Effect>) {
        let mut saga = self.go(State::Confirming, Some(now));
        saga.status = OrderStatus::Paid;
        saga.payment = Some(payment);
        saga.attempt = None;
        // Beside what may have come late before, which goes back by itself.
        saga.captured_minor = self.captured_minor.saturating_add(self.total_minor);
        saga.last_decline = None;
        let effects = vec![
            history("captured", SAGA),
            Effect::AttemptEnded(AttemptEnd::Captured),
            Effect::Publish(Fact::Paid),
        ];
        (saga, effects)
    }

    fn confirmed(&self, now: Timestamp) -> (Saga, Vec<Effect>) {
        let mut saga = self.rest(now);
        saga.status = OrderStatus::Confirmed;
        saga.hold_expires_at = None;
        (saga, vec![history("stock_confirmed", SAGA), Effect::Publish(Fact::Confirmed)])
    }

    fn declined(
        &self,
        code: String,
        hold_expires_at: Option<Timestamp>,
        rules: &Rules,
        now: Timestamp,
    ) -> (Saga, Vec<Effect>) {
        let declines = self.declines + 1;
        let over = self.automatic || declines >= rules.max_declines;
        let (mut saga, mut effects) = if over {
            self.ended(OrderStatus::Failed, "payment_declined", SAGA, State::Releasing, now)
        } else {
            let until = hold_expires_at.or(self.hold_expires_at);
            (self.awaiting(until, rules), vec![history("declined", SAGA)])
        };
        saga.declines = declines;
        saga.attempt = None;
        saga.last_decline = Some(code.clone());
        effects.push(Effect::AttemptEnded(AttemptEnd::Declined(code)));
        (saga, effects)
    }

    fn not_sent(&self, rules: &Rules, now: Timestamp) -> (Saga, Vec<Effect>) {
        let limit =
            if self.automatic { rules.unsent_retries_automatic } else { rules.unsent_retries };
        let not_sent = self.not_sent + 1;
        if not_sent > limit {
            let saga = self.awaiting(self.hold_expires_at, rules);
            return (saga, vec![Effect::AttemptEnded(AttemptEnd::NotSent)]);
        }
        let mut saga = self.go(State::Authorizing, Some(now.plus(rules.pause(not_sent))));
        saga.not_sent = not_sent;
        (saga, vec![Effect::AttemptAgain])
    }

    fn refunding(&self, cause: String, actor: String, now: Timestamp) -> (Saga, Vec<Effect>) {
        let mut saga = self.go(State::Refunding, Some(now));
        saga.end = Some(End { cause: cause.clone(), actor: actor.clone() });
        (saga, vec![Effect::RefundRest { cause, actor }])
    }

    /// The step failed: later again, and after too often tell a person.
    fn again(&self, reason: &str, rules: &Rules, now: Timestamp) -> (Saga, Vec<Effect>) {
        let mut saga = self.clone();
        saga.retries = self.retries.saturating_add(1);
        saga.next_run_at = Some(now.plus(rules.pause(saga.retries)));
        if saga.retries >= rules.stuck_after {
            saga.stuck = Some(reason.to_owned());
        }
        (saga, Vec::new())
    }
}

#[cfg(test)]
mod tests;
