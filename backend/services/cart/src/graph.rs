//! The cart's part of the graph: translation only.
//!
//! A caller has one cart and sees no other. Items name their product and
//! variant, which other services know more about.

use async_graphql::{
    Context, EmptySubscription, ID, InputObject, Interface, Object, Result, Schema, SimpleObject,
    Union,
};
use platform::ApiError;
use platform::auth::Verifier;
use platform::graphql::{
    CommonRefusal, Money, NodeId, Refusal, Subgraph, caller, held, idempotent_if, limited, or_null,
    outcome, outcome_of_answer, signed_in,
};
use shared_types::cart as told;
use shared_types::{CartItemId, Currency};

use crate::commands::App;
use crate::requests::{self, owner_of};

/// The subgraph over `app`.
pub fn graph(app: App, verifier: Verifier) -> Subgraph {
    let schema = Schema::build(Query, Mutation, EmptySubscription)
        .register_output_type::<Node>()
        .register_output_type::<Refusal>()
        .data(app)
        .data(verifier.clone());
    let schema = limited(schema).finish();
    Subgraph::new("cart", schema, verifier, |request| request)
}

/// What has an id of its own in the graph.
#[derive(Interface)]
#[graphql(field(name = "id", ty = "ID", desc = "Unique over the whole graph."))]
pub enum Node {
    Cart(Cart),
}

/// What a shopper or guest means to buy, with the prices of today.
pub struct Cart(told::Cart);

#[Object]
impl Cart {
    async fn id(&self) -> ID {
        NodeId::of("Cart", self.0.id)
    }

    /// The id as the REST API has it.
    async fn cart_id(&self) -> ID {
        ID(self.0.id.to_string())
    }

    async fn items(&self) -> Vec<CartItem> {
        let currency = self.0.currency;
        let item =
            |item: &told::CartItem| Some(CartItem { item: item.clone(), currency: currency? });
        self.0.items.iter().filter_map(item).collect()
    }

    /// Sums before the address is known; null while the cart is empty.
    async fn amounts(&self) -> Option<CartAmounts> {
        let (amounts, currency) = (&self.0.amounts, self.0.currency?);
        let money = |amount| Money::of(amount, currency);
        Some(CartAmounts {
            subtotal: money(amounts.subtotal),
            discount: money(amounts.discount),
            tax: money(amounts.tax),
            shipping: money(amounts.shipping),
            total: money(amounts.total),
        })
    }
}

/// Tax is an estimate for the country that was named.
#[derive(Clone, SimpleObject)]
pub struct CartAmounts {
    subtotal: Money,
    discount: Money,
    tax: Money,
    shipping: Money,
    total: Money,
}

pub struct CartItem {
    item: told::CartItem,
    currency: Currency,
}

#[Object]
impl CartItem {
    async fn item_id(&self) -> ID {
        ID(self.item.item_id.to_string())
    }

    /// The product as it is today; null when it is no longer shown.
    async fn product(&self) -> Option<Product> {
        Some(Product { id: NodeId::of("Product", self.item.product_id) })
    }

    /// The variant as it is today; null when it is no longer shown.
    async fn variant(&self) -> Option<Variant> {
        Some(Variant { sku: self.item.sku.to_string() })
    }

    /// For the address of the product page.
    async fn slug(&self) -> &str {
        &self.item.slug
    }

    async fn sku(&self) -> &str {
        self.item.sku.as_str()
    }

    async fn title(&self) -> &str {
        &self.item.title
    }

    async fn qty(&self) -> i64 {
        self.item.qty
    }

    async fn price(&self) -> Money {
        Money::of(self.item.price, self.currency)
    }

    async fn line_total(&self) -> Money {
        Money::of(self.item.line_total, self.currency)
    }

    async fn media(&self) -> Option<Media> {
        let media = self.item.media.clone();
        media.map(|media| Media { url: media.url, alt: media.alt })
    }

    /// What changed since it was added.
    async fn notices(&self) -> Vec<CartNotice> {
        let notices = self.item.notices.iter().cloned();
        notices.map(|n| CartNotice { code: n.code, message: n.message }).collect()
    }
}

/// A picture of a product.
#[derive(Clone, SimpleObject)]
#[graphql(shareable)]
pub struct Media {
    /// Absolute, or a path on the shop's own origin.
    url: String,
    alt: String,
}

/// Something about an item that the shopper should know.
#[derive(Clone, SimpleObject)]
pub struct CartNotice {
    /// `price_changed`, `not_for_sale`.
    code: String,
    message: String,
}

/// Known elsewhere.
#[derive(SimpleObject)]
#[graphql(unresolvable = "id")]
pub struct Product {
    id: ID,
}

