//! An operator at the console: looks at the dead letters and sends them back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::client::{Call, Shop};
use crate::credentials::Renewing;

const PAUSE: Duration = Duration::from_millis(200);
/// The inbox has read every dead letter by then.
const ARRIVE_WITHIN: Duration = Duration::from_secs(60);
const FINISH_WITHIN: Duration = Duration::from_secs(600);

pub struct Desk<'a> {
    pub shop: &'a Shop,
    pub operator: &'a Renewing,
}

impl Desk<'_> {
    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let call = Call::get(path).by(self.operator.get().await?);
        self.shop.patiently(&call).await?.expect(&[200], path)
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let call = Call::post(path, body)?.by(self.operator.get().await?);
        let answer = self.shop.send(&call).await?;
        answer.expect(&[200, 201, 202], path)
    }

    pub async fn open_letters(&self) -> anyhow::Result<u64> {
        let groups = self.get("/admin/dead-letters/groups").await?;
        groups["count"].as_u64().context("groups without a count")
    }

    /// Sabotage: deletes one dead letter, and says how many that were.
    pub async fn drop_one(&self) -> anyhow::Result<u64> {
        let began = Instant::now();
        loop {
            let list = self.get("/admin/dead-letters?state=open&first=1").await?;
            if let Some(id) = list["items"][0]["id"].as_str() {
                let path = format!("/admin/dead-letters/{id}/delete");
                self.post(&path, &json!({"reason": "sabotage by a proof"})).await?;
                println!("sabotage: dropped one dead letter");
                return Ok(1);
            }
            ensure!(began.elapsed() < ARRIVE_WITHIN, "there is no dead letter to drop");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends all dead letters back and waits for the result: how many were
    /// handled. With none to send there is nothing to do.
    pub async fn redrive_all(&self, expected: u64) -> anyhow::Result<u64> {
        let began = Instant::now();
        while self.open_letters().await? < expected && began.elapsed() < ARRIVE_WITHIN {
            tokio::time::sleep(PAUSE).await;
        }
        if self.open_letters().await? == 0 {
            return Ok(0);
        }
        let wish = json!({
            "selection": {"all": true}, "canary": 1, "ratePerSecond": 500,
            "reason": "the drill is over",
        });
        let plan = self.post("/admin/dead-letters/redrives", &wish).await?;
        let id = plan["id"].as_str().context("a redrive without an id")?;
        let path = format!("/admin/dead-letters/redrives/{id}");
        self.post(&format!("{path}/start"), &json!({})).await?;
        let began = Instant::now();
        loop {
            let redrive = self.get(&path).await?;
            match redrive["state"].as_str().unwrap_or_default() {
                "done" => return Ok(redrive["progress"]["redriven"].as_u64().unwrap_or(0)),
                "canary" | "running" => {}
                other => bail!("the redrive is {other}: {}", redrive["stopReason"]),
            }
            ensure!(began.elapsed() < FINISH_WITHIN, "the redrive does not end");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
