//! What a browser session holds between two requests: a half-filled checkout
//! and a message for the next page. In memory, bounded, short-lived; losing it
//! costs a shopper some typing, never an order.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::forms::Typed;

const KEPT: Duration = Duration::from_secs(60 * 60);
const MAX_SESSIONS: usize = 10_000;

/// What one browser session holds.
#[derive(Clone, Default)]
pub struct Draft {
    /// Shown once, on the next page.
    pub flash: Option<Flash>,
    /// The checkout as last typed.
    pub checkout: Option<Typed>,
}

/// A message after a redirect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flash {
    pub kind: FlashKind,
    pub message: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FlashKind {
    Done,
    Problem,
}

/// All sessions, by the random id in the browser's cookie.
#[derive(Default)]
pub struct Drafts {
    sessions: Mutex<HashMap<String, (Instant, Draft)>>,
}

impl Drafts {
    /// Reads or changes the draft of `id`; a new one is stored only when the
    /// change leaves something in it.
    pub fn with<R>(&self, id: &str, change: impl FnOnce(&mut Draft) -> R) -> R {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mut draft = match sessions.remove(id) {
            Some((touched, draft)) if now.duration_since(touched) < KEPT => draft,
            _ => Draft::default(),
        };
        let result = change(&mut draft);
        if draft.flash.is_some() || draft.checkout.is_some() {
            if sessions.len() >= MAX_SESSIONS {
                make_room(&mut sessions, now);
            }
            sessions.insert(id.to_owned(), (now, draft));
        }
        result
    }
}

/// Drops what is over; when nothing is, the tenth that was touched longest ago.
fn make_room(sessions: &mut HashMap<String, (Instant, Draft)>, now: Instant) {
    sessions.retain(|_, (touched, _)| now.duration_since(*touched) < KEPT);
    if sessions.len() < MAX_SESSIONS {
        return;
    }
    let mut ages: Vec<Instant> = sessions.values().map(|(touched, _)| *touched).collect();
    ages.sort_unstable();
    let oldest_kept = ages[MAX_SESSIONS / 10];
    sessions.retain(|_, (touched, _)| *touched > oldest_kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flash() -> Option<Flash> {
        Some(Flash { kind: FlashKind::Done, message: "Added".to_owned() })
    }

    #[test]
    fn a_message_is_shown_once() {
        let drafts = Drafts::default();
        drafts.with("a", |d| d.flash = flash());
        assert_eq!(drafts.with("b", |d| d.flash.take()), None);
        assert_eq!(drafts.with("a", |d| d.flash.take()), flash());
        assert_eq!(drafts.with("a", |d| d.flash.take()), None);
    }

    #[test]
    fn sessions_never_exceed_their_limit() {
        let drafts = Drafts::default();
        for n in 0..MAX_SESSIONS + 50 {
            drafts.with(&n.to_string(), |d| d.flash = flash());
        }
        assert!(drafts.sessions.lock().unwrap().len() <= MAX_SESSIONS);
        let last = (MAX_SESSIONS + 49).to_string();
        assert_eq!(drafts.with(&last, |d| d.flash.take()), flash());
    }
}
