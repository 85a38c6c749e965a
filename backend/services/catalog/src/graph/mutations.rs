//! Changing products through the graph.

use async_graphql::{Context, ID, InputObject, Object, Result, SimpleObject, Union};
use platform::ApiError;
use platform::graphql::{
    CommonRefusal, Decimal, held, idempotent_if, outcome, outcome_of_answer, signed_in,
};
use platform::validate::Checks;
use shared_types::catalog as told;

use super::product::{Product, ProductStatus, product_id};
use crate::App;
use crate::commands;
use crate::queries::FIRST_VERSION;
use crate::rest::allowed;

/// A product as a merchant writes it.
#[derive(InputObject)]
pub struct ProductInput {
    title: String,
    #[graphql(default)]
    description: String,
    /// Names.
    #[graphql(default)]
    categories: Vec<String>,
    /// `DRAFT` when absent.
    status: Option<ProductStatus>,
    #[graphql(default)]
    media: Vec<MediaInput>,
    /// 1 to 100.
    variants: Vec<VariantInput>,
}

#[derive(InputObject)]
pub struct MediaInput {
    url: String,
    #[graphql(default)]
    alt: String,
}

#[derive(InputObject)]
pub struct VariantInput {
    /// The variant to change; found by sku when absent.
    id: Option<ID>,
    sku: String,
    #[graphql(default)]
    title: String,
    price: Decimal,
    /// ISO 4217.
    currency: String,
    /// Opening stock in units; only for a new variant.
    stock: Option<i32>,
    #[graphql(default)]
    options: Vec<VariantOptionInput>,
}

#[derive(InputObject)]
pub struct VariantOptionInput {
    name: String,
    value: String,
}

impl ProductInput {
    /// The input of the command. What cannot be read at all is named here, the
    /// rest by the command.
    fn read(self) -> Result<told::ProductInput, ApiError> {
        let mut checks = Checks::new();
        let media = self.media.into_iter().map(|m| told::Media { url: m.url, alt: m.alt });
        let variants =
            self.variants.into_iter().enumerate().map(|(i, v)| v.read(i, &mut checks)).collect();
        checks.finish()?;
        Ok(told::ProductInput {
            title: self.title,
            description: self.description,
            categories: self.categories,
            status: self.status.map(Into::into),
            media: media.collect(),
            variants,
        })
    }
}

impl VariantInput {
    fn read(self, i: usize, checks: &mut Checks) -> told::VariantInput {
        let at = |name: &str| format!("variants[{i}].{name}");
        let id = self.id.as_ref().and_then(|id| checks.parse(&at("id"), id));
        let currency = checks.parse(&at("currency"), &self.currency);
        let options = self.options.into_iter().map(|o| (o.name, o.value));
        told::VariantInput {
            id,
            sku: self.sku,
            title: self.title,
            price: Some(self.price.0),
            currency,
            stock: self.stock.map(i64::from),
            options: options.collect(),
        }
    }
}

#[derive(SimpleObject)]
pub struct ProductCreated {
    product: Product,
}

#[derive(SimpleObject)]
pub struct ProductUpdated {
    product: Product,
}

#[derive(SimpleObject)]
pub struct ProductArchived {
    /// Shoppers no longer see it; its orders stay readable.
    product_id: ID,
}

#[derive(Union)]
pub enum CreateProductResult {
    Created(ProductCreated),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

#[derive(Union)]
pub enum UpdateProductResult {
    Updated(ProductUpdated),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

#[derive(Union)]
pub enum ArchiveProductResult {
    Archived(ProductArchived),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

pub struct Mutation;

#[Object]
impl Mutation {
    /// Makes a product with its variants, prices and opening stock. For
    /// merchants.
    async fn create_product(
        &self,
        ctx: &Context<'_>,
        input: ProductInput,
        #[graphql(desc = "Makes one product, however often it is sent.")] idempotency_key: Option<
            String,
        >,
    ) -> Result<CreateProductResult> {
        let (app, caller) = (held::<App>(ctx)?, signed_in(ctx)?);
        allowed(caller)?;
        let done = async {
            let key = idempotency_key.as_deref();
            let (input, key) = idempotent_if("createProduct", "", caller, key, input.read()?)?;
            commands::create(app, caller, input, key.as_ref()).await
        };
        let made = |_, product| {
            let product = Product::told(product, FIRST_VERSION);
            CreateProductResult::Created(ProductCreated { product })
        };
        Ok(outcome_of_answer(done.await, made, CreateProductResult::Refused)?)
    }

    /// Replaces a product. Variants are found by id or sku; the ones left out
    /// go. For merchants.
    async fn update_product(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "The version last seen.")] version: i32,
        input: ProductInput,
    ) -> Result<UpdateProductResult> {
        let (app, caller) = (held::<App>(ctx)?, signed_in(ctx)?);
        allowed(caller)?;
        let done = async {
            let id = product_id(&id).ok_or_else(unknown)?;
            commands::change(app, caller, id, Some(i64::from(version)), input.read()?).await
        };
        let made = |product| {
            let product = Product::of(&product, app.config.low_at);
            UpdateProductResult::Updated(ProductUpdated { product })
        };
        Ok(outcome(done.await, made, UpdateProductResult::Refused)?)
    }

    /// Takes a product out of the shop. For merchants.
    async fn archive_product(
        &self,
        ctx: &Context<'_>,
        id: ID,
        #[graphql(desc = "The version last seen.")] version: i32,
    ) -> Result<ArchiveProductResult> {
        let (app, caller) = (held::<App>(ctx)?, signed_in(ctx)?);
        allowed(caller)?;
        let done = async {
            let id = product_id(&id).ok_or_else(unknown)?;
            commands::archive(app, id, Some(i64::from(version))).await.map(|()| id)
        };
        let made = |id: shared_types::ProductId| {
            ArchiveProductResult::Archived(ProductArchived { product_id: ID(id.to_string()) })
        };
        Ok(outcome(done.await, made, ArchiveProductResult::Refused)?)
    }
}

fn unknown() -> ApiError {
    ApiError::not_found("catalog.no_such_product")
}
