//! Facts that a process remembers for a while.
//!
//! Good where forgetting is harmless: the answer to a command comes first
//! nearly always, its event later, and an event that only repeats what is
//! stored already needs no transaction.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard};

/// Facts of one generation; twice as many are remembered.
const MOST: usize = 50_000;

/// Remembers between 50,000 and 100,000 facts, the latest ones.
#[derive(Debug)]
pub struct Recent<T> {
    generations: Mutex<[HashSet<T>; 2]>,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Recent { generations: Mutex::new([HashSet::new(), HashSet::new()]) }
    }
}

impl<T: Eq + Hash> Recent<T> {
    /// To be called after the commit that made it true.
    pub fn note(&self, fact: T) {
        let mut generations = self.lock();
        if generations[0].len() >= MOST {
            generations.swap(0, 1);
            generations[0].clear();
        }
        generations[0].insert(fact);
    }

    /// Whether it was noted and not forgotten since.
    pub fn knows(&self, fact: &T) -> bool {
        self.lock().iter().any(|generation| generation.contains(fact))
    }

    fn lock(&self) -> MutexGuard<'_, [HashSet<T>; 2]> {
        self.generations.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_until_much_more_was() {
        let recent = Recent::default();
        recent.note(0);
        assert!(recent.knows(&0));
        assert!(!recent.knows(&1));
        for n in 1..=2 * MOST {
            recent.note(n);
        }
        assert!(!recent.knows(&0));
        assert!(recent.knows(&(2 * MOST)));
    }
}
