//! What this process has stored already and will hear again as an event.

use platform::recent::Recent;
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

/// What is true of orders, as this process made it.
pub type Echoes = Recent<(OrderId, Echo)>;
