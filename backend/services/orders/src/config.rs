//! Every setting of `[orders]`; the defaults stand in the shipped TOML.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use shared_types::{Amount, Currency, Money};

use crate::domain::countries::is_country;
use crate::domain::pricing::{Shipping, ShippingPrice, Tax, TaxRate};
use crate::domain::saga::Rules;

/// The section as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrdersConfig {
    /// Units that one line of a request may ask for.
    pub max_line_qty: i64,
    /// How long a placement waits for one answer of inventory, and how often it asks.
    pub reserve_timeout_ms: u64,
    pub reserve_attempts: u32,
    /// How long the saga waits for an answer of inventory, catalogue or cart.
    pub call_timeout_ms: u64,
    /// How long it waits for a payment.
    pub capture_timeout_ms: u64,
    /// How long `/pay`, a refund and a cancellation wait for the saga.
    pub answer_within_ms: u64,
    /// Calls of one kind that may be under way at once.
    pub max_calls: usize,
    /// Orders that this process works on at once.
    pub concurrency: usize,
    /// How often due orders are looked for.
    pub poll_ms: u64,
    /// How long an order belongs to the process that took it up.
    pub lease_ms: u64,
    /// How much later than inventory the saga gives up an unpaid order.
    pub hold_grace_ms: u64,
    /// A placement without stock answer: when the saga asks again, and how
    /// long it may stay undecided.
    pub reserve_repeat_ms: u64,
    pub reserving_limit_ms: u64,
    /// How often inventory is asked for a backordered order, beside its events.
    pub backorder_repeat_ms: u64,
    /// After so many declines the order has failed.
    pub max_declines: u32,
    /// How often an attempt that never left is made again: at `/pay`, and for
    /// a method given with the order.
    pub unsent_retries: u32,
    pub unsent_retries_automatic: u32,
    /// First and longest pause between two tries of a step.
    pub retry_first_ms: u64,
    pub retry_longest_ms: u64,
    /// After so many failures of one step a person is told.
    pub stuck_after: u32,
    /// A saga that is due for longer than this is counted as overdue.
    pub overdue_ms: u64,
    /// Drills: the process ends itself at this place, counted from 0, of those
    /// where something is stored or was just stored. Below zero: never.
    pub die_at_pass: i64,
    /// How long `Authorization: Order …` tokens live.
    pub order_token_days: u64,
    pub tax: TaxConfig,
    pub shipping: ShippingConfig,
}

/// `[orders.tax]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxConfig {
    pub enabled: bool,
    /// Whether catalogue prices hold the tax already.
    pub inclusive: bool,
    pub rates: Vec<RateConfig>,
}

/// A row of the tax table. The most exact row wins; none means no tax.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateConfig {
    pub country: String,
    /// Empty for the whole country.
    #[serde(default)]
    pub region: String,
    /// Empty for all tax classes.
    #[serde(default)]
    pub class: String,
    /// Millionths: 200000 is 20 %.
    pub ppm: i64,
}

/// `[orders.shipping]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShippingConfig {
    pub enabled: bool,
    /// In whole units of the order's currency, as text.
    pub price: String,
    pub free_from: String,
    /// Currencies in which these numbers would make no sense.
    #[serde(default)]
    pub currencies: BTreeMap<String, CurrencyShipping>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurrencyShipping {
    pub price: String,
    pub free_from: String,
}

const DAY_SECONDS: u64 = 24 * 3600;

