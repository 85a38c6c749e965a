//! What is sold: from the read model, and once from the catalogue when it is
//! not there yet.

use std::sync::Arc;
use std::time::Duration;

use contracts::clients::CatalogClient;
use contracts::generated::bellavista::catalog::v1::{self as proto, FindVariantsRequest};
use platform::resilience::{Breaker, BreakerRules};
use platform::{ApiError, Clock, grpc};
use shared_types::catalog::ProductStatus;
use shared_types::{Money, ProductId, Sku};
use sqlx::PgPool;
use tokio::sync::Semaphore;

use crate::config::Settings;
use crate::store::variants::{self, Variant};

/// The way to the catalogue: limited in time and number, with a breaker.
#[derive(Clone)]
pub struct Shelf {
    pool: PgPool,
    catalog: Arc<dyn CatalogClient>,
    breaker: Breaker,
    calls: Arc<Semaphore>,
    timeout: Duration,
}

impl Shelf {
    pub fn new(
        pool: PgPool,
        catalog: Arc<dyn CatalogClient>,
        clock: Clock,
        settings: &Settings,
    ) -> Self {
        Shelf {
            pool,
            catalog,
            breaker: Breaker::new("cart.catalog", clock, BreakerRules::in_house()),
            calls: Arc::new(Semaphore::new(settings.catalog_calls)),
            timeout: settings.catalog_timeout(),
        }
    }

    /// The variant of a sku, or none when the catalogue does not know it
    /// either. What is not for sale as far as cart knows is asked for again.
    pub async fn find(&self, sku: &Sku) -> Result<Option<Variant>, ApiError> {
        let known = self.known(sku).await?;
        if known.as_ref().is_some_and(|v| v.for_sale) {
            return Ok(known);
        }
        match self.ask(sku).await {
            Ok(true) => self.known(sku).await,
            Ok(false) => Ok(known),
            // The catalogue is away: what is known must do.
            Err(_) if known.is_some() => Ok(known),
            Err(error) => Err(error),
        }
    }

    async fn known(&self, sku: &Sku) -> Result<Option<Variant>, ApiError> {
        let mut connection = self.pool.acquire().await?;
        Ok(variants::find(&mut connection, &[sku.key()]).await?.pop())
    }

    /// Asks the catalogue and writes down what it says; false when it does not
    /// know the sku.
    async fn ask(&self, sku: &Sku) -> Result<bool, ApiError> {
        let away = || ApiError::unavailable("cart.catalog_away", "Please try again in a moment.");
        if !self.breaker.admits() {
            return Err(away());
        }
        let question = async {
            let _permit = self.calls.acquire().await;
            let request = FindVariantsRequest { skus: vec![sku.to_string()] };
            self.catalog.find_variants(request).await
        };
        let answer = match tokio::time::timeout(self.timeout, question).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(status)) if !grpc::is_away(&status) => {
                self.breaker.succeeded();
                return Err(ApiError::internal(anyhow::anyhow!("catalogue: {status}")));
            }
            Ok(Err(_)) | Err(_) => {
                self.breaker.failed();
                return Err(away());
            }
        };
        self.breaker.succeeded();
        let Some(found) =
            answer.variants.into_iter().find(|v| v.sku.parse().is_ok_and(|s: Sku| s == *sku))
        else {
            return Ok(false);
        };
        let version = found.product_version;
        let variant = variant_of(found)?;
        let mut connection = self.pool.acquire().await?;
        variants::upsert(&mut connection, &[variant], version).await?;
        Ok(true)
    }
}

fn variant_of(found: proto::Variant) -> Result<Variant, ApiError> {
    let wrong = |what: &str| ApiError::internal(anyhow::anyhow!("catalogue: wrong {what}"));
    let product_id: ProductId = found.product_id.parse().map_err(|_| wrong("product_id"))?;
    let currency = found.currency.parse().map_err(|_| wrong("currency"))?;
    Ok(Variant {
        sku: found.sku.parse().map_err(|_| wrong("sku"))?,
        product_id,
        title: found.title,
        slug: found.slug,
        price: Money::new(found.price_minor, currency),
        for_sale: found.status == ProductStatus::Active.as_str(),
        image_url: found.image_url,
        image_alt: found.image_alt,
    })
}
