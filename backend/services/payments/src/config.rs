//! Settings: the section `[payments]`.

pub mod providers;

use std::time::Duration;

use anyhow::ensure;
use platform::config::Config as AllSettings;
use platform::resilience::{Backoff, BreakerRules};
use serde::Deserialize;

use crate::domain::risk::RiskRules;
use providers::{AdyenSettings, Rule, StripeSettings};

/// `[payments]`. Every knob is explained in the shipped defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub answer_within_ms: u64,
    pub max_running: usize,
    pub attempts: u32,
    pub fallback_attempts: u32,
    pub backoff_first_ms: u64,
    pub backoff_cap_ms: u64,
    pub settlement_time_ms: u64,
    pub resend_within_ms: u64,
    pub reconcile_every_ms: u64,
    pub reconcile_batch: u32,
    pub soap: Gateway,
    pub rest: RestGateway,
    #[serde(default)]
    pub stripe: StripeSettings,
    #[serde(default)]
    pub adyen: AdyenSettings,
    /// Who takes what; complete once loaded.
    #[serde(default)]
    pub routes: Vec<Rule>,
    #[serde(default)]
    pub risk: RiskRules,
    /// Keys that seal payment tokens, relative to the state folder. Empty: the
    /// column key.
    #[serde(default)]
    pub token_keys_file: String,
}

/// How one gateway is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Empty: the simulator of this installation.
    pub url: String,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    pub concurrency: usize,
    pub queue_timeout_ms: u64,
    #[serde(default)]
    pub breaker: BreakerSettings,
}

/// When a gateway is left alone for a while.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerSettings {
    pub failures: usize,
    pub window_ms: u64,
    pub open_ms: u64,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        let rules = BreakerRules::default();
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        BreakerSettings {
            failures: rules.failures,
            window_ms: ms(rules.window),
            open_ms: ms(rules.open_for),
        }
    }
}

impl BreakerSettings {
    pub fn rules(&self) -> BreakerRules {
        BreakerRules {
            failures: self.failures,
            window: Duration::from_millis(self.window_ms),
            open_for: Duration::from_millis(self.open_ms),
        }
    }
}

/// The fallback.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestGateway {
    pub enabled: bool,
    pub url: String,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    pub concurrency: usize,
    pub queue_timeout_ms: u64,
    #[serde(default)]
    pub breaker: BreakerSettings,
}

impl RestGateway {
    fn gateway(&self) -> Gateway {
        Gateway {
            url: self.url.clone(),
            connect_timeout_ms: self.connect_timeout_ms,
            timeout_ms: self.timeout_ms,
            concurrency: self.concurrency,
            queue_timeout_ms: self.queue_timeout_ms,
            breaker: self.breaker,
        }
    }
}

#[derive(Deserialize)]
struct SimulatorPort {
    port: u16,
}

#[derive(Deserialize)]
struct Demo {
    enabled: bool,
}

/// Slack around what a send may take before somebody else takes over.
const LEASE_SLACK: Duration = Duration::from_secs(3);

