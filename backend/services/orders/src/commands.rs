//! What people ask for: parse, load, decide, store, answer.

pub mod access;
pub mod cancel_order;
pub mod operate_saga;
pub mod pay_order;
pub mod place_order;
pub mod refund_order;
