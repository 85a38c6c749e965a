//! Opening the shelves: every code of the file as a product, every price of it
//! as a variant, with the units that the file sells.

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;
use shared_types::catalog::{Product, ProductInput, ProductStatus, VariantInput};
use shared_types::{Currency, Money};

use super::Stage;
use super::plan::ProductPlan;
use super::replay::bar;
use crate::client::{Call, Shop};
use crate::shelves;

const AT_ONCE: usize = 8;

pub async fn open(stage: &Stage) -> anyhow::Result<()> {
    let missing: Vec<&ProductPlan> = stage.journal.with(|facts| {
        stage.plan.products.iter().filter(|p| !facts.products.contains(&p.code)).collect()
    });
    if missing.is_empty() {
        return Ok(());
    }
    let bar = bar(stage.plan.products.len(), "products");
    bar.set_position((stage.plan.products.len() - missing.len()) as u64);
    let shop = stage.shop.with_bar(&bar);
    let outcome = stream::iter(missing)
        .map(|product| make(stage, &shop, product, &bar))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await;
    bar.finish_and_clear();
    outcome
}

async fn make(
    stage: &Stage,
    shop: &Shop,
    product: &ProductPlan,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let call = Call::post("/products", &input(stage, product))?
        .by(stage.tools.get().await?)
        .key(format!("simulate-{}-product-{}", stage.run.id, product.code));
    let answer = shop.patiently(&call).await?;
    match answer.status.as_u16() {
        201 => {
            let made: Product = answer.json()?;
            if made.stock_pending {
                await_stock(stage, shop, product).await?;
            }
        }
        // Made before a kill, and not noted: skus carry the round, nobody else's do.
        409 if answer.code() == "catalog.sku_taken" => await_stock(stage, shop, product).await?,
        _ => bail!("making the product {}: {}", product.code, answer.complaint()),
    }
    stage.journal.product(&product.code)?;
    bar.inc(1);
    Ok(())
}

async fn await_stock(stage: &Stage, shop: &Shop, product: &ProductPlan) -> anyhow::Result<()> {
    for sku in &product.skus {
        let name = stage.plan.skus[*sku].name(stage.run.round);
        shelves::wait_for_stock(shop, &stage.merchant, &name)
            .await
            .with_context(|| format!("product {}", product.code))?;
    }
    Ok(())
}

fn input(stage: &Stage, product: &ProductPlan) -> ProductInput {
    let variants = product.skus.iter().map(|sku| {
        let planned = &stage.plan.skus[*sku];
        let price = Money::new(planned.price_minor, Currency::GBP);
        VariantInput {
            sku: planned.name(stage.run.round),
            title: format!("at {}", price.amount()),
            price: Some(price.amount()),
            currency: Some(Currency::GBP),
            stock: Some(planned.sold),
            ..VariantInput::default()
        }
    });
    let title = if product.title.is_empty() {
        format!("Article {}", product.code)
    } else {
        product.title.chars().take(200).collect()
    };
    ProductInput {
        title,
        description: format!("Article {} of the replayed orders.", product.code),
        categories: vec!["Replayed".to_owned()],
        status: Some(ProductStatus::Active),
        media: Vec::new(),
        variants: variants.collect(),
    }
}
