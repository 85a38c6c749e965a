//! What the catalog learns from others: how much of a variant is left.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::events::inventory::StockAdjusted;
use platform::consumer::{Consumer, Done, Handle, HandleError};
use platform::outbox::Envelope;
use sqlx::PgConnection;

use crate::{App, store};

pub fn consumer(app: App) -> Consumer {
    let wait = Duration::from_millis(app.config.fetch_wait_ms);
    Consumer::new("catalog", wait).together().on::<StockAdjusted, _>(Arc::new(NoteStock))
}

/// Keeps the band that shoppers see.
struct NoteStock;

#[async_trait]
impl Handle<StockAdjusted> for NoteStock {
    async fn handle(
        &self,
        tx: &mut PgConnection,
        event: &Envelope<StockAdjusted>,
    ) -> Result<Done, HandleError> {
        let stock = &event.payload;
        let (key, version) = (stock.sku.key(), event.aggregate_version);
        store::note_stock(tx, &key, &stock.warehouse, stock.available, version).await?;
        Ok(Done::quietly())
    }
}
