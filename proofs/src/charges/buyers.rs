//! Buyers: one order each, and its payment, by an honest client's rules.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared_types::orders::{LineInput, Order, OrderStatusView, PayOrder};
use uuid::Uuid;

use crate::client::{Call, Credential, Shop};
use crate::shelves;

/// How one pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The card is given with the order.
    AtOnce,
    /// Placed first, paid in a second step.
    Later,
    /// Paid in a second step, with a card that is declined; then no more.
    Declined,
    /// The order is left alone.
    Never,
}

impl Manner {
    /// Of twenty buyers one is declined and one does not pay at all.
    pub fn of(number: u64) -> Self {
        match number % 20 {
            7 => Manner::Declined,
            13 => Manner::Never,
            even if even % 2 == 0 => Manner::AtOnce,
            _ => Manner::Later,
        }
    }

    pub fn wants_to_pay(self) -> bool {
        matches!(self, Manner::AtOnce | Manner::Later)
    }
}

/// An order and what its buyer knows of it.
#[derive(Clone, Debug)]
pub struct Purchase {
    pub order_id: Uuid,
    pub manner: Manner,
    pub total_minor: i64,
    /// The shop says that it is paid.
    pub paid: bool,
    /// It is over without having been paid.
    pub ended: bool,
    token: String,
}

pub struct Buyers {
    pub shop: Shop,
    pub sku: String,
    /// Makes the keys of this run its own.
    pub run: String,
}

/// How often one who wants to pay tries again.
const MOST_TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);
/// An outcome is known by then, whatever happened to gateway and service.
const DECIDED_WITHIN: Duration = Duration::from_secs(600);
const AT_ONCE: usize = 16;

impl Buyers {
    pub async fn buy(&self, number: u64) -> anyhow::Result<Purchase> {
        let manner = Manner::of(number);
        let line = LineInput { sku: self.sku.clone(), qty: 1 };
        let order = shelves::guest_order(vec![line], manner == Manner::AtOnce);
        let call = Call::post("/orders", &order)?.key(format!("place-{}-{number}", self.run));
        let answer = self.shop.patiently(&call).await?;
        let order: Order = answer.expect(&[201, 202], "placing an order")?;
        let total = order.total_amount.in_currency(order.currency);
        let mut purchase = Purchase {
            order_id: order.order_id.0,
            manner,
            total_minor: total.map_err(|e| anyhow::anyhow!("the total {e}"))?.minor,
            paid: false,
            ended: false,
            token: order.order_token.context("an order without its token")?,
        };
        match manner {
            Manner::Never => {}
            Manner::Declined => self.pay_declined(number, &purchase).await?,
            Manner::AtOnce => {
                purchase.settled(&self.shop).await?;
                self.insist(number, &mut purchase).await?;
            }
            Manner::Later => self.insist(number, &mut purchase).await?,
        }
        Ok(purchase)
    }

    /// Pays until it is paid.
    async fn insist(&self, number: u64, purchase: &mut Purchase) -> anyhow::Result<()> {
        let body = PayOrder { payment_method: Some(shelves::card()) };
        for attempt in 0..MOST_TRIES {
            if purchase.paid || purchase.ended {
                return Ok(());
            }
            let key = format!("pay-{}-{number}-{attempt}", self.run);
            let answer = self.shop.patiently(&purchase.pay(&body)?.key(key)).await?;
            match answer.status.as_u16() {
                200 => purchase.paid = true,
                202 => purchase.settled(&self.shop).await?,
                409 if answer.code() == "orders.already_paid" => purchase.paid = true,
                409 => purchase.settled(&self.shop).await?,
                _ => bail!("paying {}: {}", purchase.order_id, answer.complaint()),
            }
        }
        bail!("{} could not be paid in {MOST_TRIES} tries", purchase.order_id)
    }

    async fn pay_declined(&self, number: u64, purchase: &Purchase) -> anyhow::Result<()> {
        let body = PayOrder { payment_method: Some(shelves::card_that_is_declined()) };
        let call = purchase.pay(&body)?.key(format!("declined-{}-{number}", self.run));
        let answer = self.shop.patiently(&call).await?;
        let status = answer.status.as_u16();
        ensure!([202, 402].contains(&status), "a declined card: {}", answer.complaint());
        Ok(())
    }
}

impl Purchase {
    #[cfg(test)]
    pub fn for_test(manner: Manner, total_minor: i64, paid: bool) -> Self {
        let (order_id, token) = (Uuid::from_u128(1), String::new());
        Purchase { order_id, manner, total_minor, paid, ended: false, token }
    }

    fn pay(&self, body: &PayOrder) -> anyhow::Result<Call> {
        let call = Call::post(format!("/orders/{}/pay", self.order_id), body)?;
        Ok(call.by(Credential::Order(self.token.clone())))
    }

    async fn view(&self, shop: &Shop) -> anyhow::Result<OrderStatusView> {
        let call = Call::get(format!("/orders/{}/status", self.order_id));
        let answer = shop.patiently(&call.by(Credential::Order(self.token.clone()))).await?;
        answer.expect(&[200], "reading an order")
    }

    /// Waits until no payment is under way and nothing else either.
    async fn settled(&mut self, shop: &Shop) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let view = self.view(shop).await?;
            let stage = view.stage.to_string();
            match view.status.as_str() {
                "PENDING" => {}
                "CANCELED" | "FAILED" => self.ended = true,
                _ => self.paid = true,
            }
            let at_rest = matches!(stage.as_str(), "awaiting_payment" | "done");
            if at_rest {
                return Ok(());
            }
            ensure!(
                began.elapsed() < DECIDED_WITHIN,
                "{} is still {stage} after {} s",
                self.order_id,
                DECIDED_WITHIN.as_secs()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// What the shop says of every order once it has come to rest.
pub async fn read_again(shop: &Shop, purchases: Vec<Purchase>) -> anyhow::Result<Vec<Purchase>> {
    stream::iter(purchases)
        .map(|mut purchase| async move {
            let told_paid = std::mem::take(&mut purchase.paid);
            purchase.settled(shop).await?;
            ensure!(
                purchase.paid || !told_paid,
                "{} was called paid and is not any more",
                purchase.order_id
            );
            anyhow::Ok(purchase)
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_buyers_ninety_want_to_pay() {
        let count = |manner| (0..100).filter(|n| Manner::of(*n) == manner).count();
        assert_eq!((count(Manner::AtOnce), count(Manner::Later)), (50, 40));
        assert_eq!((count(Manner::Declined), count(Manner::Never)), (5, 5));
    }
}
