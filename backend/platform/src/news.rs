//! Word of new records, from the relays to the consumers of one process.
//!
//! Where every publisher is in this process, a consumer need not ask the
//! broker many times a second whether there is something new: it rests until a
//! relay says so. Word may come too often, and be missed by nobody: a consumer
//! that is told while it works finds the word when it is done.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

/// The board on which relays note topics. Cheap to clone; clones are the same.
#[derive(Clone, Default)]
pub struct News {
    listeners: Arc<Mutex<Vec<Weak<Ear>>>>,
}

/// One who listens to some topics.
#[derive(Debug)]
pub struct Ear {
    topics: BTreeSet<String>,
    heard: Mutex<BTreeSet<String>>,
    notify: Notify,
}

impl News {
    /// Listens to notes about `topics` from now on.
    pub fn listen(&self, topics: &[&str]) -> Arc<Ear> {
        let topics = topics.iter().map(|t| (*t).to_owned()).collect();
        let ear = Arc::new(Ear { topics, heard: Mutex::default(), notify: Notify::new() });
        let mut listeners = lock(&self.listeners);
        listeners.retain(|l| l.strong_count() > 0);
        listeners.push(Arc::downgrade(&ear));
        ear
    }

    /// The broker has new records in `topics`.
    pub fn published<'a>(&self, topics: impl Iterator<Item = &'a str>) {
        let topics: BTreeSet<&str> = topics.collect();
        for ear in lock(&self.listeners).iter().filter_map(Weak::upgrade) {
            let mut wanted = topics.iter().filter(|t| ear.topics.contains(**t)).peekable();
            if wanted.peek().is_some() {
                lock(&ear.heard).extend(wanted.map(|t| (*t).to_owned()));
                ear.notify.notify_one();
            }
        }
    }
}

impl Ear {
    /// Resolves when something was published since [`Ear::take`], also when
    /// that was before this call.
    pub async fn heard(&self) {
        self.notify.notified().await;
    }

    /// The topics that something was published to since the last call.
    pub fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *lock(&self.heard))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn word_of_a_topic_reaches_who_listens_to_it_even_before_they_wait() {
        let news = News::default();
        let (stock, orders) = (news.listen(&["stock", "holds"]), news.listen(&["orders"]));
        news.published(["holds", "holds", "payments"].into_iter());
        stock.heard().await;
        assert_eq!(stock.take().into_iter().collect::<Vec<_>>(), ["holds"]);
        assert!(stock.take().is_empty());
        let silence = tokio::time::timeout(Duration::from_millis(20), orders.heard()).await;
        assert!(silence.is_err());
    }

    #[test]
    fn who_went_away_is_forgotten() {
        let news = News::default();
        drop(news.listen(&["stock"]));
        let _still_here = news.listen(&["stock"]);
        news.published(["stock"].into_iter());
        assert_eq!(lock(&news.listeners).len(), 1);
    }
}
