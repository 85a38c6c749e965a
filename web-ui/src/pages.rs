//! One file per kind of page: its handlers and its views.

pub mod account;
pub mod cart;
pub mod checkout;
pub mod errors;
pub mod home;
pub mod legal;
pub mod listing;
pub mod order;
pub mod order_live;
pub mod payment;
pub mod product;

use axum::response::{IntoResponse, Redirect, Response};

/// 303 to a path of this shop that is known to be plain ASCII.
fn see_other(path: &str) -> Response {
    let plain = !path.is_empty() && path.bytes().all(|b| b.is_ascii_graphic());
    Redirect::to(if plain { path } else { "/" }).into_response()
}

/// A way back given by the browser, only when it leads to this shop.
fn local_path(next: &str) -> Option<&str> {
    let local = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
    (local && next.len() <= 200 && next.bytes().all(|b| b.is_ascii_graphic())).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::local_path;

    #[test]
    fn ways_back_never_leave_the_shop() {
        assert_eq!(local_path("/checkout?x=1"), Some("/checkout?x=1"));
        for bad in ["", "checkout", "//evil.example", "/\\evil", "https://evil.example", "/a\nb"] {
            assert_eq!(local_path(bad), None, "{bad}");
        }
    }
}
