//! Pure rules: no I/O, no clock, no randomness.

pub mod countries;
pub mod pricing;
pub mod refund;
pub mod saga;
pub mod status;
