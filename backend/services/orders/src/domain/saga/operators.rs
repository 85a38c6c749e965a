//! What operators may do with a saga that does not get on by itself.

use shared_types::Timestamp;
use shared_types::orders::OrderStatus;

use super::{
    AttemptEnd, Decision, Effect, Input, RefundState, Refusal, Rules, SAGA, Saga, State, history,
};

impl Saga {
    /// *Retry this step*: now, with its failures forgotten. A refund that the
    /// provider refused is asked for anew.
    pub fn retry(&self, now: Timestamp) -> Result<Decision, Refusal> {
        let mut saga = self.clone();
        saga.retries = 0;
        saga.stuck = None;
        saga.next_run_at = Some(now);
        let effects = match self.state {
            State::AwaitingPayment => return Err(Refusal::WaitsForBuyer),
            State::Done if self.refund_waits => Vec::new(),
            State::Done if self.stuck.is_some() => vec![Effect::RefundAgain],
            State::Done => return Err(Refusal::AtRest),
            State::Refunding if !self.refund_waits => self.rest_of_refund(),
            _ => Vec::new(),
        };
        Ok(Decision { saga, effects })
    }

    fn rest_of_refund(&self) -> Vec<Effect> {
        let (cause, actor) = match &self.end {
            Some(end) => (end.cause.clone(), end.actor.clone()),
            None => ("canceled".to_owned(), SAGA.to_owned()),
        };
        vec![Effect::RefundRest { cause, actor }]
    }

    /// *Compensate from here*: undo what was done and end the order. Money whose
    /// outcome is unknown is looked after once the stock is back.
    pub fn compensate(&self, actor: &str, now: Timestamp) -> Result<Decision, Refusal> {
        const CAUSE: &str = "operator_request";
        let (saga, effects) = match (self.status, self.state) {
            (_, State::Refunding | State::Releasing | State::Settling) => {
                return Err(Refusal::Compensating);
            }
            // It runs at this moment; when it cannot get on it is stuck.
            (OrderStatus::Pending, State::Authorizing) if self.stuck.is_none() => {
                return Err(Refusal::PaymentInProgress);
            }
            (OrderStatus::Pending, _) => {
                self.ended(OrderStatus::Canceled, CAUSE, actor, State::Releasing, now)
            }
            (OrderStatus::Paid | OrderStatus::Confirmed, State::Confirming | State::Done) => {
                self.refunding(CAUSE.to_owned(), actor.to_owned(), now)
            }
            _ => return Err(Refusal::IllegalTransition),
        };
        Ok(Decision { saga, effects })
    }

    /// *Mark resolved*: the stuck step's effect was brought about by hand, and
    /// the saga goes on as though it had succeeded. `refund_minor` is the amount
    /// of the refund that is under way.
    pub fn resolve(
        &self,
        refund_minor: Option<i64>,
        actor: &str,
        rules: &Rules,
        now: Timestamp,
    ) -> Result<Decision, Refusal> {
        if self.stuck.is_none() {
            return Err(Refusal::NotStuck);
        }
        let going_on = |input| self.decide(input, rules, now).ok_or(Refusal::NotResolvable);
        let mut decision = match (self.state, refund_minor) {
            (State::Refunding | State::Done, Some(minor)) => {
                going_on(Input::RefundDone { minor, actor: actor.to_owned() })?
            }
            (State::Refunding, None) => {
                // The provider refused it, so the money went back another way.
                let back = Saga { refunded_minor: self.captured_minor, ..self.clone() };
                back.decide(Input::RefundsDone, rules, now).ok_or(Refusal::NotResolvable)?
            }
            (State::Done, None) => {
                let saga = Saga { stuck: None, retries: 0, next_run_at: None, ..self.clone() };
                Decision { saga, effects: Vec::new() }
            }
            (State::Confirming, _) => going_on(Input::Confirmed)?,
            (State::Releasing, _) => going_on(Input::Released)?,
            (State::Settling, _) => going_on(Input::NotSent)?,
            _ => return Err(Refusal::NotResolvable),
        };
        debug_assert!(!decision.effects.contains(&Effect::AttemptEnded(AttemptEnd::Captured)));
        debug_assert!(!decision.effects.contains(&Effect::RefundIs(RefundState::Failed)));
        decision.effects.insert(0, history("resolved_by_hand", actor));
        Ok(decision)
    }
}
