//! All SQL of the service: free functions on a connection.

pub mod attempts;
pub mod history;
pub mod orders;
pub mod prices;
pub mod refunds;
pub mod saga_lists;
pub mod sagas;

use shared_types::{Currency, Money};

/// A text in a column that this program wrote itself.
pub(crate) fn word<T: std::str::FromStr>(text: &str) -> Result<T, sqlx::Error>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(|e: T::Err| sqlx::Error::Decode(Box::new(e)))
}

pub(crate) fn amount(minor: i64, currency: Currency) -> shared_types::Amount {
    Money::new(minor, currency).amount()
}
