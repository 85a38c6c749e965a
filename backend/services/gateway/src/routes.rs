//! Which service owns which path: one table.

/// First match wins; `*` stands for one segment, a trailing `/**` for any rest.
const ROUTES: &[(&str, &str)] = &[
    ("/api/v1/products/*/inventory/**", "inventory"),
    ("/api/v1/inventory/**", "inventory"),
    ("/api/v1/products/**", "catalog"),
    ("/api/v1/categories/**", "catalog"),
    ("/api/v1/users/**", "identity"),
    ("/.well-known/**", "identity"),
    ("/api/v1/cart/**", "cart"),
    ("/api/v1/orders/**", "orders"),
    ("/api/v1/admin/sagas/**", "orders"),
    // The saga commands refunds, so its service answers for them.
    ("/api/v1/payments/refund", "orders"),
    ("/api/v1/payments/**", "payments"),
    ("/api/v1/admin/payments/**", "payments"),
    ("/api/v1/admin/dead-letters/**", "operations"),
    ("/api/v1/admin/audit/**", "operations"),
    ("/ws/**", "notifications"),
];

/// The service that answers for `path`.
pub fn owner(path: &str) -> Option<&'static str> {
    ROUTES.iter().find(|(pattern, _)| matches(pattern, path)).map(|(_, service)| *service)
}

/// Whether a path belongs to the API rather than to the storefront.
pub fn is_api(path: &str) -> bool {
    let under = |prefix: &str| path == prefix || path.starts_with(&format!("{prefix}/"));
    under("/api") || under("/ws") || under("/.well-known") || path == crate::graphql::PATH
}

fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, open) = match pattern.strip_suffix("/**") {
        Some(front) => (front, true),
        None => (pattern, false),
    };
    let mut given = path.split('/');
    for wanted in pattern.split('/') {
        match given.next() {
            Some(segment) if wanted == "*" || wanted == segment => {}
            _ => return false,
        }
    }
    open || given.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_the_right_owner() {
        for (path, service) in [
            ("/api/v1/products", Some("catalog")),
            ("/api/v1/products/lamp", Some("catalog")),
            ("/api/v1/products/7/inventory", Some("inventory")),
            ("/api/v1/products/7/inventory/reserve", Some("inventory")),
            ("/api/v1/products/7/prices", Some("catalog")),
            ("/api/v1/orders/7/pay", Some("orders")),
            ("/api/v1/admin/sagas", Some("orders")),
            ("/api/v1/admin/sagas/7/retry", Some("orders")),
            ("/api/v1/payments/refund", Some("orders")),
            ("/api/v1/payments/7", Some("payments")),
            ("/api/v1/payments/webhooks/stripe", Some("payments")),
            ("/api/v1/admin/payments", Some("payments")),
            ("/api/v1/admin/payments/7/settle", Some("payments")),
            ("/.well-known/jwks.json", Some("identity")),
            ("/api/v1/admin/dead-letters", Some("operations")),
            ("/api/v1/admin/dead-letters/7/redrive", Some("operations")),
            ("/api/v1/admin/audit", Some("operations")),
            ("/ws/orders", Some("notifications")),
            ("/api/v1/ordersx", None),
            ("/api/v2/orders", None),
        ] {
            assert_eq!(owner(path), service, "{path}");
        }
    }

    #[test]
    fn pages_are_not_the_api() {
        assert!(is_api("/api/v1/nothing") && is_api("/ws/orders"));
        assert!(!is_api("/apiary") && !is_api("/orders/7") && !is_api("/"));
    }
}
