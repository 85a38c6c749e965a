//! The address of a shop as people type it.

use desktop_bridge::{Refusal, RefusalKind};
use tauri::Url;

/// A shop's origin: https, or http on this machine only, because the password
/// travels over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopUrl(Url);

impl ShopUrl {
    /// Reads what was typed. Without a scheme https is meant, on this machine http.
    ///
    /// # Errors
    /// [`RefusalKind::ShopUrl`] with what is wrong.
    pub fn parse(typed: &str) -> Result<Self, Refusal> {
        let typed = typed.trim();
        if typed.is_empty() {
            return Err(refused("Enter the address of your shop."));
        }
        let full = if typed.contains("://") { typed.to_owned() } else { with_scheme(typed) };
        let url = Url::parse(&full)
            .map_err(|_| refused("This is not an address. It looks like https://shop.example."))?;
        let Some(host) = url.host_str() else {
            return Err(refused("The address names no shop. It looks like https://shop.example."));
        };
        match url.scheme() {
            "https" => {}
            "http" if is_local(host) => {}
            "http" => {
                return Err(refused(
                    "Use https: over plain http your password could be read on the way.",
                ));
            }
            _ => return Err(refused("The address must start with https://.")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("The address must not contain a name or password."));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refused("Enter the shop's address only, without a page behind it."));
        }
        Ok(ShopUrl(url))
    }

    /// `https://shop.example`, without a slash at the end.
    pub fn text(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    pub fn api(&self, path: &str) -> String {
        format!("{}/api/v1{path}", self.text())
    }

    pub fn admin_socket(&self) -> String {
        // Only the scheme's first four letters differ: http→ws, https→wss.
        format!("ws{}/ws/admin", &self.text()["http".len()..])
    }
}

fn with_scheme(typed: &str) -> String {
    let typed = typed.trim_end_matches('/');
    let host = typed.rsplit_once(':').map_or(typed, |(host, _)| host);
    let scheme = if is_local(host) || is_local(typed) { "http" } else { "https" };
    format!("{scheme}://{typed}")
}

fn is_local(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn refused(message: &str) -> Refusal {
    Refusal { kind: RefusalKind::ShopUrl, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed_the_way_people_mean_them() {
        for (typed, meant) in [
            ("shop.example", "https://shop.example"),
            (" https://shop.example/ ", "https://shop.example"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("localhost:8080", "http://localhost:8080"),
            ("localhost/", "http://localhost"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(ShopUrl::parse(typed).unwrap().text(), meant, "{typed}");
        }
    }

    #[test]
    fn a_password_never_travels_in_the_clear_to_another_machine() {
        assert!(ShopUrl::parse("http://shop.example").unwrap_err().message.contains("https"));
    }

    #[test]
    fn what_is_no_shop_address_is_refused() {
        for typed in [
            "",
            "https://",
            "ftp://shop.example",
            "https://a:b@shop.example",
            "https://shop.example/admin",
            "https://shop.example?x=1",
        ] {
            assert_eq!(ShopUrl::parse(typed).unwrap_err().kind, RefusalKind::ShopUrl, "{typed}");
        }
    }

    #[test]
    fn the_socket_keeps_the_security_of_the_address() {
        assert_eq!(
            ShopUrl::parse("https://shop.example:8443").unwrap().admin_socket(),
            "wss://shop.example:8443/ws/admin"
        );
        assert_eq!(
            ShopUrl::parse("localhost:8080").unwrap().admin_socket(),
            "ws://localhost:8080/ws/admin"
        );
    }
}
