//! What the orders screen knows.

use std::collections::HashSet;

use desktop_bridge::{Board, Connection, Feed, OrderRow, RefusalKind};
use leptos::prelude::*;
use shared_types::{OrderId, orders::OrderStatus};
use web_sys::{ScrollIntoViewOptions, ScrollLogicalPosition};

use crate::shell;

/// One for the life of the page; [`State::reset`] starts it anew for a session.
#[derive(Clone, Copy)]
pub struct State {
    board: StoredValue<Board>,
    /// What came over the feed and was not drawn yet: drawn with a short glow.
    fresh: StoredValue<HashSet<OrderId>>,
    /// Counts sessions: an answer for an earlier one is dropped.
    round: StoredValue<u32>,
    /// The board's rows.
    pub rows: RwSignal<Vec<OrderRow>>,
    /// Those that the filters let through.
    pub visible: Memo<Vec<OrderRow>>,
    pub feed: RwSignal<Feed>,
    /// Only this status.
    pub status: RwSignal<Option<OrderStatus>>,
    /// Part of an order number.
    pub text: RwSignal<String>,
    pub selected: RwSignal<Option<OrderId>>,
    /// Until the first page, or the news that there is none, has come.
    pub loading: RwSignal<bool>,
    /// Behind what the list shows; none: nothing older.
    pub older: RwSignal<Option<String>>,
    pub trouble: RwSignal<Option<String>>,
}

impl State {
    pub fn new() -> Self {
        let rows = RwSignal::new(Vec::new());
        let (status, text) = (RwSignal::new(None), RwSignal::new(String::new()));
        let visible = Memo::new(move |_| {
            let wanted = text.get().trim().to_uppercase();
            let status = status.get();
            rows.with(|rows: &Vec<OrderRow>| {
                let fits = |row: &&OrderRow| {
                    status.is_none_or(|status| row.status == status)
                        && row.number.to_uppercase().contains(&wanted)
                };
                rows.iter().filter(fits).cloned().collect::<Vec<_>>()
            })
        });
        State {
            board: StoredValue::new(Board::default()),
            fresh: StoredValue::new(HashSet::new()),
            round: StoredValue::new(0),
            rows,
            visible,
            feed: RwSignal::new(Feed::default()),
            status,
            text,
            selected: RwSignal::new(None),
            loading: RwSignal::new(true),
            older: RwSignal::new(None),
            trouble: RwSignal::new(None),
        }
    }

    /// Forgets what it knew: another shop, another person.
    pub fn reset(self) {
        self.board.update_value(Board::clear);
        self.fresh.update_value(HashSet::clear);
        self.rows.set(Vec::new());
        self.clear_filter();
        self.loading.set(true);
        self.older.set(None);
        self.trouble.set(None);
        self.round.update_value(|round| *round += 1);
    }

    /// The newest page. Repeats are harmless.
    pub async fn load(self) {
        let round = self.round.get_value();
        let page = shell::list_orders(None).await;
        if round != self.round.get_value() {
            return;
        }
        match page {
            Ok(page) => {
                self.merge(page.rows);
                self.trouble.set(None);
                if !page.stale {
                    self.older.set(page.older);
                }
            }
            // The shell says itself that the session has ended.
            Err(why) if why.kind == RefusalKind::SignedOut => {}
            Err(why) => self.trouble.set(Some(why.message)),
        }
        self.loading.set(false);
    }

    /// The page behind what is shown.
    pub fn load_older(self) {
        let Some(after) = self.older.get_untracked() else { return };
        self.older.set(None);
        let round = self.round.get_value();
        leptos::task::spawn_local(async move {
            let page = shell::list_orders(Some(&after)).await;
            if round != self.round.get_value() {
                return;
            }
            match page {
                Ok(page) => {
                    self.merge(page.rows);
                    self.trouble.set(None);
                    self.older.set(page.older);
                }
                Err(why) => {
                    self.trouble.set(Some(why.message));
                    self.older.set(Some(after));
                }
            }
        });
    }

    /// Orders came over the feed.
    pub fn arrived(self, rows: Vec<OrderRow>) {
        self.fresh.update_value(|fresh| fresh.extend(rows.iter().map(|row| row.order_id)));
        self.merge(rows);
    }

    /// The feed stands so, unless this word was overtaken; what the feed may have
    /// missed is read.
    pub fn feed_is(self, now: Feed) {
        let missed = now.connection == Connection::Live { resumed: false };
        let taken = self.feed.try_update(|feed| feed.take(now)).unwrap_or(false);
        if taken && missed {
            leptos::task::spawn_local(self.load());
        }
    }

    /// Does not wait for the next attempt.
    pub fn hurry(self) {
        leptos::task::spawn_local(async move {
            // Refused only without a session, and then there is no feed either.
            let _ = shell::reconnect().await;
            if self.trouble.get_untracked().is_some() {
                self.load().await;
            }
        });
    }

    pub fn clear_filter(self) {
        self.status.set(None);
        self.text.set(String::new());
        self.selected.set(None);
    }

    pub fn count(self, status: OrderStatus) -> usize {
        self.rows.with(|rows| rows.iter().filter(|row| row.status == status).count())
    }

    /// Whether this order came over the feed; true once per arrival.
    pub fn take_fresh(self, id: OrderId) -> bool {
        self.fresh.try_update_value(|fresh| fresh.remove(&id)).unwrap_or(false)
    }

    /// Moves the selection and keeps it in sight.
    pub fn step(self, by: isize) {
        let next = self.visible.with_untracked(|rows| {
            let selected = self.selected.get_untracked();
            let place = rows.iter().position(|row| Some(row.order_id) == selected);
            let next = match place {
                Some(place) => place.saturating_add_signed(by).min(rows.len().saturating_sub(1)),
                None => 0,
            };
            rows.get(next).map(|row| row.order_id)
        });
        self.selected.set(next);
        let row = next.and_then(|id| document().get_element_by_id(&format!("order-{id}")));
        if let Some(row) = row {
            let options = ScrollIntoViewOptions::new();
            options.set_block(ScrollLogicalPosition::Nearest);
            row.scroll_into_view_with_scroll_into_view_options(&options);
        }
    }

    fn merge(self, rows: Vec<OrderRow>) {
        self.board.update_value(|board| board.merge(rows));
        self.rows.set(self.board.with_value(|board| board.rows().to_vec()));
    }
}
