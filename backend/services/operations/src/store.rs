//! All SQL: free functions on a connection.

pub mod facts;
pub mod letters;
pub mod redrives;
pub mod search;
