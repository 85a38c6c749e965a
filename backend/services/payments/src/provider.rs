//! What a payment provider can do, whichever it is, and which one is asked.

mod adyen;
mod guard;
mod minor;
mod rest;
mod soap;
mod stripe;
mod transport;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use platform::Clock;
use shared_types::payments::Purpose;
use shared_types::{AttemptId, Currency, Money, OrderId, RefundId, Timestamp};

pub use adyen::refusal_word;
pub use guard::Guarded;
pub use minor::Units;
pub use stripe::{PaymentIntent as StripeIntent, StripeRefund};

use crate::config::Settings;
use crate::config::providers::Rule;
use crate::domain::{Token, Transaction, Verdict};

/// An order's money to be taken.
#[derive(Clone, Debug)]
pub struct Charge {
    pub order_id: OrderId,
    pub attempt_id: AttemptId,
    pub money: Money,
    pub token: Token,
    /// Authorise only; the capture comes later.
    pub manual: bool,
    /// Where the buyer comes back to when something is required of them.
    pub return_url: Option<String>,
}

/// A step of a payment that a provider knows already.
#[derive(Clone, Debug)]
pub struct FollowUp {
    pub order_id: OrderId,
    pub attempt_id: AttemptId,
    /// The authorisation, in the provider's words.
    pub transaction_id: String,
    pub money: Money,
}

impl FollowUp {
    fn about(&self) -> String {
        format!(
            "order {} amount {} attempt {} of {}",
            self.order_id, self.money, self.attempt_id, self.transaction_id
        )
    }
}

/// Money to be given back.
#[derive(Clone, Debug)]
pub struct Giveback {
    pub order_id: OrderId,
    pub refund_id: RefundId,
    pub money: Money,
    /// The charge, in the provider's words.
    pub charge_transaction_id: String,
}

/// A provider's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub transaction_id: String,
    pub verdict: Verdict,
}

/// How a call ended without an answer that decides. What matters is whether
/// money may have moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing left this process. `gate`: we held it back ourselves.
    NotSent { why: String, gate: bool },
    /// The provider says that it did nothing, and that the call may be repeated.
    Undone(String),
    /// The provider refuses the call for good and did nothing.
    Refused { code: String, why: String },
    /// Sent, and no usable answer came: money may have moved.
    Unknown(String),
}

impl Trouble {
    pub fn not_sent(why: impl Into<String>) -> Self {
        Trouble::NotSent { why: why.into(), gate: false }
    }

    pub fn held_back(why: &str) -> Self {
        Trouble::NotSent { why: why.to_owned(), gate: true }
    }

    fn one_step_only() -> Self {
        let why = "the provider charges in one step only".to_owned();
        Trouble::Refused { code: "not_supported".to_owned(), why }
    }
}

/// An adapter. Calls are single tries: retries, breaker and limits are around.
#[async_trait]
pub trait Provider: Send + Sync {
    fn name(&self) -> &'static str;

    /// Whether it authorises and captures apart, and knows actions of buyers.
    fn two_steps(&self) -> bool {
        false
    }

    /// Whether it can be asked for an order's transactions. One that cannot
    /// gives its first answer again to a repeat with the same reference.
    fn answers_questions(&self) -> bool {
        true
    }

    async fn charge(&self, charge: &Charge) -> Result<Decided, Trouble>;

    /// Every transaction of the order.
    async fn transactions(&self, order_id: OrderId) -> Result<Vec<Transaction>, Trouble>;

    async fn refund(&self, giveback: &Giveback) -> Result<Decided, Trouble>;

    /// Takes what was authorised, or a part; the rest is released.
    async fn capture(&self, _: &FollowUp) -> Result<Decided, Trouble> {
        Err(Trouble::one_step_only())
    }

    /// Gives up what was authorised.
    async fn void(&self, _: &FollowUp) -> Result<Decided, Trouble> {
        Err(Trouble::one_step_only())
    }

    /// What became of a payment after the buyer's action; `result` is what the
    /// redirect brought back, for providers that hand it over that way.
    async fn proceed(&self, _: &FollowUp, _: Option<&str>) -> Result<Decided, Trouble> {
        Err(Trouble::one_step_only())
    }
}

/// What came of one call, for the row about it.
#[derive(Clone, Debug)]
pub struct CallRow {
    pub provider: &'static str,
    pub operation: &'static str,
    pub outcome: &'static str,
    pub message: String,
    pub started_at: Timestamp,
    pub duration: Duration,
}

