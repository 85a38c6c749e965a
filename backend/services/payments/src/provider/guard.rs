//! Limits around an adapter: bulkhead, breaker; and what is seen of it: metrics, a
//! span and a masked row for each call.

use std::future::Future;
use std::time::{Duration, Instant};

use platform::Clock;
use platform::resilience::{Breaker, Phase};
use platform::telemetry::{self, SpanKind};
use platform::trace;
use shared_types::OrderId;
use tokio::sync::Semaphore;

use super::{CallRow, Charge, Decided, FollowUp, Giveback, Provider, Trouble};
use crate::config::Gateway;
use crate::domain::{Transaction, Verdict, decline_code, masked};

/// An adapter that is called no more often at once than allowed, and not at
/// all while its breaker is open.
pub struct Guarded {
    provider: Box<dyn Provider>,
    breaker: Breaker,
    bulkhead: Semaphore,
    queue_timeout: Duration,
    clock: Clock,
}

impl Guarded {
    pub fn new(
        provider: Box<dyn Provider>,
        breaker: &'static str,
        gateway: &Gateway,
        clock: Clock,
    ) -> Self {
        Guarded {
            provider,
            breaker: Breaker::new(breaker, clock.clone(), gateway.breaker.rules()),
            bulkhead: Semaphore::new(gateway.concurrency),
            queue_timeout: gateway.queue_timeout(),
            clock,
        }
    }

    pub fn name(&self) -> &'static str {
        self.provider.name()
    }

    /// Never sends after `send_before`: whoever takes over relies on it.
    pub async fn charge(
        &self,
        charge: &Charge,
        send_before: Instant,
    ) -> (Result<Decided, Trouble>, CallRow) {
        let about = format!(
            "order {} amount {} attempt {} token ***",
            charge.order_id, charge.money, charge.attempt_id
        );
        let secret = charge.token.reveal();
        let call = async { discreet(self.provider.charge(charge).await, secret) };
        let about = About { words: about, secret: Some(secret) };
        self.guarded("process_payment", about, Some(send_before), call, said).await
    }

    pub async fn refund(
        &self,
        giveback: &Giveback,
        send_before: Instant,
    ) -> (Result<Decided, Trouble>, CallRow) {
        let about = format!(
            "order {} amount {} refund {} of {}",
            giveback.order_id, giveback.money, giveback.refund_id, giveback.charge_transaction_id
        );
        let call = self.provider.refund(giveback);
        let about = About { words: about, secret: None };
        self.guarded("refund_payment", about, Some(send_before), call, said).await
    }

    pub async fn transactions(
        &self,
        order_id: OrderId,
    ) -> (Result<Vec<Transaction>, Trouble>, CallRow) {
        let call = self.provider.transactions(order_id);
        let words = |list: &Vec<Transaction>| ("listed", format!("{} transactions", list.len()));
        let about = About { words: format!("order {order_id}"), secret: None };
        self.guarded("get_payment_status", about, None, call, words).await
    }

    /// Takes what was authorised, or a part of it.
    pub async fn capture(
        &self,
        step: &FollowUp,
        send_before: Instant,
    ) -> (Result<Decided, Trouble>, CallRow) {
        let call = self.provider.capture(step);
        self.guarded(
            "capture",
            About { words: step.about(), secret: None },
            Some(send_before),
            call,
            said,
        )
        .await
    }

    /// Gives up what was authorised, or what waits for the buyer.
    pub async fn void(
        &self,
        step: &FollowUp,
        send_before: Instant,
    ) -> (Result<Decided, Trouble>, CallRow) {
        let call = self.provider.void(step);
        self.guarded(
            "void",
            About { words: step.about(), secret: None },
            Some(send_before),
            call,
            said,
        )
        .await
    }

    /// Goes on after the buyer did what was required.
    pub async fn proceed(
        &self,
        step: &FollowUp,
        result: Option<&str>,
        send_before: Instant,
    ) -> (Result<Decided, Trouble>, CallRow) {
        let call = self.provider.proceed(step, result);
        self.guarded(
            "proceed",
            About { words: step.about(), secret: None },
            Some(send_before),
            call,
            said,
        )
        .await
    }

    /// Whether it authorises and captures in two steps, and knows actions.
    pub fn two_steps(&self) -> bool {
        self.provider.two_steps()
    }

    /// Whether its ledger can be asked.
    pub fn answers_questions(&self) -> bool {
        self.provider.answers_questions()
    }

    async fn guarded<T>(
        &self,
        operation: &'static str,
        about: About<'_>,
        send_before: Option<Instant>,
        call: impl Future<Output = Result<T, Trouble>>,
        words: impl FnOnce(&T) -> (&'static str, String),
    ) -> (Result<T, Trouble>, CallRow) {
        let (started_at, started) = (self.clock.now(), Instant::now());
        let provider = self.name();
        let context = trace::current().child();
        let span = telemetry::begin("payments", SpanKind::Client, &context, || {
            format!("{provider} {operation}")
        });
        let mut phase = self.breaker.phase();
        let result = trace::within(context, self.admitted(send_before, call, &mut phase)).await;
        let (outcome, answer) = match &result {
            Ok(value) => words(value),
            Err(trouble) => trouble_said(trouble, about.secret),
        };
        let duration = started.elapsed();
        if send_before.is_some() {
            metrics::counter!("payment_attempts_total", "provider" => provider, "outcome" => outcome)
                .increment(1);
        }
        metrics::histogram!(
            "payment_provider_duration_seconds", "provider" => provider, "operation" => operation
        )
        .record(duration.as_secs_f64());
        tracing::debug!(provider, operation, outcome, breaker = phase.word(), "provider call");
        span.end_with(result.is_err(), || {
            vec![
                ("payment.outcome", outcome.to_owned()),
                ("breaker.state", phase.word().to_owned()),
            ]
        });
        let message = format!("{} -> {answer}", about.words);
        (result, CallRow { provider, operation, outcome, message, started_at, duration })
    }

    /// `phase` becomes the breaker's state as the call met it.
    async fn admitted<T>(
        &self,
        send_before: Option<Instant>,
        call: impl Future<Output = Result<T, Trouble>>,
        phase: &mut Phase,
    ) -> Result<T, Trouble> {
        let permit = tokio::time::timeout(self.queue_timeout, self.bulkhead.acquire()).await;
        let Ok(Ok(_permit)) = permit else { return Err(Trouble::held_back("too many calls")) };
        if send_before.is_some_and(|end| Instant::now() >= end) {
            return Err(Trouble::held_back("the time to send is over"));
        }
        let admitted = self.breaker.admits();
        *phase = self.breaker.phase();
        if !admitted {
            return Err(Trouble::held_back("the breaker is open"));
        }
        let result = call.await;
        match &result {
            // A refusal is an answer: the provider works.
            Ok(_) | Err(Trouble::Refused { .. }) => self.breaker.succeeded(),
            Err(_) => self.breaker.failed(),
        }
        result
    }
}

