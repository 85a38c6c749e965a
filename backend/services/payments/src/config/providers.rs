//! Settings of the card providers, and the rules by which providers are chosen.

use anyhow::ensure;
use serde::Deserialize;
use shared_types::Currency;
use shared_types::payments::Purpose;

use super::{BreakerSettings, Gateway};

/// `[[payments.routes]]`: who takes what, in order of preference. The first
/// rule that matches counts; an empty list matches everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// `ORDER`, `INTENT`.
    pub purposes: Vec<Purpose>,
    pub currencies: Vec<Currency>,
    /// `card`, …
    pub methods: Vec<String>,
    /// `soap`, `rest`, `stripe`, `adyen`.
    pub providers: Vec<String>,
}

impl Rule {
    pub fn matches(&self, purpose: Purpose, currency: Currency, method: &str) -> bool {
        (self.purposes.is_empty() || self.purposes.contains(&purpose))
            && (self.currencies.is_empty() || self.currencies.contains(&currency))
            && self.knows_method(method)
    }

    /// A rule without methods takes cards.
    pub fn knows_method(&self, method: &str) -> bool {
        match self.methods.is_empty() {
            true => method == "card",
            false => self.methods.iter().any(|m| m == method),
        }
    }
}

const PROVIDERS: [&str; 4] = ["soap", "rest", "stripe", "adyen"];

/// One rule for all when none is given: the SOAP gateway, then its fallback.
pub fn rules(mut given: Vec<Rule>, is_on: impl Fn(&str) -> bool) -> anyhow::Result<Vec<Rule>> {
    if given.is_empty() {
        let providers = vec!["soap".to_owned(), "rest".to_owned()];
        given.push(Rule { providers, ..Rule::default() });
    }
    for (index, rule) in given.iter_mut().enumerate() {
        let named = |name: &String| PROVIDERS.contains(&name.as_str());
        let unknown = rule.providers.iter().find(|name| !named(name));
        if let Some(name) = unknown {
            anyhow::bail!("payments.routes[{index}].providers: there is no provider {name:?}");
        }
        rule.providers.retain(|name| is_on(name));
    }
    // A rule whose providers are all switched off leaves its payments to the next.
    given.retain(|rule| !rule.providers.is_empty());
    ensure!(!given.is_empty(), "payments.routes: every provider named is switched off");
    Ok(given)
}

/// `[payments.stripe]`: a provider that speaks Stripe's PaymentIntents.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StripeSettings {
    pub enabled: bool,
    /// Empty: the simulator of this installation.
    pub url: String,
    pub secret_key: String,
    /// The first signs; all verify, so that one can be replaced.
    pub webhook_secrets: Vec<String>,
    pub webhook_tolerance_seconds: u64,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    pub concurrency: usize,
    pub queue_timeout_ms: u64,
    pub breaker: BreakerSettings,
}

/// `[payments.adyen]`: a provider that speaks Adyen's Checkout API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdyenSettings {
    pub enabled: bool,
    /// Up to and with the version; empty: the simulator of this installation.
    pub url: String,
    pub api_key: String,
    pub merchant_account: String,
    /// Hexadecimal; all verify, so that one can be replaced.
    pub hmac_keys: Vec<String>,
    pub connect_timeout_ms: u64,
    pub timeout_ms: u64,
    pub concurrency: usize,
    pub queue_timeout_ms: u64,
    pub breaker: BreakerSettings,
}

impl Default for StripeSettings {
    fn default() -> Self {
        StripeSettings {
            enabled: false,
            url: String::new(),
            secret_key: String::new(),
            webhook_secrets: Vec::new(),
            webhook_tolerance_seconds: 300,
            connect_timeout_ms: 1_000,
            timeout_ms: 5_000,
            concurrency: 32,
            queue_timeout_ms: 4_000,
            breaker: BreakerSettings::default(),
        }
    }
}

impl Default for AdyenSettings {
    fn default() -> Self {
        AdyenSettings {
            enabled: false,
            url: String::new(),
            api_key: String::new(),
            merchant_account: "Bellavista".to_owned(),
            hmac_keys: Vec::new(),
            connect_timeout_ms: 1_000,
            timeout_ms: 5_000,
            concurrency: 32,
            queue_timeout_ms: 4_000,
            breaker: BreakerSettings::default(),
        }
    }
}