/// Known elsewhere.
#[derive(SimpleObject)]
#[graphql(unresolvable = "sku")]
pub struct Variant {
    sku: String,
}

pub struct Query;

#[Object]
impl Query {
    /// The caller's cart; an empty one when nothing was ever put into it.
    #[graphql(complexity = "20 + child_complexity")]
    async fn cart(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "ISO 3166 code of two letters; without it no tax is estimated.")]
        country: Option<String>,
    ) -> Result<Option<Cart>> {
        or_null(ctx, async {
            let owner = owner_of(signed_in(ctx)?)?;
            Ok(Some(Cart(requests::show(held::<App>(ctx)?, owner, country).await?)))
        })
        .await
    }

    /// The caller's own; any other is null.
    #[graphql(entity)]
    async fn find_cart_by_id(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Cart>> {
        or_null(ctx, async {
            let owner = caller(ctx).and_then(|caller| owner_of(caller).ok());
            match owner {
                Some(owner) if NodeId::read("Cart", &id) == Some(owner.cart_id()) => {
                    Ok(Some(Cart(requests::show(held::<App>(ctx)?, owner, None).await?)))
                }
                _ => Ok(None),
            }
        })
        .await
    }
}

#[derive(InputObject)]
pub struct AddCartItemInput {
    sku: String,
    /// Units; 1 when absent.
    qty: Option<i32>,
}

#[derive(SimpleObject)]
pub struct CartChanged {
    cart: Cart,
}

#[derive(Union)]
pub enum CartResult {
    Changed(CartChanged),
    #[graphql(flatten)]
    Refused(CommonRefusal),
}

impl CartResult {
    fn of(done: Result<told::Cart, ApiError>) -> Result<Self> {
        let made = |cart| CartResult::Changed(CartChanged { cart: Cart(cart) });
        Ok(outcome(done, made, CartResult::Refused)?)
    }
}

fn item_id(id: &ID) -> Result<CartItemId, ApiError> {
    id.parse().map_err(|_| ApiError::not_found("cart.unknown_item"))
}

pub struct Mutation;

#[Object]
impl Mutation {
    /// Puts units of a sku into the cart; what is there already gets more.
    async fn add_cart_item(
        &self,
        ctx: &Context<'_>,
        input: AddCartItemInput,
        #[graphql(desc = "Adds once, however often it is sent.")] idempotency_key: Option<String>,
    ) -> Result<CartResult> {
        let (app, caller) = (held::<App>(ctx)?, signed_in(ctx)?);
        let owner = owner_of(caller)?;
        let done = async {
            let input = told::AddItem { sku: input.sku, qty: input.qty.map(i64::from) };
            let key = idempotency_key.as_deref();
            let (input, key) = idempotent_if("addCartItem", "", caller, key, input)?;
            requests::add(app, owner, &input, key.as_ref()).await
        };
        let made = |_, cart| CartResult::Changed(CartChanged { cart: Cart(cart) });
        Ok(outcome_of_answer(done.await, made, CartResult::Refused)?)
    }

    /// Sets the units of an item; zero takes it out.
    async fn change_cart_item(
        &self,
        ctx: &Context<'_>,
        item_id: ID,
        qty: i32,
    ) -> Result<CartResult> {
        let (app, owner) = (held::<App>(ctx)?, owner_of(signed_in(ctx)?)?);
        let done = async {
            let input = told::ChangeItem { qty: Some(i64::from(qty)) };
            requests::change(app, owner, self::item_id(&item_id)?, &input).await
        };
        CartResult::of(done.await)
    }

    /// Takes an item out.
    async fn remove_cart_item(&self, ctx: &Context<'_>, item_id: ID) -> Result<CartResult> {
        let (app, owner) = (held::<App>(ctx)?, owner_of(signed_in(ctx)?)?);
        let done = async { requests::remove(app, owner, self::item_id(&item_id)?).await };
        CartResult::of(done.await)
    }

    /// Takes everything out.
    async fn clear_cart(&self, ctx: &Context<'_>) -> Result<CartResult> {
        let (app, owner) = (held::<App>(ctx)?, owner_of(signed_in(ctx)?)?);
        CartResult::of(requests::clear(app, owner).await)
    }

    /// Moves a guest's cart into the cart of the shopper who signed in.
    async fn merge_cart(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "A guest token that proves whose cart it is.")] guest_token: String,
    ) -> Result<CartResult> {
        let (app, owner) = (held::<App>(ctx)?, owner_of(signed_in(ctx)?)?);
        let input = told::MergeCart { guest_token };
        CartResult::of(requests::merge(app, held::<Verifier>(ctx)?, owner, &input).await)
    }
}
