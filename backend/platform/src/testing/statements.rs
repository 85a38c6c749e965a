//! Counting the SQL statements of a piece of work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Counts statements that this thread sends while it lives: everything of a
/// test whose runtime has one thread.
pub struct Statements {
    count: Arc<AtomicUsize>,
    _listening: DefaultGuard,
}

impl Statements {
    /// Begins to count.
    pub fn counted() -> Self {
        // While there is one listener only, whoever comes to a statement first, in
        // whichever thread, decides for all whether it is told of.
        static SECOND: OnceLock<Dispatch> = OnceLock::new();
        SECOND.get_or_init(|| Dispatch::new(Listener { count: Arc::default() }));
        let count = Arc::<AtomicUsize>::default();
        let listening = tracing::subscriber::set_default(Listener { count: count.clone() });
        Statements { count, _listening: listening }
    }

    /// How many there were since the last call.
    pub fn take(&self) -> usize {
        self.count.swap(0, Ordering::Relaxed)
    }
}

/// Where sqlx tells of every statement.
const TARGET: &str = "sqlx::query";

struct Listener {
    count: Arc<AtomicUsize>,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == TARGET {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
