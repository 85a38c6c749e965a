//! What people ask of a saga, and why they may not.

use shared_types::orders::OrderStatus;
use shared_types::{AttemptId, Timestamp};

use super::{Decision, Saga, State};
use crate::domain::status::is_paid;

/// Why people may not do what they asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    AlreadyPaid,
    NotReady,
    PaymentInProgress,
    IllegalTransition,
    /// Nothing is under way.
    AtRest,
    /// It waits for the buyer, who cannot be repeated.
    WaitsForBuyer,
    /// What was done is being undone already.
    Compensating,
    /// Only what is stuck can have been mended by hand.
    NotStuck,
    /// What this step does cannot be done by hand.
    NotResolvable,
}

impl Saga {
    /// The buyer pays.
    pub fn pay(&self, attempt: AttemptId, now: Timestamp) -> Result<Saga, Refusal> {
        if is_paid(self.status) {
            return Err(Refusal::AlreadyPaid);
        }
        if self.status != OrderStatus::Pending {
            return Err(Refusal::IllegalTransition);
        }
        match self.state {
            State::Reserving | State::Backordered => Err(Refusal::NotReady),
            State::AwaitingPayment => {
                let mut saga = self.go(State::Authorizing, Some(now));
                saga.attempt = Some(attempt);
                saga.automatic = false;
                saga.not_sent = 0;
                Ok(saga)
            }
            _ => Err(Refusal::PaymentInProgress),
        }
    }

    /// A person cancels, for `cause`. Who may is the policy's to say; this says
    /// when it can be done at all: until dispatch, and not while money moves.
    pub fn cancel(&self, cause: &str, actor: &str, now: Timestamp) -> Result<Decision, Refusal> {
        let (saga, effects) = match (self.status, self.state) {
            (OrderStatus::Pending, State::Authorizing | State::Deciding) => {
                return Err(Refusal::PaymentInProgress);
            }
            (OrderStatus::Pending, _) => {
                self.ended(OrderStatus::Canceled, cause, actor, State::Releasing, now)
            }
            (OrderStatus::Paid | OrderStatus::Confirmed, State::Confirming | State::Done) => {
                self.refunding(cause.to_owned(), actor.to_owned(), now)
            }
            _ => return Err(Refusal::IllegalTransition),
        };
        Ok(Decision { saga, effects })
    }
}
