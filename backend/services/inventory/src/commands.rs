//! What can be done to stock: one file per use case, one transaction each.

pub mod adjust;
pub mod effects;
pub mod expire;
pub mod lanes;
pub mod open;
pub mod pin;
pub mod reserve;
pub mod settle;
pub mod take_back;

use std::sync::Arc;

use platform::outbox::Outbox;
use platform::{Clock, Context, Ids};
use sqlx::PgPool;

use crate::config::Settings;

/// What every use case works with. Cheap to clone.
#[derive(Clone)]
pub struct Stockroom {
    pub pool: PgPool,
    pub clock: Clock,
    pub ids: Ids,
    pub outbox: Outbox,
    pub settings: Arc<Settings>,
    lanes: Arc<lanes::Lanes>,
}

impl Stockroom {
    pub fn new(ctx: &Context, settings: Settings) -> Self {
        Stockroom {
            pool: ctx.pool.clone(),
            clock: ctx.clock.clone(),
            ids: ctx.ids.clone(),
            outbox: ctx.outbox.clone(),
            lanes: Arc::new(lanes::Lanes::new(&settings)),
            settings: Arc::new(settings),
        }
    }
}
