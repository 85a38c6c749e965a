//! What services say to each other.
//!
//! Owns: the events with their topics, the gRPC interfaces (`proto/`, generated
//! code checked in), and the client traits through which a service calls
//! another: in one process the callee itself, otherwise a channel; the caller
//! cannot tell.
//!
//! Invariants: additive only. A field is added, never changed; a breaking change
//! is a new version beside the old one. No event carries a name, an e-mail
//! address, a phone number or a postal address.
//!
//! Start with [`topics`], then [`events`] and their [`schema`], then [`clients`].

pub mod clients;
pub mod documents;
pub mod events;
#[allow(clippy::all, missing_docs, clippy::pedantic, unused_qualifications)]
#[path = "generated/packages.rs"]
pub mod generated;
pub mod graph;
pub mod schema;
pub mod topics;
