//! The vocabulary that storefront, console and backend share.
//!
//! Owns: typed ids, exact money, statuses, pages, problems and the request and
//! answer shapes of the public REST API. Everything here compiles to WASM and
//! needs nothing but serde; the features `db` and `openapi` add storage mapping
//! and schemas for the backend.
//!
//! Invariants: money is never a float; a shape that a client relies on only
//! ever gains fields.
//!
//! Start with [`money`], then [`orders`].

pub mod cart;
pub mod catalog;
pub mod identity;
pub mod ids;
pub mod inventory;
pub mod live;
pub mod money;
pub mod operations;
pub mod orders;
pub mod page;
pub mod payments;
pub mod problem;
pub mod roles;
pub mod sagas;
pub mod sku;
pub mod sse;
pub mod text;
pub mod time;

pub use ids::*;
pub use money::{Amount, Currency, Money};
pub use page::{Page, PageInfo};
pub use problem::{FieldError, Problem};
pub use roles::Role;
pub use sku::Sku;
pub use time::Timestamp;
