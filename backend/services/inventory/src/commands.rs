//! What can be done to stock: one file per use case, one transaction each.

pub mod adjust;
pub mod count;
pub mod effects;
pub mod expire;
pub mod lanes;
pub mod open;
pub mod pin;
pub mod policy;
pub mod reserve;
pub mod set_aside;
pub mod settle;
pub mod sold_out;
pub mod take_back;
pub mod waiting;

use std::sync::Arc;

use platform::audit::Audit;
use platform::gather::Gather;
use platform::outbox::Outbox;
use platform::recent::Recent;
use platform::wakes::Wakes;
use platform::{Clock, Context, Ids};
use shared_types::inventory::ProductInventory;
use shared_types::{OrderId, ProductId};
use sqlx::PgPool;

use crate::config::Settings;

/// What every use case works with. Cheap to clone.
#[derive(Clone)]
pub struct Stockroom {
    pub pool: PgPool,
    pub clock: Clock,
    pub ids: Ids,
    pub outbox: Outbox,
    pub audit: Audit,
    pub settings: Arc<Settings>,
    /// Who follows the stock of which product, told by every process.
    pub wakes: Wakes,
    /// What those who follow stock ask; a crowd asks together.
    pub followed: Arc<Gather<ProductId, Option<ProductInventory>>>,
    sold_out: Arc<sold_out::SoldOut>,
    reserving: Arc<lanes::Lanes<reserve::Reserve>>,
    settling: Arc<lanes::Lanes<settle::Settle>>,
    /// Orders whose stock this process allocated on command: the event that
    /// they are paid says nothing new then.
    confirmed: Arc<Recent<OrderId>>,
}

impl Stockroom {
    pub fn new(ctx: &Context, settings: Settings) -> Self {
        Stockroom {
            pool: ctx.pool.clone(),
            clock: ctx.clock.clone(),
            ids: ctx.ids.clone(),
            outbox: ctx.outbox.clone(),
            audit: Audit::new(
                ctx.service,
                ctx.clock.clone(),
                ctx.ids.clone(),
                ctx.outbox.clone(),
                ctx.cipher.clone(),
            ),
            wakes: Wakes::over("inventory_changed"),
            followed: Arc::default(),
            sold_out: Arc::default(),
            reserving: Arc::new(lanes::Lanes::new(&settings)),
            settling: Arc::new(lanes::Lanes::new(&settings)),
            confirmed: Arc::default(),
            settings: Arc::new(settings),
        }
    }
}
