//! What a caller asks of their cart, over whichever interface.

use http::StatusCode;
use platform::auth::{Principal, Subject, Verifier};
use platform::idempotency::{self, Answer, Entered, IdempotencyKey};
use platform::validate::Checks;
use platform::{ApiError, Kind};
use shared_types::cart::{AddItem, Cart, ChangeItem, MergeCart};
use shared_types::{CartItemId, Sku};
use sqlx::PgConnection;

use crate::commands::{self, App};
use crate::domain::owner::Owner;
use crate::queries;

/// Whose cart the caller works on: shoppers and guests have one.
pub fn owner_of(caller: &Principal) -> Result<Owner, ApiError> {
    match caller.subject {
        Subject::User(id) => Ok(Owner::User(id)),
        Subject::Guest(id) => Ok(Owner::Guest(id)),
        Subject::Service(_) | Subject::GrantHolder => {
            let detail = "Only shoppers and guests have a cart.";
            Err(ApiError::new(Kind::Forbidden, "cart.shoppers_only", detail))
        }
    }
}

/// The caller's cart with the prices of today.
pub async fn show(app: &App, owner: Owner, country: Option<String>) -> Result<Cart, ApiError> {
    let country = country.filter(|c| !c.is_empty()).map(|c| c.to_ascii_uppercase());
    let mut checks = Checks::new();
    let shaped = |c: &str| c.len() == 2 && c.bytes().all(|b| b.is_ascii_uppercase());
    let fits = country.as_deref().is_none_or(shaped);
    checks.ensure(fits, "country", "invalid", "must be a code of two letters such as DE");
    checks.finish()?;
    let mut connection = app.pool.acquire().await?;
    queries::cart(app, &mut connection, owner, country.as_deref()).await
}

/// Puts units of a sku into the cart; once under a key.
pub async fn add(
    app: &App,
    owner: Owner,
    input: &AddItem,
    key: Option<&IdempotencyKey>,
) -> Result<Answer, ApiError> {
    let mut checks = Checks::new();
    let sku: Option<Sku> = checks.parse("sku", &input.sku);
    let qty = input.qty.unwrap_or(1);
    check_qty(&mut checks, app, 1, qty);
    checks.finish()?;
    let sku = sku.ok_or_else(|| ApiError::invalid(Vec::new()))?;
    // Before the transaction: looking up must not wait for a second connection
    // while holding one. A replay does not care what came of it.
    let variant = commands::sellable(app, &sku).await;
    match idempotency::enter_if(&app.pool, key).await? {
        Entered::Replay(answer) => Ok(answer),
        Entered::Run(mut work) => {
            commands::add_item(app, work.tx(), owner, &variant?, qty).await?;
            let cart = queries::cart(app, work.tx(), owner, None).await?;
            let answer = Answer::json(StatusCode::CREATED, &cart)?;
            work.finish(answer, app.clock.now()).await
        }
    }
}

fn check_qty(checks: &mut Checks, app: &App, least: i64, qty: i64) {
    let most = app.settings.max_qty;
    if !(least..=most).contains(&qty) {
        checks.fail("qty", "range", format!("must lie between {least} and {most}"));
    }
}

/// Sets the units of an item; zero takes it out.
pub async fn change(
    app: &App,
    owner: Owner,
    item: CartItemId,
    input: &ChangeItem,
) -> Result<Cart, ApiError> {
    let mut checks = Checks::new();
    let qty = checks.required("qty", input.qty).unwrap_or(1);
    check_qty(&mut checks, app, 0, qty);
    checks.finish()?;
    let mut tx = app.pool.begin().await?;
    commands::change_item(app, &mut tx, owner, item, qty).await?;
    answer(app, tx, owner).await
}

/// Takes an item out.
pub async fn remove(app: &App, owner: Owner, item: CartItemId) -> Result<Cart, ApiError> {
    let mut tx = app.pool.begin().await?;
    commands::change_item(app, &mut tx, owner, item, 0).await?;
    answer(app, tx, owner).await
}

/// Takes everything out.
pub async fn clear(app: &App, owner: Owner) -> Result<Cart, ApiError> {
    let mut tx = app.pool.begin().await?;
    commands::clear(app, &mut tx, owner).await?;
    answer(app, tx, owner).await
}

/// Moves a guest's cart into the cart of the shopper who signed in.
pub async fn merge(
    app: &App,
    verifier: &Verifier,
    owner: Owner,
    input: &MergeCart,
) -> Result<Cart, ApiError> {
    if let Owner::Guest(_) = owner {
        let detail = "Sign in first; guests have one cart.";
        return Err(ApiError::new(Kind::Unauthenticated, "auth.sign_in", detail));
    }
    let mut checks = Checks::new();
    let guest = match input.guest_token.trim() {
        "" => checks.required("guestToken", None),
        token => {
            let proof = verifier.principal(&format!("Bearer {token}")).await;
            let guest = proof.ok().and_then(|p| p.guest());
            if guest.is_none() {
                checks.fail("guestToken", "invalid", "is no good guest token");
            }
            guest
        }
    };
    checks.finish()?;
    let mut tx = app.pool.begin().await?;
    if let Some(guest) = guest {
        commands::merge(app, &mut tx, owner, Owner::Guest(guest)).await?;
    }
    answer(app, tx, owner).await
}

async fn answer(
    app: &App,
    mut tx: sqlx::Transaction<'static, sqlx::Postgres>,
    owner: Owner,
) -> Result<Cart, ApiError> {
    let connection: &mut PgConnection = &mut tx;
    let cart = queries::cart(app, connection, owner, None).await?;
    tx.commit().await?;
    Ok(cart)
}
