//! All SQL of cart: free functions on a connection.

pub mod carts;
pub mod variants;
