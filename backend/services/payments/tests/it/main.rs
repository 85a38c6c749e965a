//! The service and the simulator over real HTTP and a real database.

mod captures;
mod cards;
mod foreign;
mod gateway;
mod graph;
mod hostile;
mod intents;
mod keys;
mod lost;
mod notices;
mod operators;
mod reads;
mod refunds;
mod shop;
mod strangers;