/// What a call is about, for its row; and what no row may repeat, whatever the
/// provider says.
struct About<'a> {
    words: String,
    secret: Option<&'a str>,
}

fn trouble_said(trouble: &Trouble, secret: Option<&str>) -> (&'static str, String) {
    let (outcome, words) = match trouble {
        Trouble::NotSent { why, gate: true } => ("held_back", why.clone()),
        Trouble::NotSent { why, gate: false } => ("not_sent", why.clone()),
        Trouble::Undone(why) => ("fault", why.clone()),
        Trouble::Refused { code, why } => ("refused", format!("{code} {why}")),
        Trouble::Unknown(why) => ("unknown", why.clone()),
    };
    let words = secret.map_or(words.clone(), |secret| hidden(&words, secret));
    (outcome, masked(&words))
}

/// The same words with three stars for each occurrence of a secret.
fn hidden(words: &str, secret: &str) -> String {
    // Of the same length, so that places in one are places in the other.
    let (lower, wanted) = (words.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let (mut shown, mut from) = (String::new(), 0);
    while let Some(at) = lower[from..].find(&wanted).filter(|_| !wanted.is_empty()) {
        shown.push_str(&words[from..from + at]);
        shown.push_str("***");
        from += at + wanted.len();
    }
    shown + &words[from..]
}

/// An answer that repeats the secret where a name or a code should stand: the
/// code is forgotten, and such a name is no answer.
fn discreet(result: Result<Decided, Trouble>, secret: &str) -> Result<Decided, Trouble> {
    let tells = |text: &str| hidden(text, secret) != text;
    match result {
        Ok(decided) if tells(&decided.transaction_id) => {
            Err(Trouble::Unknown("the answer repeats the token".to_owned()))
        }
        Ok(Decided { transaction_id, verdict: Verdict::Declined(code) }) if tells(&code) => {
            Ok(Decided { transaction_id, verdict: Verdict::Declined(decline_code(None)) })
        }
        Err(Trouble::Refused { code, why }) if tells(&code) => {
            Err(Trouble::Refused { code: decline_code(None), why })
        }
        other => other,
    }
}

fn said(decided: &Decided) -> (&'static str, String) {
    let word = decided.verdict.word();
    match &decided.verdict {
        Verdict::Declined(code) => (word, format!("{} {code}", decided.transaction_id)),
        _ => (word, format!("{} {word}", decided.transaction_id)),
    }
}
