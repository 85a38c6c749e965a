//! Stock as it changes.

use async_graphql::{Context, ID, Result, Subscription};
use futures_util::Stream;
use platform::ApiError;
use platform::graphql::{Follow, NodeId, caller, follow, held};
use shared_types::ProductId;
use shared_types::inventory::ProductInventory;

use super::is_merchant;
use super::stock::InventoryInfo;
use crate::commands::Stockroom;
use crate::queries;

pub struct Live;

#[Subscription(name = "Subscription")]
impl Live {
    /// Stock of a product: as it is now, then whenever what the caller may see of it
    /// has changed, a few times a second at most. Bands for shoppers, units for
    /// merchants. Null while stock was never opened for it.
    #[graphql(complexity = "20 + child_complexity")]
    async fn stock_changed(
        &self,
        ctx: &Context<'_>,
        product_id: ID,
    ) -> Result<impl Stream<Item = Result<Option<InventoryInfo>>>> {
        let room = held::<Stockroom>(ctx)?.clone();
        let product = NodeId::read::<ProductId>("Product", &product_id)
            .ok_or_else(|| ApiError::not_found("inventory.not_found"))?;
        let with_units = is_merchant(caller(ctx));
        // Heard from before the first look on.
        let watch = room.wakes.watch(&product.to_string());
        let pace = room.settings.live_pace();
        Ok(follow(watch, pace, Shown { room, product, with_units, told: None }))
    }
}

/// What one caller sees of a product's stock, and what it was told last.
struct Shown {
    room: Stockroom,
    product: ProductId,
    with_units: bool,
    told: Option<Option<ProductInventory>>,
}

impl Follow for Shown {
    type Item = Option<InventoryInfo>;

    async fn news(&mut self) -> Result<Vec<Option<InventoryInfo>>, ApiError> {
        let mut found = queries::availability_now(&self.room, self.product).await?;
        if !self.with_units {
            let variants = found.iter_mut().flat_map(|found| &mut found.variants);
            variants.for_each(|variant| variant.available = None);
        }
        if self.told.as_ref() == Some(&found) {
            return Ok(Vec::new());
        }
        self.told = Some(found.clone());
        Ok(vec![found.map(|found| InventoryInfo::of(found, self.with_units))])
    }
}
