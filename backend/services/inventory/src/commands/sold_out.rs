//! Which skus were sold out when they were last seen.
//!
//! Only a hint: it decides whether a reservation looks before it locks. The
//! look itself decides what is refused, so a wrong hint costs a read and never
//! a sale, whatever other instances do meanwhile.

use std::collections::HashSet;
use std::sync::RwLock;

use crate::domain::shelf::Shelf;

/// More skus than this are not remembered.
const REMEMBERED: usize = 10_000;

#[derive(Debug, Default)]
pub struct SoldOut(RwLock<HashSet<String>>);

impl SoldOut {
    /// Whether nothing of this sku was there when it was last seen.
    pub fn suspects(&self, sku_key: &str) -> bool {
        self.0.read().unwrap_or_else(|p| p.into_inner()).contains(sku_key)
    }

    /// Remembers how these skus stand.
    pub fn learn(&self, shelf: &Shelf) {
        let news: Vec<(&String, bool)> = shelf
            .items
            .iter()
            .map(|(key, item)| (key, item.available() == 0))
            .filter(|(key, gone)| *gone != self.suspects(key))
            .collect();
        if news.is_empty() {
            return;
        }
        let mut known = self.0.write().unwrap_or_else(|p| p.into_inner());
        for (key, gone) in news {
            if !gone {
                known.remove(key);
            } else if known.len() < REMEMBERED {
                known.insert(key.clone());
            }
        }
    }
}