impl Settings {
    pub fn load(all: &AllSettings) -> anyhow::Result<Self> {
        let mut settings: Settings = all.section("payments")?;
        let simulator = || -> anyhow::Result<String> {
            let simulator: SimulatorPort = all.section("payment_simulator")?;
            Ok(format!("http://127.0.0.1:{}", simulator.port))
        };
        if settings.soap.url.is_empty() {
            settings.soap.url = format!("{}/soap/payment", simulator()?);
        }
        if settings.rest.url.is_empty() {
            settings.rest.url = format!("{}/rest/payments", simulator()?);
        }
        // The simulator's keys are known to everybody: they count in demo mode only.
        let demo = all.section::<Demo>("demo").is_ok_and(|demo| demo.enabled);
        settings.stripe.enabled &= demo || !settings.stripe.url.is_empty();
        settings.adyen.enabled &= demo || !settings.adyen.url.is_empty();
        settings.stripe.complete(simulator)?;
        settings.adyen.complete(simulator)?;
        settings.check()?;
        let (rest, stripe, adyen) =
            (settings.rest.enabled, settings.stripe.enabled, settings.adyen.enabled);
        settings.routes = providers::rules(settings.routes, |name| match name {
            "rest" => rest,
            "stripe" => stripe,
            "adyen" => adyen,
            _ => true,
        })?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!((1..=5).contains(&self.attempts), "payments.attempts: 1 to 5");
        ensure!(self.fallback_attempts <= 5, "payments.fallback_attempts: at most 5");
        ensure!((1..=100_000).contains(&self.max_running), "payments.max_running: 1 to 100000");
        ensure!((1..=1_000).contains(&self.reconcile_batch), "payments.reconcile_batch: 1 to 1000");
        ensure!(self.reconcile_every_ms >= 10, "payments.reconcile_every_ms: at least 10");
        ensure!(self.answer_within_ms <= 25_000, "payments.answer_within_ms: at most 25000");
        self.risk.check().map_err(anyhow::Error::msg)?;
        let mut gateways = vec![("soap", self.soap.clone()), ("rest", self.rest.gateway())];
        if self.stripe.enabled {
            gateways.push(("stripe", self.stripe.gateway()));
        }
        if self.adyen.enabled {
            gateways.push(("adyen", self.adyen.gateway()));
        }
        for (name, gateway) in &gateways {
            let url = reqwest::Url::parse(&gateway.url);
            let http = url.is_ok_and(|u| matches!(u.scheme(), "http" | "https"));
            ensure!(http, "payments.{name}.url: must be an http or https address");
            ensure!(
                (1..=10_000).contains(&gateway.concurrency),
                "payments.{name}.concurrency: 1 to 10000"
            );
            ensure!(
                (1..=60_000).contains(&gateway.timeout_ms),
                "payments.{name}.timeout_ms: 1 to 60000"
            );
            let breaker = &gateway.breaker;
            ensure!(
                (1..=1_000).contains(&breaker.failures)
                    && (1..=3_600_000).contains(&breaker.window_ms)
                    && (1..=3_600_000).contains(&breaker.open_ms),
                "payments.{name}.breaker: 1 to 1000 failures, times of 1 to 3600000"
            );
        }
        Ok(())
    }

    pub fn rest_gateway(&self) -> Option<Gateway> {
        self.rest.enabled.then(|| self.rest.gateway())
    }

    pub fn answer_within(&self) -> Duration {
        Duration::from_millis(self.answer_within_ms)
    }

    pub fn settlement_time(&self) -> Duration {
        Duration::from_millis(self.settlement_time_ms)
    }

    pub fn resend_within(&self) -> Duration {
        Duration::from_millis(self.resend_within_ms)
    }

    pub fn backoff(&self) -> Backoff {
        Backoff {
            first: Duration::from_millis(self.backoff_first_ms),
            cap: Duration::from_millis(self.backoff_cap_ms),
        }
    }

    /// How long after a claim a request may still leave.
    pub fn send_window(&self) -> Duration {
        let queue = [&self.soap.queue_timeout_ms, &self.rest.queue_timeout_ms]
            .into_iter()
            .chain([&self.stripe.queue_timeout_ms, &self.adyen.queue_timeout_ms])
            .max()
            .copied()
            .unwrap_or_default();
        Duration::from_millis(queue + self.backoff_cap_ms) + Duration::from_secs(1)
    }

    /// How long one send belongs to whoever claimed it.
    pub fn lease(&self) -> Duration {
        let soap = self.soap.timeout_ms.max(self.rest.timeout_ms);
        let cards = self.stripe.timeout_ms.max(self.adyen.timeout_ms);
        let call = Duration::from_millis(soap.max(cards));
        self.send_window() + call * 2 + LEASE_SLACK
    }
}

impl Gateway {
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub fn queue_timeout(&self) -> Duration {
        Duration::from_millis(self.queue_timeout_ms)
    }
}
