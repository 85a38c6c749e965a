//! The same request many times at once.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde::Deserialize;
use shared_types::orders::{LineInput, PayOrder};
use uuid::Uuid;

use crate::client::{Answer, Call, Credential, Shop};
use crate::shelves;

/// Complaints beyond this say nothing new.
const MOST_COMPLAINTS: usize = 20;

/// What one sender needs.
pub struct Asked {
    pub shop: Shop,
    pub sku: String,
    /// Makes the keys of this run its own.
    pub run: String,
    pub sends: u16,
    pub sabotaged: bool,
}

/// What came of the sends.
#[derive(Debug, Default)]
pub struct Tally {
    pub answers: u64,
    pub replays: u64,
    pub orders: BTreeSet<Uuid>,
    /// Of `orders`, those whose payment was answered with 200.
    pub paid: Vec<Uuid>,
    pub complaints: Vec<String>,
}

impl Tally {
    pub fn merge(&mut self, other: Tally) {
        self.answers += other.answers;
        self.replays += other.replays;
        self.orders.extend(other.orders);
        self.paid.extend(other.paid);
        other.complaints.into_iter().for_each(|c| self.complain(c));
    }

    fn complain(&mut self, what: String) {
        if self.complaints.len() < MOST_COMPLAINTS {
            self.complaints.push(what);
        }
    }

    /// Takes the answers of one key; gives the one that they all are. An `open` one
    /// works nothing out and may be given again and again.
    fn take(
        &mut self,
        what: &str,
        answers: Vec<Answer>,
        open: fn(&Answer) -> bool,
    ) -> Option<Answer> {
        self.answers += answers.len() as u64;
        let replays = answers.iter().filter(|a| a.replayed).count();
        self.replays += replays as u64;
        let fresh = answers.iter().filter(|a| !a.replayed && !open(a)).count();
        if fresh > 1 {
            self.complain(format!("{what}: {fresh} answers say that they were worked out"));
        }
        let mut answers = answers.into_iter();
        let first = answers.next()?;
        for other in answers {
            if (other.status, &other.body) != (first.status, &first.body) {
                let (one, two) = (first.complaint(), other.complaint());
                self.complain(format!("{what}: answers differ: {one}; {two}"));
                break;
            }
        }
        Some(first)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Placed {
    order_id: Uuid,
    order_token: String,
}

impl Asked {
    /// One key: an order, then its payment.
    pub async fn key(&self, number: u64, tally: &mut Tally) -> anyhow::Result<()> {
        let line = LineInput { sku: self.sku.clone(), qty: 1 };
        let order = shelves::guest_order(vec![line], false);
        let call = Call::post("/orders", &order)?.key(format!("place-{}-{number}", self.run));
        let mut answers = self.all_at_once(&call).await?;
        if self.sabotaged && number == 0 {
            let astray = call.key(format!("astray-{}-{number}", self.run));
            answers.push(self.shop.patiently(&astray).await?);
            println!("sabotage: sent one order again under another key");
        }
        let what = format!("order {number}");
        let Some(answer) = tally.take(&what, answers, |_| false) else { return Ok(()) };
        if !answer.status.is_success() {
            tally.complain(format!("{what}: {}", answer.complaint()));
            return Ok(());
        }
        let placed: Placed = answer.json()?;
        tally.orders.insert(placed.order_id);
        let payment = PayOrder { payment_method: Some(shelves::card()) };
        let call = Call::post(format!("/orders/{}/pay", placed.order_id), &payment)?
            .by(Credential::Order(placed.order_token))
            .key(format!("pay-{}-{number}", self.run));
        let answers = self.all_at_once(&call).await?;
        let what = format!("payment {number}");
        match tally.take(&what, answers, being_decided) {
            Some(answer) if answer.status.as_u16() == 200 => tally.paid.push(placed.order_id),
            // Being decided, perhaps because the shop died meanwhile.
            Some(answer) if being_decided(&answer) => {}
            Some(answer) => tally.complain(format!("{what}: {}", answer.complaint())),
            None => {}
        }
        Ok(())
    }

    async fn all_at_once(&self, call: &Call) -> anyhow::Result<Vec<Answer>> {
        let sends = (0..self.sends).map(|_| self.shop.patiently(call));
        join_all(sends).await.into_iter().collect()
    }
}

/// A payment's answer that says to come back. An order that is placed with 202 is
/// placed: that is an answer like any other.
fn being_decided(answer: &Answer) -> bool {
    answer.status.as_u16() == 202
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn answer(replayed: bool, body: &str) -> Answer {
        let body = body.as_bytes().to_vec();
        Answer { status: StatusCode::CREATED, retry_after: None, replayed, body }
    }

    #[test]
    fn answers_that_differ_or_were_worked_out_twice_are_noticed() {
        let complaints = |answers: Vec<Answer>| {
            let mut tally = Tally::default();
            tally.take("k", answers, |_| false);
            tally.complaints.len()
        };
        assert_eq!(complaints(vec![answer(false, "a"), answer(true, "a")]), 0);
        assert_eq!(complaints(vec![answer(true, "a"), answer(true, "a")]), 0, "its sender died");
        assert_eq!(complaints(vec![answer(false, "a"), answer(true, "b")]), 1);
        assert_eq!(complaints(vec![answer(false, "a"), answer(false, "a")]), 1);
    }

    #[test]
    fn a_payment_may_be_open_again_and_again_and_an_order_is_placed_once() {
        let accepted = || Answer { status: StatusCode::ACCEPTED, ..answer(false, "a") };
        let complaints = |open: fn(&Answer) -> bool| {
            let mut tally = Tally::default();
            tally.take("k", vec![accepted(), accepted()], open);
            tally.complaints.len()
        };
        assert_eq!((complaints(being_decided), complaints(|_| false)), (0, 1));
    }
}
