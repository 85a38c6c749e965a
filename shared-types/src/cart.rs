//! The cart: what a shopper means to buy.

use serde::{Deserialize, Serialize};

use crate::{Amount, CartId, CartItemId, Currency, ProductId, Sku, catalog::Media};

/// `POST /cart/items`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct AddItem {
    pub sku: String,
    /// Units; 1 when absent.
    pub qty: Option<i64>,
}

/// `PUT /cart/items/{itemId}`; zero takes the item out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ChangeItem {
    pub qty: Option<i64>,
}

/// `POST /cart/merge`: a guest's cart into the signed-in shopper's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct MergeCart {
    /// A guest token (the `bv_guest` cookie) that proves whose cart it is.
    pub guest_token: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Cart {
    pub id: CartId,
    pub items: Vec<CartItem>,
    pub amounts: CartAmounts,
    /// Null while the cart is empty.
    pub currency: Option<Currency>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CartItem {
    pub item_id: CartItemId,
    pub product_id: ProductId,
    /// For the address of the product page.
    pub slug: String,
    pub sku: Sku,
    pub title: String,
    pub qty: i64,
    pub price: Amount,
    pub line_total: Amount,
    #[serde(default)]
    pub media: Option<Media>,
    /// What changed since it was added.
    pub notices: Vec<Notice>,
}

/// Something about an item that the shopper should know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    /// `price_changed`, `not_for_sale`.
    pub code: String,
    pub message: String,
}

/// Sums before the address is known: tax is an estimate for `country`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct CartAmounts {
    pub subtotal: Amount,
    pub discount: Amount,
    pub tax: Amount,
    pub shipping: Amount,
    pub total: Amount,
}
