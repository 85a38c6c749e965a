//! Pure rules: what a dead letter tells, what a copy may change, how a redrive
//! goes on.

pub mod edit;
pub mod facts;
pub mod pace;
pub mod trial;
