//! The storefront against a canned public API: what a browser without scripts
//! gets to see and can do.

mod browser;
mod canned;
mod forms;
mod pages;
mod purchase;
mod session;
