//! What buyers and the shop's people do with one order, and what must come of it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use shared_types::orders::{LineInput, OrderStatusView, PayOrder, PaymentMethod};
use shared_types::{Amount, Currency};
use uuid::Uuid;

use super::Scene;
use crate::client::{Answer, Call, Credential};
use crate::shelves;

const PAUSE: Duration = Duration::from_millis(50);
/// What a person waits for takes no longer, outages included.
const PATIENCE: Duration = Duration::from_secs(120);

/// The way of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Flow {
    /// Paid with the order.
    Straight,
    /// Paid afterwards, through `/pay`.
    Pay,
    /// The first card is declined at `/pay`, the second one pays.
    SecondCard,
    /// The card that came with the order is declined.
    Declined,
    /// Canceled by its buyer while it waits for payment.
    Canceled,
    /// Confirmed, then canceled by support: the money goes back.
    Withdrawn,
    /// Confirmed, then refunded.
    Refunded,
}

/// How an order has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub status: &'static str,
    /// Its events, in order.
    pub events: &'static [&'static str],
    pub charged: bool,
    pub refunded: bool,
    /// Its unit is the buyer's.
    pub allocated: bool,
}

impl Flow {
    pub const ALL: [Flow; 7] = [
        Flow::Straight,
        Flow::Pay,
        Flow::SecondCard,
        Flow::Declined,
        Flow::Canceled,
        Flow::Withdrawn,
        Flow::Refunded,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Flow::Straight => "paid with the order",
            Flow::Pay => "paid afterwards",
            Flow::SecondCard => "second card",
            Flow::Declined => "declined",
            Flow::Canceled => "canceled by its buyer",
            Flow::Withdrawn => "canceled by support",
            Flow::Refunded => "refunded",
        }
    }

    pub fn expected(self) -> Expected {
        let confirmed = Expected {
            status: "CONFIRMED",
            events: &["created", "paid", "confirmed"],
            charged: true,
            refunded: false,
            allocated: true,
        };
        let nothing = Expected { charged: false, allocated: false, ..confirmed };
        match self {
            Flow::Straight | Flow::Pay | Flow::SecondCard => confirmed,
            Flow::Refunded => Expected { refunded: true, ..confirmed },
            Flow::Declined => {
                Expected { status: "FAILED", events: &["created", "failed"], ..nothing }
            }
            Flow::Canceled => {
                Expected { status: "CANCELED", events: &["created", "canceled"], ..nothing }
            }
            Flow::Withdrawn => Expected {
                status: "CANCELED",
                events: &["created", "paid", "confirmed", "canceled"],
                refunded: true,
                allocated: false,
                ..confirmed
            },
        }
    }

    /// Does everything that is to be done, as patient people would: the same
    /// request under the same key until there is an answer.
    pub async fn drive(self, scene: &Scene, key: &str) -> anyhow::Result<Course> {
        let course = self.place(scene, key).await?;
        let owner = Credential::Order(course.token.clone());
        let of = |what: &str| format!("/orders/{}/{what}", course.order);
        match self {
            Flow::Straight | Flow::Declined => {}
            Flow::Pay => pay(scene, &course, "tok_ok", &format!("{key}-pay")).await?,
            Flow::SecondCard => {
                pay(scene, &course, "tok_declined", &format!("{key}-first")).await?;
                course.until(scene, |view| view.stage == "awaiting_payment").await?;
                pay(scene, &course, "tok_ok", &format!("{key}-second")).await?;
            }
            Flow::Canceled => cancel(scene, &course, of("cancel"), owner).await?,
            Flow::Withdrawn => {
                course.until(scene, |view| view.status == "CONFIRMED").await?;
                cancel(scene, &course, of("cancel"), scene.staff.get().await?).await?;
            }
            Flow::Refunded => {
                course.until(scene, |view| view.status == "CONFIRMED").await?;
                let wish = json!({"orderId": course.order, "reason": "a proof"});
                let call = Call::post("/payments/refund", &wish)?
                    .by(scene.staff.get().await?)
                    .key(format!("{key}-refund"));
                let answer = scene.shop.patiently(&call).await?;
                ensure!(answer.status.as_u16() == 201, "refunding: {}", answer.complaint());
            }
        }
        Ok(course.finished_now())
    }

    async fn place(self, scene: &Scene, key: &str) -> anyhow::Result<Course> {
        let line = LineInput { sku: scene.sku.clone(), qty: 1 };
        let mut order = shelves::guest_order(vec![line], false);
        order.payment_method = match self {
            Flow::Straight | Flow::Withdrawn | Flow::Refunded => Some(shelves::card()),
            Flow::Declined => Some(shelves::card_that_is_declined()),
            Flow::Pay | Flow::SecondCard | Flow::Canceled => None,
        };
        let call = Call::post("/orders", &order)?.key(format!("{key}-place"));
        let answer = scene.shop.patiently(&call).await?;
        let placed: Placed = answer.expect(&[201, 202], "placing an order")?;
        let total = placed.total_amount.in_currency(placed.currency)?.minor;
        let (order, token) = (placed.order_id, placed.order_token);
        Ok(Course { flow: self, order, token, total_minor: total, done: Instant::now() })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placed {
    order_id: Uuid,
    order_token: String,
    total_amount: Amount,
    currency: Currency,
}

/// What a buyer sees of an order, in the words of the API.
struct View {
    status: String,
    stage: String,
}

/// An order on its way.
#[derive(Clone, Debug)]
pub struct Course {
    pub flow: Flow,
    pub order: Uuid,
    token: String,
    pub total_minor: i64,
    /// When people had done their part.
    pub done: Instant,
}

impl Course {
    #[cfg(test)]
    pub fn of(flow: Flow, order: Uuid, total_minor: i64) -> Self {
        Course { flow, order, token: String::new(), total_minor, done: Instant::now() }
    }

    fn finished_now(self) -> Self {
        Course { done: Instant::now(), ..self }
    }

    async fn view(&self, scene: &Scene) -> anyhow::Result<View> {
        let call = Call::get(format!("/orders/{}/status", self.order))
            .by(Credential::Order(self.token.clone()));
        let answer = scene.shop.patiently(&call).await?;
        let view: OrderStatusView = answer.expect(&[200], "reading an order")?;
        Ok(View { status: view.status.to_string(), stage: view.stage.to_string() })
    }

    pub async fn status(&self, scene: &Scene) -> anyhow::Result<String> {
        Ok(self.view(scene).await?.status)
    }

    async fn until(&self, scene: &Scene, enough: impl Fn(&View) -> bool) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let view = self.view(scene).await?;
            if enough(&view) {
                return Ok(());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "{} stays {} {}",
                self.order,
                view.status,
                view.stage
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Sends while the order is not ready for it.
async fn when_ready(scene: &Scene, call: &Call) -> anyhow::Result<Answer> {
    let began = Instant::now();
    loop {
        let answer = scene.shop.patiently(call).await?;
        let early = ["orders.not_ready", "orders.payment_in_progress"];
        if !early.contains(&answer.code().as_str()) || began.elapsed() > PATIENCE {
            return Ok(answer);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn pay(scene: &Scene, course: &Course, token: &str, key: &str) -> anyhow::Result<()> {
    let method = PaymentMethod { kind: "card".to_owned(), token: token.to_owned() };
    let body = PayOrder { payment_method: Some(method) };
    let call = Call::post(format!("/orders/{}/pay", course.order), &body)?
        .by(Credential::Order(course.token.clone()))
        .key(key);
    let answer = when_ready(scene, &call).await?;
    match answer.status.as_u16() {
        // 202: still being decided, perhaps because somebody died meanwhile.
        200 | 202 | 402 => Ok(()),
        _ => bail!("paying {} with {token}: {}", course.order, answer.complaint()),
    }
}

async fn cancel(
    scene: &Scene,
    course: &Course,
    path: String,
    by: Credential,
) -> anyhow::Result<()> {
    let call = Call::post(path, &json!({"reason": "a proof"}))?.by(by);
    let answer = when_ready(scene, &call).await?;
    let done = match answer.status.as_u16() {
        200 | 202 => true,
        // The first send did it and its answer was lost.
        409 => {
            course.until(scene, |view| view.status == "CANCELED").await.context("canceling")?;
            true
        }
        _ => false,
    };
    ensure!(done, "canceling {}: {}", course.order, answer.complaint());
    Ok(())
}