/// What the simulator knows callers by; worth nothing anywhere else.
pub mod simulated {
    pub const STRIPE_KEY: &str = "sk_test_simulator";
    pub const STRIPE_WEBHOOK_SECRET: &str = "whsec_simulator";
    pub const ADYEN_KEY: &str = "AQE_simulator";
    pub const ADYEN_HMAC: &str = "73696d756c61746f722073696d756c61746f722073696d756c61746f72212121";
    pub const ADYEN_MERCHANT: &str = "Bellavista";
}

impl StripeSettings {
    /// Fills in the simulator where no provider is named.
    pub fn complete(
        &mut self,
        simulator: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        if !self.enabled {
            return Ok(());
        }
        if self.url.is_empty() {
            self.url = format!("{}/stripe", simulator()?);
            self.secret_key = simulated::STRIPE_KEY.to_owned();
            self.webhook_secrets = vec![simulated::STRIPE_WEBHOOK_SECRET.to_owned()];
        }
        ensure!(!self.secret_key.is_empty(), "payments.stripe.secret_key: is missing");
        ensure!(
            (10..=3_600).contains(&self.webhook_tolerance_seconds),
            "payments.stripe.webhook_tolerance_seconds: 10 to 3600"
        );
        Ok(())
    }

    pub fn gateway(&self) -> Gateway {
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

impl AdyenSettings {
    /// Fills in the simulator where no provider is named.
    pub fn complete(
        &mut self,
        simulator: impl FnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        if !self.enabled {
            return Ok(());
        }
        if self.url.is_empty() {
            self.url = format!("{}/adyen/v71", simulator()?);
            self.api_key = simulated::ADYEN_KEY.to_owned();
            self.merchant_account = simulated::ADYEN_MERCHANT.to_owned();
            self.hmac_keys = vec![simulated::ADYEN_HMAC.to_owned()];
        }
        ensure!(!self.api_key.is_empty(), "payments.adyen.api_key: is missing");
        for key in &self.hmac_keys {
            ensure!(hex::decode(key).is_ok(), "payments.adyen.hmac_keys: must be hexadecimal");
        }
        Ok(())
    }

    pub fn gateway(&self) -> Gateway {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(purposes: &[Purpose], currencies: &[Currency], providers: &[&str]) -> Rule {
        Rule {
            purposes: purposes.to_vec(),
            currencies: currencies.to_vec(),
            methods: Vec::new(),
            providers: providers.iter().map(|p| (*p).to_owned()).collect(),
        }
    }

    #[test]
    fn the_first_rule_that_matches_counts() {
        let given = vec![
            rule(&[], &[Currency::EUR], &["adyen", "stripe"]),
            rule(&[Purpose::Intent], &[], &["stripe"]),
            rule(&[], &[], &["soap", "rest"]),
        ];
        let rules = rules(given, |name| name != "adyen").unwrap();
        let first = |purpose, currency| {
            let found = rules.iter().find(|r| r.matches(purpose, currency, "card"));
            found.map(|r| r.providers.join(","))
        };
        assert_eq!(first(Purpose::Order, Currency::EUR).unwrap(), "stripe", "adyen is off");
        assert_eq!(first(Purpose::Intent, Currency::USD).unwrap(), "stripe");
        assert_eq!(first(Purpose::Order, Currency::USD).unwrap(), "soap,rest");
        assert!(!rules.iter().any(|r| r.knows_method("wallet")));
    }

    #[test]
    fn odd_rules_stop_the_start() {
        let odd = rules(vec![rule(&[], &[], &["paypal"])], |_| true).unwrap_err();
        assert!(odd.to_string().contains("paypal"), "{odd}");
        assert!(rules(vec![rule(&[], &[], &["stripe"])], |_| false).is_err());
        let default = rules(Vec::new(), |name| name == "soap").unwrap();
        assert_eq!(default[0].providers, ["soap"]);
    }
}
