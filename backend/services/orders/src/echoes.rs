//! What this process has stored already and will hear again as an event.
//!
//! The answer to a command comes first nearly always, its event later. An event
//! that only repeats it needs no transaction. Forgetting is harmless: then the
//! event is handled, and changes nothing.

use std::collections::HashSet;
use std::sync::Mutex;

use shared_types::{OrderId, PaymentId};

/// Something that is true of an order for ever, once it was true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Echo {
    /// Its stock was held.
    Held,
    Captured(PaymentId),
    Confirmed,
    /// Its stock was given back.
    Released,
}

/// Facts of one generation; twice as many are remembered.
const MOST: usize = 50_000;

#[derive(Debug, Default)]
pub struct Echoes {
    generations: Mutex<[HashSet<(OrderId, Echo)>; 2]>,
}

impl Echoes {
    /// To be called after the commit that made it true.
    pub fn note(&self, order_id: OrderId, echo: Echo) {
        let mut generations = self.lock();
        if generations[0].len() >= MOST {
            generations.swap(0, 1);
            generations[0].clear();
        }
        generations[0].insert((order_id, echo));
    }

    pub fn knows(&self, order_id: OrderId, echo: Echo) -> bool {
        let fact = (order_id, echo);
        self.lock().iter().any(|generation| generation.contains(&fact))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, [HashSet<(OrderId, Echo)>; 2]> {
        self.generations.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_until_much_more_was() {
        let echoes = Echoes::default();
        let order = |n: usize| OrderId(uuid::Uuid::from_u128(n as u128));
        echoes.note(order(0), Echo::Held);
        assert!(echoes.knows(order(0), Echo::Held));
        assert!(!echoes.knows(order(0), Echo::Confirmed));
        for n in 1..=2 * MOST {
            echoes.note(order(n), Echo::Held);
        }
        assert!(!echoes.knows(order(0), Echo::Held));
        assert!(echoes.knows(order(2 * MOST), Echo::Held));
    }
}
