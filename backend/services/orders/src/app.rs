//! What every part of the service shares.

use std::time::Duration;

use platform::Context;
use platform::gather::Gather;
use platform::idempotency::Turns;
use platform::policy::Policy;
use platform::wakes::Wakes;
use tokio::sync::Mutex;

use crate::Clients;
use crate::config::OrdersConfig;
use crate::domain::pricing::{Shipping, Tax};
use crate::domain::saga::Rules;
use crate::echoes::Echoes;
use crate::faults::Faults;
use crate::outbound::Outbound;
use crate::sagas::worker::WorkerHandle;
use crate::signals::Signals;
use crate::store::history::{Happened, Since};
use crate::store::prices::{Found, LookUp};

pub struct App {
    pub ctx: Context,
    pub config: OrdersConfig,
    pub rules: Rules,
    pub tax: Tax,
    pub shipping: Shipping,
    pub out: Outbound,
    pub signals: Signals,
    /// Who follows which order, told by every process.
    pub wakes: Wakes,
    /// What those who follow orders ask; a crowd asks together.
    pub histories: Gather<Since, Happened>,
    pub faults: Faults,
    /// What events will only repeat.
    pub echoes: Echoes,
    /// Who may cancel.
    pub cancel_policy: Policy,
    pub worker: WorkerHandle,
    /// Placements with one key go one after the other.
    pub turns: Turns,
    /// What placements look up before anything else; a crowd looks up together.
    pub look_ups: Gather<LookUp, Found>,
    /// Held while the catalogue is asked for unknown skus: a crowd that wants
    /// the same new sku asks once.
    pub asking_catalog: Mutex<()>,
}

impl App {
    pub fn new(ctx: Context, clients: Clients) -> anyhow::Result<Self> {
        let config: OrdersConfig = ctx.config.section("orders")?;
        config.check()?;
        let worker = WorkerHandle::new(
            Duration::from_millis(config.lease_ms),
            Duration::from_millis(config.longest_step_ms()),
        );
        Ok(App {
            rules: config.rules(),
            tax: config.tax()?,
            shipping: config.shipping()?,
            out: Outbound::new(clients, &ctx.clock, &config),
            signals: Signals::default(),
            wakes: Wakes::over("orders_changed"),
            histories: Gather::default(),
            echoes: Echoes::default(),
            faults: Faults::ending_the_process(config.die_at_pass),
            cancel_policy: cancel_policy()?,
            worker,
            turns: Turns::default(),
            look_ups: Gather::default(),
            asking_catalog: Mutex::new(()),
            config,
            ctx,
        })
    }

    /// How long a request waits for the saga.
    pub fn patience(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + Duration::from_millis(self.config.answer_within_ms)
    }
}

/// The policy that an OPA server would be given too.
pub fn cancel_policy() -> anyhow::Result<Policy> {
    const SOURCE: &str = include_str!("../../../../policies/orders/cancel.rego");
    Policy::new("orders/cancel.rego", SOURCE, "data.bellavista.orders.cancel.allow")
}