impl OrdersConfig {
    /// Refuses what could not work, naming the setting.
    pub fn check(&self) -> anyhow::Result<()> {
        let positive = [
            ("max_line_qty", self.max_line_qty.unsigned_abs()),
            ("reserve_timeout_ms", self.reserve_timeout_ms),
            ("reserve_attempts", self.reserve_attempts.into()),
            ("call_timeout_ms", self.call_timeout_ms),
            ("capture_timeout_ms", self.capture_timeout_ms),
            ("max_calls", self.max_calls as u64),
            ("concurrency", self.concurrency as u64),
            ("poll_ms", self.poll_ms),
            ("backorder_repeat_ms", self.backorder_repeat_ms),
            ("overdue_ms", self.overdue_ms),
            ("retry_first_ms", self.retry_first_ms),
            ("max_declines", self.max_declines.into()),
            ("stuck_after", self.stuck_after.into()),
            ("order_token_days", self.order_token_days),
        ];
        for (name, value) in positive {
            ensure!(value > 0, "configuration: orders.{name}: must be positive");
        }
        ensure!(
            self.lease_ms >= self.longest_step_ms() + 5_000,
            "configuration: orders.lease_ms: must outlast capture_timeout_ms and two calls by 5 s"
        );
        ensure!(
            self.answer_within_ms <= 20_000,
            "configuration: orders.answer_within_ms: a request ends after 30 s; at most 20000"
        );
        Ok(())
    }

    /// What one step may take: a charge pins, captures and unpins.
    pub fn longest_step_ms(&self) -> u64 {
        2 * self.call_timeout_ms + self.capture_timeout_ms.max(self.call_timeout_ms)
    }

    /// The numbers that the saga's decisions rest on.
    pub fn rules(&self) -> Rules {
        let ms = Duration::from_millis;
        Rules {
            max_declines: self.max_declines,
            unsent_retries: self.unsent_retries,
            unsent_retries_automatic: self.unsent_retries_automatic,
            hold_grace: ms(self.hold_grace_ms),
            reserve_repeat: ms(self.reserve_repeat_ms),
            backorder_repeat: ms(self.backorder_repeat_ms),
            reserving_limit: ms(self.reserving_limit_ms),
            retry_first: ms(self.retry_first_ms),
            retry_longest: ms(self.retry_longest_ms.max(self.retry_first_ms)),
            stuck_after: self.stuck_after,
        }
    }

    pub fn order_token_ttl(&self) -> Duration {
        Duration::from_secs(self.order_token_days * DAY_SECONDS)
    }

    /// The tax table, checked.
    pub fn tax(&self) -> anyhow::Result<Tax> {
        let mut rates = Vec::new();
        for (index, rate) in self.tax.rates.iter().enumerate() {
            let at = |what| format!("configuration: orders.tax.rates[{index}]: {what}");
            ensure!(is_country(&rate.country), at("country is no ISO 3166 code"));
            ensure!((0..=1_000_000).contains(&rate.ppm), at("ppm must be 0 to 1000000"));
            rates.push(TaxRate {
                country: rate.country.clone(),
                region: rate.region.to_lowercase(),
                class: rate.class.to_lowercase(),
                ppm: rate.ppm,
            });
        }
        Ok(Tax { enabled: self.tax.enabled, inclusive: self.tax.inclusive, rates })
    }

    /// The shipping prices, checked.
    pub fn shipping(&self) -> anyhow::Result<Shipping> {
        let given = &self.shipping;
        let parse = |key: &str, text: &str| {
            let amount: Result<Amount, _> = text.parse();
            let amount = amount.with_context(|| format!("configuration: orders.shipping.{key}"))?;
            ensure!(!amount.is_negative(), "configuration: orders.shipping.{key}: is negative");
            Ok(amount)
        };
        let mut currencies = BTreeMap::new();
        for (code, price) in &given.currencies {
            let named = || format!("configuration: orders.shipping.currencies.{code}");
            let currency: Currency = code.parse().with_context(named)?;
            let money = |text: &str| -> anyhow::Result<Money> {
                parse("currencies", text)?.in_currency(currency).with_context(named)
            };
            let price =
                ShippingPrice { price: money(&price.price)?, free_from: money(&price.free_from)? };
            currencies.insert(currency, price);
        }
        Ok(Shipping {
            enabled: given.enabled,
            price: parse("price", &given.price)?,
            free_from: parse("free_from", &given.free_from)?,
            currencies,
        })
    }
}
