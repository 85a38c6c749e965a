//! What a service's part of the graph stands on.
//!
//! A service translates its commands and queries into a schema of its own, a
//! federation subgraph, and hands it over as a [`Subgraph`]. This module owns
//! what is the same in all of them: scalars and money, node ids, connections
//! over keyset pages, refusals, errors that show nothing of the inside, batches
//! instead of one statement per object, limits, and the HTTP route.
//!
//! Invariants: a subgraph verifies the caller's token itself; a failure reaches
//! a caller only as an [`ApiError`](crate::ApiError) would over REST; every list
//! and every document has a limit.

mod batch;
mod errors;
mod follow;
mod ids;
mod once;
mod pages;
mod refusals;
mod scalars;
mod serve;
mod stream;

pub use batch::{Batch, Failed, batch};
pub use errors::{caller, found, held, or_null, signed_in};
pub use follow::{Follow, follow};
pub use ids::NodeId;
pub use once::{idempotent, idempotent_if};
pub use pages::{Connection, connection, connection_of, page_cost, paging};
pub use refusals::{
    CommonRefusal, Conflict, Declined, InvalidInput, NotFound, Refusal, Refused, Stale, WrongField,
    outcome, outcome_of_answer,
};
pub use scalars::{DateTime, Decimal, Long, Money};
pub use serve::{Subgraph, limited, sdl};
