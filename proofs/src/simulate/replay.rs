//! The replay: invoices in the file's order, some at a time. A cancellation
//! waits until the sale it takes back is confirmed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use shared_types::orders::{
    Address, LineInput, Order, OrderStatus, OrderStatusView, PlaceOrder, Stage as Doing,
};
use shared_types::payments::{Refund, RefundInput};
use shared_types::{Amount, Currency};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Stage;
use super::countries;
use super::journal::Placed;
use super::people::{self, People};
use super::plan::{OrderPlan, RefundPlan, Step, Units};
use crate::client::{Answer, Call, Credential, Shop};
use crate::report::Latencies;
use crate::shelves;

/// How long an order may take from placed to confirmed before the run stops.
const CONFIRM_WITHIN: Duration = Duration::from_secs(180);
const FIRST_LOOK: Duration = Duration::from_millis(15);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

const SALE_REFUSED: &str = "its sale was refused";

/// Stock that was short may be there at the next run: held by a placement that
/// was killed, it comes back when that hold expires.
fn is_final(refusal: &str) -> bool {
    !refusal.contains("orders.stock_short")
}

/// How fast it went, in this process.
#[derive(Debug, Default)]
pub struct Pace {
    pub placed: u64,
    pub took: Duration,
    pub placing: Latencies,
    /// From sending the order to seeing it confirmed.
    pub confirming: Latencies,
}

/// Whether an order can be refunded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Confirmed,
    Refused,
}

/// What the tasks share.
struct Replay {
    stage: Arc<Stage>,
    shop: Shop,
    people: People,
    ends: Vec<watch::Sender<End>>,
    bar: ProgressBar,
}

#[derive(Default)]
struct Timing {
    placing: Option<Duration>,
    confirming: Option<Duration>,
}

