//! What can be done to a cart. Each works on the transaction it is given; the
//! action and the items it makes are written together.

use platform::outbox::Outbox;
use platform::{ApiError, Clock, Failure, Ids, Kind};
use shared_types::{CartId, CartItemId, FieldError, Sku, Timestamp};
use sqlx::{PgConnection, PgPool};

use crate::config::Settings;
use crate::domain::basket::{Action, Basket, Limits, Refusal};
use crate::domain::estimate::{Shipping, Tax};
use crate::domain::owner::Owner;
use crate::shelf::Shelf;
use crate::store::carts;
use crate::store::variants::Variant;

/// What every use case works with. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub pool: PgPool,
    pub clock: Clock,
    pub ids: Ids,
    pub outbox: Outbox,
    pub shelf: Shelf,
    pub settings: Settings,
    pub shipping: Shipping,
    pub tax: Tax,
}

#[derive(Debug, thiserror::Error)]
pub enum CartError {
    #[error("There is no sku {0}.")]
    UnknownSku(Sku),
    #[error("{0} is not for sale.")]
    NotForSale(Sku),
    #[error("A cart holds at most {0} different items.")]
    TooManyLines(usize),
    #[error("A cart holds at most {0} units of one item.")]
    TooManyUnits(i64),
    #[error("A cart holds one currency only.")]
    MixedCurrency,
    #[error("There is no such item in this cart.")]
    NoSuchItem,
}

impl Failure for CartError {
    fn kind(&self) -> Kind {
        match self {
            CartError::NoSuchItem => Kind::NotFound,
            CartError::UnknownSku(_) | CartError::TooManyUnits(_) => Kind::Invalid,
            _ => Kind::Refused,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            CartError::UnknownSku(_) => "cart.unknown_sku",
            CartError::NotForSale(_) => "cart.not_for_sale",
            CartError::TooManyLines(_) => "cart.too_many_items",
            CartError::TooManyUnits(_) => "cart.too_many_units",
            CartError::MixedCurrency => "cart.mixed_currency",
            CartError::NoSuchItem => "cart.unknown_item",
        }
    }

    fn fields(&self) -> Vec<FieldError> {
        let (field, code) = match self {
            CartError::UnknownSku(_) => ("sku", "unknown_sku"),
            CartError::NotForSale(_) => ("sku", "not_for_sale"),
            CartError::TooManyUnits(_) => ("qty", "range"),
            _ => return Vec::new(),
        };
        let (field, code) = (field.to_owned(), code.to_owned());
        vec![FieldError { field, code, message: self.to_string() }]
    }
}

fn refused(refusal: Refusal, limits: Limits) -> CartError {
    match refusal {
        Refusal::TooManyLines => CartError::TooManyLines(limits.lines),
        Refusal::TooManyUnits => CartError::TooManyUnits(limits.qty),
        Refusal::MixedCurrency => CartError::MixedCurrency,
        Refusal::NoSuchItem => CartError::NoSuchItem,
    }
}

/// The variant behind a sku, provided that it can be bought.
pub async fn sellable(app: &App, sku: &Sku) -> Result<Variant, ApiError> {
    let variant = app.shelf.find(sku).await?;
    let variant = variant.ok_or_else(|| CartError::UnknownSku(sku.clone()))?;
    if !variant.for_sale {
        return Err(CartError::NotForSale(variant.sku).into());
    }
    Ok(variant)
}

/// Adds units of a variant.
pub async fn add_item(
    app: &App,
    tx: &mut PgConnection,
    owner: Owner,
    variant: &Variant,
    qty: i64,
) -> Result<(), ApiError> {
    let limits = app.settings.limits();
    let mut change = Change::open(app, tx, owner, true).await?;
    let item_id: CartItemId = app.ids.next();
    let added = change.basket.add(item_id, &variant.sku, qty, variant.price, limits);
    change.push(added.map_err(|r| refused(r, limits))?);
    change.write(tx).await
}

/// Sets the units of an item; zero takes it out.
pub async fn change_item(
    app: &App,
    tx: &mut PgConnection,
    owner: Owner,
    item: CartItemId,
    qty: i64,
) -> Result<(), ApiError> {
    let limits = app.settings.limits();
    let mut change = Change::open(app, tx, owner, false).await?;
    let action = change.basket.change(item, qty).map_err(|r| refused(r, limits))?;
    change.extend(action);
    change.write(tx).await
}

/// Takes everything out.
pub async fn clear(app: &App, tx: &mut PgConnection, owner: Owner) -> Result<(), ApiError> {
    let mut change = Change::open(app, tx, owner, false).await?;
    if !change.basket.lines.is_empty() {
        change.push(Action::Cleared);
    }
    change.write(tx).await
}

/// Moves a guest's lines into the cart of the person who signed in. Done
/// twice, the guest's cart is empty by then, and nothing is added.
pub async fn merge(
    app: &App,
    tx: &mut PgConnection,
    user: Owner,
    guest: Owner,
) -> Result<(), ApiError> {
    let limits = app.settings.limits();
    let (into, from) = (user.cart_id(), guest.cart_id());
    // Both carts, in one order, so that two merges never wait crosswise.
    for cart in [into.min(from), into.max(from)] {
        carts::lock(tx, cart).await?;
    }
    let mut leaving = Change::open(app, tx, guest, false).await?;
    if leaving.basket.lines.is_empty() {
        return Ok(());
    }
    let mut arriving = Change::open(app, tx, user, true).await?;
    let actions = arriving
        .basket
        .take_over(&leaving.basket, from, limits, || app.ids.next())
        .map_err(|r| refused(r, limits))?;
    actions.into_iter().for_each(|a| arriving.push(a));
    leaving.actor = user.to_string();
    leaving.push(Action::MergedInto { cart_id: into });
    arriving.write(tx).await?;
    leaving.write(tx).await
}

/// A cart being changed: locked, loaded, then written with its actions.
pub struct Change {
    pub cart: CartId,
    pub basket: Basket,
    pub actor: String,
    before: Basket,
    actions: Vec<Action>,
    now: Timestamp,
}

impl Change {
    /// Locks and loads the owner's cart. `make` writes it down when it is new;
    /// otherwise a cart that was never written down is an empty one.
    pub async fn open(
        app: &App,
        tx: &mut PgConnection,
        owner: Owner,
        make: bool,
    ) -> Result<Self, ApiError> {
        let (cart, now) = (owner.cart_id(), app.clock.now());
        let actor = owner.to_string();
        if make {
            carts::ensure(tx, cart, &actor, now).await?;
        } else if !carts::lock(tx, cart).await? {
            let (basket, before) = (Basket::default(), Basket::default());
            return Ok(Change { cart, basket, actor, before, actions: Vec::new(), now });
        }
        let basket = carts::load(tx, cart).await?;
        let before = basket.clone();
        Ok(Change { cart, basket, actor, before, actions: Vec::new(), now })
    }

    pub fn push(&mut self, action: Action) {
        self.basket.apply(&action);
        self.actions.push(action);
    }

    fn extend(&mut self, action: Option<Action>) {
        if let Some(action) = action {
            self.push(action);
        }
    }

    pub async fn write(self, tx: &mut PgConnection) -> Result<(), ApiError> {
        if self.actions.is_empty() {
            return Ok(());
        }
        let states = (&self.before, &self.basket);
        carts::write(tx, self.cart, &self.actions, states, &self.actor, self.now).await?;
        Ok(())
    }
}
