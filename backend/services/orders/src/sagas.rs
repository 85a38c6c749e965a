//! The checkout saga: steps that act, decisions that are stored, a worker that
//! drives both.
//!
//! A step calls other services and changes nothing here; [`apply`] stores what
//! its answer means in one transaction, guarded by the saga's version. Whatever
//! falls between the two is done again, so every call is idempotent.

pub mod apply;
pub mod steps;
pub mod worker;

use platform::trace::TraceContext;

use crate::store::sagas::Loaded;

/// The trace under which the saga's calls and events go.
pub fn trace_of(loaded: &Loaded) -> TraceContext {
    let mut context = TraceContext::fresh();
    context.trace_id.clone_from(&loaded.trace_id);
    context.correlation_id.clone_from(&loaded.correlation_id);
    context
}
