//! Pure rules of carts: what may be done, what it adds up to, what it costs.

pub mod basket;
pub mod estimate;
pub mod owner;
