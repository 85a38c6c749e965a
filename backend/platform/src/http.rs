//! HTTP manners: bodies in, problems out, and the layers around every router.

mod extract;
mod layers;

pub(crate) use extract::is_json;
pub use extract::{Idempotent, Json, PathOf, Posted, QueryOf};
pub(crate) use layers::surround;
pub use layers::{REST_PREFIX, finish};

/// Largest body that any endpoint reads unless it says otherwise.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