pub fn bar(length: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(length as u64).with_message(what);
    let template = "{msg:10} [{bar:40}] {pos}/{len} {per_sec} {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

pub async fn run(stage: &Arc<Stage>) -> anyhow::Result<Pace> {
    let bar = bar(stage.plan.steps.len(), "invoices");
    let replay = Arc::new(Replay {
        stage: stage.clone(),
        shop: stage.shop.with_bar(&bar),
        people: People::new(),
        ends: stage.plan.orders.iter().map(|_| watch::Sender::new(End::Open)).collect(),
        bar: bar.clone(),
    });
    let gate = Arc::new(Semaphore::new(stage.concurrency));
    let (mut tasks, mut pace) = (JoinSet::new(), Pace::default());
    let started = Instant::now();
    for step in stage.plan.steps.clone() {
        // In the file's order: what a step waits for was started before it.
        let turn = gate.clone().acquire_owned().await?;
        let replay = replay.clone();
        tasks.spawn(async move {
            let timing = replay.step(step).await;
            drop(turn);
            replay.bar.inc(1);
            timing
        });
        while let Some(done) = tasks.try_join_next() {
            pace.add(done??);
        }
    }
    while let Some(done) = tasks.join_next().await {
        pace.add(done??);
    }
    pace.took = started.elapsed();
    bar.finish_and_clear();
    Ok(pace)
}

impl Pace {
    fn add(&mut self, timing: Timing) {
        self.placed += u64::from(timing.placing.is_some());
        if let Some(took) = timing.placing {
            self.placing.add(took);
        }
        if let Some(took) = timing.confirming {
            self.confirming.add(took);
        }
    }
}

impl Replay {
    async fn step(&self, step: Step) -> anyhow::Result<Timing> {
        match step {
            Step::Place(index) => {
                let order = &self.stage.plan.orders[index];
                let (end, timing) = self
                    .order(order)
                    .await
                    .with_context(|| format!("invoice {}", order.invoice))?;
                self.ends[index].send_replace(end);
                Ok(timing)
            }
            Step::TakeBack(index) => {
                let refund = &self.stage.plan.refunds[index];
                self.take_back(refund)
                    .await
                    .with_context(|| format!("cancellation {}", refund.invoice))?;
                Ok(Timing::default())
            }
        }
    }

    async fn order(&self, plan: &OrderPlan) -> anyhow::Result<(End, Timing)> {
        let journal = &self.stage.journal;
        let invoice = plan.invoice.as_str();
        if journal.with(|facts| facts.confirmed.contains(invoice)) {
            return Ok((End::Confirmed, Timing::default()));
        }
        if journal.with(|facts| facts.refused.get(invoice).is_some_and(|why| is_final(why))) {
            return Ok((End::Refused, Timing::default()));
        }
        let mut timing = Timing::default();
        let started = Instant::now();
        let placed = match journal.with(|facts| facts.placed.get(invoice).cloned()) {
            Some(placed) => placed,
            None => {
                let call = self.placing(plan).await?;
                let sent = Instant::now();
                let answer = self.shop.patiently(&call).await?;
                timing.placing = Some(sent.elapsed());
                match placed_of(&answer, plan)? {
                    Ok(placed) => {
                        journal.placed(invoice, placed.clone())?;
                        placed
                    }
                    Err(reason) => {
                        journal.refused(invoice, reason)?;
                        return Ok((End::Refused, timing));
                    }
                }
            }
        };
        match self.confirmation(&placed).await? {
            Ok(()) => {
                timing.confirming = timing.placing.map(|_| started.elapsed());
                journal.confirmed(invoice)?;
                Ok((End::Confirmed, timing))
            }
            Err(reason) => {
                journal.refused(invoice, reason)?;
                Ok((End::Refused, timing))
            }
        }
    }

    /// The order of an invoice: of its customer, or of a guest.
    async fn placing(&self, plan: &OrderPlan) -> anyhow::Result<Call> {
        let stage = &self.stage;
        let (owner, email) = if plan.customer.is_empty() {
            let guest = people::guest_id(&stage.run, &plan.invoice);
            (format!("guest:{guest}"), people::email(&stage.run, "guest"))
        } else {
            let user = self.people.user_id(&self.shop, stage, &plan.customer).await?;
            (format!("user:{user}"), people::email(&stage.run, &plan.customer))
        };
        let who = if plan.customer.is_empty() { "Guest" } else { &plan.customer };
        let order = PlaceOrder {
            lines: Some(self.lines(&plan.units)),
            email,
            shipping_address: Some(Address {
                name: format!("Customer {who}"),
                line1: "1 Replay Street".to_owned(),
                city: plan.country.clone(),
                postal_code: "00000".to_owned(),
                country: countries::code(&plan.country).to_owned(),
                ..Address::default()
            }),
            payment_method: Some(shelves::card()),
            tax_and_shipping: Some("none".to_owned()),
            on_behalf_of: Some(owner),
            ..PlaceOrder::default()
        };
        let call = Call::post("/orders", &order)?.by(stage.tools.get().await?);
        Ok(call.key(format!("simulate-{}-{}", stage.run.id, plan.invoice)))
    }

    fn lines(&self, units: &Units) -> Vec<LineInput> {
        let name = |sku: usize| self.stage.plan.skus[sku].name(self.stage.run.round);
        units.iter().map(|(sku, qty)| LineInput { sku: name(*sku), qty: *qty }).collect()
    }

    /// Waits until the order's saga rests; the reason when it is not confirmed.
    async fn confirmation(&self, placed: &Placed) -> anyhow::Result<Result<(), String>> {
        let call = Call::get(format!("/orders/{}/status", placed.order_id))
            .by(Credential::Order(placed.token.clone()));
        let (started, mut pause) = (Instant::now(), FIRST_LOOK);
        loop {
            let answer = self.shop.patiently(&call).await?;
            let view: OrderStatusView = answer.expect(&[200], "reading the order's status")?;
            match view.status {
                OrderStatus::Confirmed | OrderStatus::Shipped | OrderStatus::Fulfilled
                    if view.stage == Doing::Done =>
                {
                    return Ok(Ok(()));
                }
                OrderStatus::Canceled | OrderStatus::Failed => {
                    let cause = view.history.last().map_or("", |change| change.cause.as_str());
                    return Ok(Err(format!("{} ({cause})", view.status)));
                }
                _ if started.elapsed() > CONFIRM_WITHIN => {
                    let (seconds, stage) = (CONFIRM_WITHIN.as_secs(), view.stage);
                    bail!(
                        "order {} is {} / {stage} after {seconds} s",
                        placed.order_id,
                        view.status
                    )
                }
                _ => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    async fn take_back(&self, plan: &RefundPlan) -> anyhow::Result<()> {
        let journal = &self.stage.journal;
        let sale = &self.stage.plan.orders[plan.order];
        let key = format!("{}-{}", plan.invoice, sale.invoice);
        let known = |facts: &super::journal::Facts| {
            facts.refunded.contains_key(&key)
                || facts.refunds_refused.get(&key).is_some_and(|why| why != SALE_REFUSED)
        };
        if journal.with(known) {
            return Ok(());
        }
        let mut end = self.ends[plan.order].subscribe();
        if *end.wait_for(|end| *end != End::Open).await? == End::Refused {
            return journal.refund_refused(&key, SALE_REFUSED.to_owned());
        }
        let order_id = journal.with(|facts| facts.placed.get(&sale.invoice).cloned());
        let order_id = order_id.ok_or_else(|| anyhow!("its sale was not placed"))?.order_id;
        let body = RefundInput {
            order_id: Some(order_id.parse()?),
            lines: Some(self.lines(&plan.units)),
            restock: true,
            reason: format!("Cancellation {}", plan.invoice),
            ..RefundInput::default()
        };
        let call = Call::post("/payments/refund", &body)?
            .by(self.stage.merchant.get().await?)
            .key(format!("simulate-{}-{key}", self.stage.run.id));
        let answer = self.shop.patiently(&call).await?;
        if answer.status.is_client_error() {
            return journal.refund_refused(&key, answer.complaint());
        }
        let refund: Refund = answer.expect(&[200, 201, 202], "refunding")?;
        journal.refunded(&key, pence(refund.amount)?)
    }
}

/// The order that was accepted, or why it was not.
fn placed_of(answer: &Answer, plan: &OrderPlan) -> anyhow::Result<Result<Placed, String>> {
    match answer.status.as_u16() {
        201 | 202 => {
            let order: Order = answer.json()?;
            let token = order.order_token.context("the answer has no order token")?;
            let total_minor = pence(order.total_amount)?;
            if total_minor != plan.total_minor {
                bail!("it came to {total_minor} pence instead of {}", plan.total_minor);
            }
            Ok(Ok(Placed { order_id: order.order_id.to_string(), token, total_minor }))
        }
        401 | 403 => bail!("{}", answer.complaint()),
        _ => Ok(Err(answer.complaint())),
    }
}

pub fn pence(amount: Amount) -> anyhow::Result<i64> {
    Ok(amount.in_currency(Currency::GBP)?.minor)
}
