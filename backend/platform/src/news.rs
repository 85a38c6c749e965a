//! Word of new records, from the relays to the consumers of one process.
//!
//! Where every publisher is in this process, a consumer need not ask the
//! broker many times a second whether there is something new: it rests until a
//! relay says so. Word may come too often, and be missed by nobody: a consumer
//! that is told while it works finds the word when it is done.

use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Notify;

/// The board on which relays note topics. Cheap to clone; clones are the same.
#[derive(Clone, Default)]
pub struct News {
    listeners: Arc<Mutex<Vec<Listener>>>,
}

struct Listener {
    topics: Vec<String>,
    ear: Weak<Notify>,
}

impl News {
    /// Resolves its waiter after each note about one of `topics`, also one
    /// between two waits.
    pub fn listen(&self, topics: &[&str]) -> Arc<Notify> {
        let ear = Arc::new(Notify::new());
        let topics = topics.iter().map(|t| (*t).to_owned()).collect();
        let mut listeners = self.listeners.lock().unwrap_or_else(|p| p.into_inner());
        listeners.retain(|l| l.ear.strong_count() > 0);
        listeners.push(Listener { topics, ear: Arc::downgrade(&ear) });
        ear
    }

    /// The broker has new records in `topics`.
    pub fn published<'a>(&self, topics: impl Iterator<Item = &'a str> + Clone) {
        let listeners = self.listeners.lock().unwrap_or_else(|p| p.into_inner());
        for listener in listeners.iter() {
            if topics.clone().any(|t| listener.topics.iter().any(|wanted| wanted == t))
                && let Some(ear) = listener.ear.upgrade()
            {
                ear.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn word_of_a_topic_reaches_who_listens_to_it_even_before_they_wait() {
        let news = News::default();
        let (stock, orders) = (news.listen(&["stock", "holds"]), news.listen(&["orders"]));
        news.published(["holds", "holds"].into_iter());
        stock.notified().await;
        let silence = tokio::time::timeout(Duration::from_millis(20), orders.notified()).await;
        assert!(silence.is_err());
    }

    #[test]
    fn who_went_away_is_forgotten() {
        let news = News::default();
        drop(news.listen(&["stock"]));
        let _still_here = news.listen(&["stock"]);
        news.published(["stock"].into_iter());
        assert_eq!(news.listeners.lock().unwrap().len(), 1);
    }
}
