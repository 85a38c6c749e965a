//! Mutations under an idempotency key.

use http::Method;
use serde::Serialize;

use crate::auth::Principal;
use crate::error::ApiError;
use crate::http::Idempotent;
use crate::idempotency::{self, IdempotencyKey};

/// The input of a mutation that acts once per `key`. `about` is what it is
/// about beyond its input: the id of the order that is paid.
pub fn idempotent<T: Serialize>(
    mutation: &str,
    about: &str,
    caller: &Principal,
    key: &str,
    input: T,
) -> Result<Idempotent<T>, ApiError> {
    let text = idempotency::key_text(key)?;
    let body = serde_json::to_vec(&input).map_err(ApiError::internal)?;
    let route = format!("mutation {mutation}");
    let key = IdempotencyKey::new(&route, caller, &text, &Method::POST, about, &body)?;
    Ok(Idempotent { input, key })
}

/// [`idempotent`], where the key may be absent.
pub fn idempotent_if<T: Serialize>(
    mutation: &str,
    about: &str,
    caller: &Principal,
    key: Option<&str>,
    input: T,
) -> Result<(T, Option<IdempotencyKey>), ApiError> {
    match key {
        None => Ok((input, None)),
        Some(key) => {
            let Idempotent { input, key } = idempotent(mutation, about, caller, key, input)?;
            Ok((input, Some(key)))
        }
    }
}
