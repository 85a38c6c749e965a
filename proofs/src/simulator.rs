//! The payment simulator's ledger: what was really charged.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::json;

use crate::client::root_cause;
use crate::settings::ShopArgs;

const PAGE: usize = 1_000;

/// An entry of the ledger.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    pub id: i64,
    pub order_id: String,
    pub kind: String,
    pub status: String,
    pub amount_minor: i64,
    pub currency: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Entry>,
}

/// What the ledger holds of one order: approved charges and refunds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub charges: u64,
    pub charged_minor: i64,
    pub refunded_minor: i64,
}

pub struct Simulator {
    http: reqwest::Client,
    base: String,
}

impl Simulator {
    pub fn new(args: &ShopArgs) -> anyhow::Result<Self> {
        let http =
            reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build()?;
        Ok(Simulator { http, base: args.simulator.trim_end_matches('/').to_owned() })
    }

    async fn page(&self, after: i64, first: usize) -> anyhow::Result<Vec<Entry>> {
        let url = format!("{}/admin/ledger?after={after}&first={first}", self.base);
        self.entries(&url).await
    }

    async fn entries(&self, url: &str) -> anyhow::Result<Vec<Entry>> {
        let answer = self.http.get(url).send().await;
        let answer = answer.map_err(|error| {
            anyhow::anyhow!("the payment simulator at {}: {}", self.base, root_cause(&error))
        })?;
        let page: Page = answer.error_for_status()?.json().await?;
        Ok(page.items)
    }

    /// The id of the newest entry; 0 for an empty ledger.
    pub async fn position(&self) -> anyhow::Result<i64> {
        let (mut known, mut step) = (0, 1);
        // Grows while there are entries beyond, then halves back to the last one.
        while let Some(entry) = self.page(known + step - 1, 1).await?.first() {
            known = entry.id;
            step *= 2;
        }
        while step > 1 {
            step /= 2;
            while let Some(entry) = self.page(known + step - 1, 1).await?.first() {
                known = entry.id;
            }
        }
        Ok(known)
    }

    /// Approved charges and refunds after an entry, by order id.
    pub async fn accounts_since(&self, position: i64) -> anyhow::Result<BTreeMap<String, Account>> {
        let (mut accounts, mut after) = (BTreeMap::<String, Account>::new(), position);
        loop {
            let page = self.page(after, PAGE).await?;
            for entry in page.iter().filter(|entry| entry.status == "APPROVED") {
                let account = accounts.entry(entry.order_id.clone()).or_default();
                if entry.kind == "CHARGE" {
                    account.charges += 1;
                    account.charged_minor += entry.amount_minor;
                } else {
                    account.refunded_minor += entry.amount_minor;
                }
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = last.id,
                _ => return Ok(accounts),
            }
        }
    }

    /// Sabotage: charges an order once more, past the shop.
    pub async fn charge_again(&self, order_id: &str) -> anyhow::Result<()> {
        let url = format!("{}/admin/ledger?orderId={order_id}", self.base);
        let entries = self.entries(&url).await?;
        let charge = entries.iter().find(|e| e.kind == "CHARGE" && e.status == "APPROVED");
        let charge = charge.context("the order was not charged yet")?;
        let (units, cents) = (charge.amount_minor / 100, charge.amount_minor % 100);
        let amount: shared_types::Amount = format!("{units}.{cents:02}").parse()?;
        let body = json!({
            "orderId": order_id,
            "amount": amount,
            "currency": charge.currency,
            "paymentToken": "tok_ok",
        });
        let answer =
            self.http.post(format!("{}/rest/payments", self.base)).json(&body).send().await?;
        if !answer.status().is_success() {
            bail!("the simulator refused the second charge: {}", answer.status());
        }
        Ok(())
    }
}
