//! Pure rules of stock: levels, how a reservation is served, what becomes of
//! a hold. No I/O, no clock.

pub mod book;
pub mod hold;
pub mod level;
pub mod shelf;