/// Every provider that is switched on, and the rules by which they are chosen.
pub struct Gateways {
    all: Vec<Guarded>,
    rules: Vec<Rule>,
}

/// Providers in one group answer for one another: they keep one ledger.
const SHARED_LEDGER: [&str; 2] = ["soap", "rest"];

impl Gateways {
    pub fn new(settings: &Settings, clock: &Clock) -> anyhow::Result<Self> {
        let soap = Box::new(soap::SoapProvider::new(&settings.soap)?);
        let mut all = vec![Guarded::new(soap, "payment_soap", &settings.soap, clock.clone())];
        if let Some(gateway) = settings.rest_gateway() {
            let rest = Box::new(rest::RestProvider::new(&gateway)?);
            all.push(Guarded::new(rest, "payment_rest", &gateway, clock.clone()));
        }
        if settings.stripe.enabled {
            let gateway = settings.stripe.gateway();
            let stripe = Box::new(stripe::StripeProvider::new(&settings.stripe)?);
            all.push(Guarded::new(stripe, "payment_stripe", &gateway, clock.clone()));
        }
        if settings.adyen.enabled {
            let gateway = settings.adyen.gateway();
            let adyen = Box::new(adyen::AdyenProvider::new(&settings.adyen)?);
            all.push(Guarded::new(adyen, "payment_adyen", &gateway, clock.clone()));
        }
        Ok(Gateways { all, rules: settings.routes.clone() })
    }

    pub fn find(&self, name: &str) -> Option<&Guarded> {
        self.all.iter().find(|g| g.name() == name)
    }

    /// The providers for a payment, the preferred one first: those of the first
    /// rule that matches. Empty when nobody takes it.
    pub fn route(
        &self,
        purpose: Purpose,
        currency: Currency,
        method: &str,
        manual: bool,
    ) -> Vec<&Guarded> {
        let rule = self.rules.iter().find(|rule| rule.matches(purpose, currency, method));
        let names = rule.map_or(&[][..], |rule| &rule.providers);
        let known = names.iter().filter_map(|name| self.find(name));
        known.filter(|g| !manual || g.two_steps()).collect()
    }

    /// Whether any rule knows the method.
    pub fn knows_method(&self, method: &str) -> bool {
        self.rules.iter().any(|rule| rule.knows_method(method))
    }

    /// Whether two providers keep one ledger.
    pub fn share_ledger(one: &str, other: &str) -> bool {
        one == other || (SHARED_LEDGER.contains(&one) && SHARED_LEDGER.contains(&other))
    }

    /// The provider and those of its ledger, it first.
    fn ledger_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Guarded> {
        let others = self.all.iter().filter(move |g| g.name() != name);
        let others = others.filter(move |g| Gateways::share_ledger(name, g.name()));
        self.find(name).into_iter().chain(others)
    }

    /// Asks for the transactions of an order, through whichever provider of the
    /// ledger answers.
    pub async fn transactions(
        &self,
        provider: &str,
        order_id: OrderId,
    ) -> (Result<Vec<Transaction>, Trouble>, Vec<CallRow>) {
        let mut rows = Vec::new();
        let mut last = Err(Trouble::held_back("the provider is switched off"));
        // The primary first, whichever the attempt went through.
        let mut asked: Vec<&Guarded> = self.ledger_of(provider).collect();
        asked.sort_by_key(|g| self.all.iter().position(|other| other.name() == g.name()));
        for gateway in asked {
            let (answer, row) = gateway.transactions(order_id).await;
            rows.push(row);
            last = answer;
            if last.is_ok() {
                break;
            }
        }
        (last, rows)
    }

    /// Gives money back through the ledger that has it; another provider of it
    /// is tried only when the one before was certainly not reached.
    pub async fn refund(
        &self,
        provider: &str,
        giveback: &Giveback,
        send_before: Instant,
    ) -> (Result<Decided, Trouble>, Vec<CallRow>) {
        let mut rows = Vec::new();
        let mut last = Err(Trouble::held_back("the provider is switched off"));
        let mut asked: Vec<&Guarded> = self.ledger_of(provider).collect();
        asked.sort_by_key(|g| self.all.iter().position(|other| other.name() == g.name()));
        for gateway in asked {
            let (answer, row) = gateway.refund(giveback, send_before).await;
            rows.push(row);
            last = answer;
            if !matches!(last, Err(Trouble::NotSent { .. })) {
                break;
            }
        }
        (last, rows)
    }
}
