//! Keeping stock through the graph.

use async_graphql::{Context, InputObject, Object, Result, SimpleObject, Union};
use platform::graphql::{CommonRefusal, Long, held, idempotent_if, outcome_of_answer};
use shared_types::inventory as told;

use super::merchant;
use super::stock::Stock;
use crate::commands::Stockroom;
use crate::commands::adjust::{self, Adjust};

/// Compare-and-set: the caller states the quantity that it believes in.
#[derive(InputObject)]
pub struct AdjustStockInput {
    sku: String,
    /// Units to add; negative takes away. Never zero.
    delta: Long,
    reason: String,
    /// On hand as the caller believes: in the named warehouse, else in all.
    expected_on_hand: Long,
    /// The first by priority when absent.
    warehouse: Option<String>,
}

#[derive(SimpleObject)]
pub struct StockAdjusted {
    stock: Stock,
}

#[derive(Union)]
pub enum AdjustStockResult {
    Adjusted(StockAdjusted),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

pub struct Mutation;

#[Object]
impl Mutation {
    /// Adds or takes units of a sku, provided that the caller knows what is
    /// there. For merchants.
    async fn adjust_stock(
        &self,
        ctx: &Context<'_>,
        input: AdjustStockInput,
        #[graphql(desc = "Adjusts once, however often it is sent.")] idempotency_key: Option<
            String,
        >,
    ) -> Result<AdjustStockResult> {
        let (room, caller) = (held::<Stockroom>(ctx)?, merchant(ctx)?);
        let done = async {
            let (sku, key) = (input.sku, idempotency_key.as_deref());
            let adjustment = told::Adjustment {
                delta: input.delta.0,
                reason: input.reason,
                expected_on_hand: Some(input.expected_on_hand.0),
                warehouse: input.warehouse,
            };
            let (adjustment, key) = idempotent_if("adjustStock", &sku, caller, key, adjustment)?;
            let adjust = Adjust::read(&sku, adjustment, caller.actor())?;
            adjust::adjust(room, &adjust, key.as_ref()).await
        };
        let made = |_, stock: told::Stock| {
            AdjustStockResult::Adjusted(StockAdjusted { stock: stock.into() })
        };
        Ok(outcome_of_answer(done.await, made, AdjustStockResult::Refused)?)
    }
}
