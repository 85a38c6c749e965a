//! The service and the simulator over real HTTP and a real database.

mod captures;
mod foreign;
mod gateway;
mod lost;
mod reads;
mod refunds;
mod shop;
