//! What the console's shell and its window say to each other.
//!
//! Owns: the arguments and answers of the shell's commands, the payloads of its
//! events, their names, and [`board`], the bounded list of orders that both
//! sides keep in the same way.
//!
//! Invariants: no token is ever part of these shapes; amounts travel as text
//! with exactly the currency's digits, because JavaScript would make floats of
//! them.
//!
//! Start with [`Session`], then [`Connection`].

pub mod board;

use serde::{Deserialize, Serialize};
use shared_types::{
    Money, OrderId, Role, Timestamp,
    orders::{OrderStatus, OrderSummary, Stage},
};

pub use board::Board;

/// Names of the events that the shell emits.
pub mod events {
    /// `Vec<OrderRow>`: orders that are new or have changed.
    pub const ORDER: &str = "order";
    /// [`super::Feed`]: the live feed stands differently.
    pub const CONNECTION: &str = "connection";
    /// [`super::Session`]: signed in or out by something else than the window.
    pub const SESSION: &str = "session";
    /// [`super::MenuChoice`]: a menu entry that the window carries out.
    pub const MENU: &str = "menu";
}

/// `sign_in`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignIn {
    pub shop_url: String,
    pub email: String,
    pub password: String,
}

/// Who is signed in where; `session` and `sign_in` answer it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Session {
    SignedOut {
        /// Most recent first.
        shops: Vec<KnownShop>,
        token_store: TokenStore,
        /// Why a session ended that nobody signed out of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended: Option<Refusal>,
    },
    SignedIn {
        shop_url: String,
        email: String,
        roles: Vec<Role>,
        token_store: TokenStore,
        feed: Feed,
    },
}

/// A shop that somebody signed in to from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownShop {
    pub url: String,
    pub email: String,
}

/// Where the refresh token is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum TokenStore {
    /// The keychain of the operating system.
    Keychain,
    /// No keychain answers here: an encrypted file, its key beside it.
    File { path: String },
}

/// Why a command was refused, in words for the person and a kind for the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    pub kind: RefusalKind,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalKind {
    /// The shop's address is no http(s) address.
    ShopUrl,
    /// An empty or malformed e-mail address or password.
    Fields,
    /// Wrong e-mail address or password.
    Credentials,
    /// Signed in, but the account has none of the staff roles.
    NotStaff,
    /// Nobody answers at that address.
    Unreachable,
    /// Too many attempts for now.
    Limited,
    /// The session has ended; signing in again helps.
    SignedOut,
    /// The shop answers something that no shop says.
    NotAShop,
    /// The shop or the console has failed.
    Failed,
}

/// How the live feed stands, at which turn. An event and the answer of a command
/// may overtake each other on their way to the window: the higher turn is the newer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feed {
    /// Counts the changes since the program started.
    pub turn: u64,
    pub connection: Connection,
}

impl Feed {
    /// Takes over `word` and says so, unless it was overtaken.
    pub fn take(&mut self, word: Feed) -> bool {
        let newer = word.turn > self.turn;
        if newer {
            *self = word;
        }
        newer
    }
}

/// How the live feed stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Connection {
    #[default]
    Connecting,
    /// Changes arrive as they happen. `resumed` says that nothing was missed
    /// since the feed stood last; otherwise the list must be read anew.
    Live { resumed: bool },
    /// The line broke; the next attempt starts in `retry_in_ms`.
    Reconnecting { attempt: u32, retry_in_ms: u64 },
    /// Several attempts have failed; attempts go on. `since` is when the feed
    /// last stood.
    Offline { attempt: u32, retry_in_ms: u64, since: Option<Timestamp>, reason: String },
}

/// One order in the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderRow {
    pub order_id: OrderId,
    pub number: String,
    pub status: OrderStatus,
    pub stage: Stage,
    /// With exactly the currency's digits: `129.50`.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
    /// When the order last changed.
    pub at: Timestamp,
}

impl From<OrderSummary> for OrderRow {
    fn from(o: OrderSummary) -> Self {
        OrderRow {
            order_id: o.order_id,
            number: o.order_number,
            status: o.status,
            stage: o.stage,
            amount: amount_text(o.total_amount, o.currency),
            currency: o.currency.to_string(),
            at: o.updated_at,
        }
    }
}

/// The amount with the currency's digits; as it came when it has more than those.
pub fn amount_text(amount: shared_types::Amount, currency: shared_types::Currency) -> String {
    amount.in_currency(currency).map(Money::amount).unwrap_or(amount).to_string()
}

/// `list_orders`: a page, or what was known last while the shop is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderPage {
    pub rows: Vec<OrderRow>,
    /// Hand back as `after` for older orders; `None` when there are none.
    pub older: Option<String>,
    /// The shop did not answer: `rows` is what the console knew last.
    pub stale: bool,
}

/// A menu entry that the window carries out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MenuChoice {
    Orders,
    Filter,
    Shortcuts,
    Theme,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_that_was_overtaken_changes_nothing() {
        let live = Feed { turn: 2, connection: Connection::Live { resumed: false } };
        let mut feed = Feed::default();
        assert!(feed.take(live.clone()));
        assert!(!feed.take(Feed { turn: 1, connection: Connection::Connecting }));
        assert_eq!(feed, live);
    }
}
