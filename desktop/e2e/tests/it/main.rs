//! The console against a small fake shop, in its real window.

mod shop;
mod window;
