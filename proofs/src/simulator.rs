//! The payment simulator's ledger: what was really charged.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::{Value, json};

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

#[derive(Clone)]
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

    /// Asks again for a while: a shop whose database was just killed may refuse.
    async fn entries(&self, url: &str) -> anyhow::Result<Vec<Entry>> {
        const TRIES: u32 = 60;
        const PAUSE: Duration = Duration::from_millis(500);
        let mut tries = 1;
        loop {
            match self.entries_once(url).await {
                Err(_) if tries < TRIES => tries += 1,
                settled => return settled,
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn entries_once(&self, url: &str) -> anyhow::Result<Vec<Entry>> {
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

    /// Changes one control and leaves the others.
    pub async fn control(&self, name: &str, value: Value) -> anyhow::Result<()> {
        let url = format!("{}/admin/controls", self.base);
        let controls = self.http.get(&url).send().await?.error_for_status()?;
        let mut controls: Value = controls.json().await?;
        controls[name] = value;
        let put = self.http.put(&url).json(&controls).send().await?;
        put.error_for_status().with_context(|| format!("setting {name}"))?;
        Ok(())
    }

    /// Well-behaved again.
    pub async fn calm(&self) -> anyhow::Result<()> {
        let reset = self.http.post(format!("{}/admin/reset", self.base)).send().await?;
        reset.error_for_status()?;
        Ok(())
    }

    /// The approved charge of an order.
    async fn charge_of(&self, order_id: &str) -> anyhow::Result<Entry> {
        let url = format!("{}/admin/ledger?orderId={order_id}", self.base);
        let mut entries = self.entries(&url).await?.into_iter();
        let charge = entries.find(|e| e.kind == "CHARGE" && e.status == "APPROVED");
        charge.context("the order was not charged yet")
    }

    /// Sabotage: charges an order once more, past the shop.
    pub async fn charge_again(&self, order_id: &str) -> anyhow::Result<()> {
        let charge = self.charge_of(order_id).await?;
        self.charge(order_id, charge.amount_minor, &charge.currency).await
    }

    /// Sabotage: charges an order, past the shop; in a currency with cents.
    pub async fn charge(&self, order_id: &str, minor: i64, currency: &str) -> anyhow::Result<()> {
        let body = json!({
            "orderId": order_id,
            "amount": shared_types::Amount::new(minor, 2),
            "currency": currency,
            "paymentToken": "tok_ok",
        });
        self.act("/rest/payments", &body).await
    }

    /// Sabotage: gives an order's charge back, past the shop.
    pub async fn give_back(&self, order_id: &str) -> anyhow::Result<()> {
        let charge = self.charge_of(order_id).await?;
        let body = json!({
            "orderId": order_id,
            "amount": shared_types::Amount::new(charge.amount_minor, 2),
            "currency": charge.currency,
        });
        self.act("/rest/payments/refunds", &body).await
    }

    async fn act(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let answer = self.http.post(format!("{}{path}", self.base)).json(body).send().await?;
        if !answer.status().is_success() {
            bail!("the simulator refused the sabotage: {}", answer.status());
        }
        Ok(())
    }
}
