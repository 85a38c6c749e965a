//! The gateway's moods, and when nothing is unknown any more.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::Args;
use crate::mortal::Mortal;
use crate::simulator::Simulator;

/// Longer than the settlement time, the longest pause between two questions and a lease together.
const KNOWN_WITHIN: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(500);
/// The gauges are read from the database every five seconds.
const GAUGES_ARE_FRESH: Duration = Duration::from_secs(6);

pub struct Weather {
    simulator: Simulator,
    bad: [(&'static str, u8); 3],
}

impl Weather {
    pub fn new(args: &Args, simulator: Simulator) -> Self {
        let bad = [
            ("lostBeforePercent", args.lost_before),
            ("lostAfterPercent", args.lost_after),
            ("faultPercent", args.faults),
        ];
        Weather { simulator, bad }
    }

    /// From now on to the end.
    pub async fn set_bad(&self) -> anyhow::Result<()> {
        for (name, share) in self.bad {
            self.simulator.control(name, json!(share)).await?;
        }
        Ok(())
    }

    pub async fn outage(&self, length: Duration) -> anyhow::Result<()> {
        self.simulator.control("outage", json!(true)).await?;
        println!("the gateway is away for {} s", length.as_secs());
        tokio::time::sleep(length).await;
        self.simulator.control("outage", json!(false)).await?;
        println!("the gateway is back");
        Ok(())
    }
}

/// Waits until the payment service says that no outcome is unknown; gives how
/// many still are when patience ends.
pub async fn nothing_unknown(mortal: &Mortal) -> anyhow::Result<u64> {
    let began = Instant::now();
    tokio::time::sleep(GAUGES_ARE_FRESH).await;
    loop {
        let unknown = unknown(mortal).await;
        match unknown {
            Ok(0) => return Ok(0),
            Ok(left) if began.elapsed() > KNOWN_WITHIN => return Ok(left),
            Err(error) if began.elapsed() > KNOWN_WITHIN => return Err(error),
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn unknown(mortal: &Mortal) -> anyhow::Result<u64> {
    let address = mortal.internal_of("payments")?;
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build()?;
    let text = http.get(format!("{address}/metrics")).send().await?.text().await?;
    let is_it = |line: &&str| line.split([' ', '{']).next() == Some("payments_unknown");
    let line = text.lines().find(is_it);
    let value = line.and_then(|line| line.rsplit(' ').next());
    let value: f64 = value.context("no gauge payments_unknown")?.parse()?;
    ensure!(value >= 0.0, "a negative count");
    Ok(value as u64)
}
