//! Reading and writing cookies. All of the storefront's are `HttpOnly` and
//! `SameSite=Lax`.

use std::fmt;

use http::{HeaderMap, header};

/// More pairs than any browser of ours sends; the rest is ignored.
const MAX_PAIRS: usize = 64;

/// The cookies of a request; the first of a name wins, as browsers send the
/// most specific path first.
#[derive(Clone, Default)]
pub struct Cookies(Vec<(String, String)>);

impl Cookies {
    pub fn read(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
        let pairs = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Cookies(pairs.take(MAX_PAIRS).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// A `Set-Cookie` line under construction.
pub struct SetCookie<'a> {
    name: &'a str,
    value: &'a str,
    path: &'a str,
    max_age_seconds: Option<u64>,
    secure: bool,
}

/// A cookie that lives as long as the browser does, unless told otherwise.
pub fn set<'a>(name: &'a str, value: &'a str, path: &'a str) -> SetCookie<'a> {
    SetCookie { name, value, path, max_age_seconds: None, secure: false }
}

/// The line that takes a cookie away.
pub fn clear(name: &str, path: &str) -> String {
    set(name, "", path).max_age(0).to_string()
}

impl SetCookie<'_> {
    pub fn max_age(self, seconds: u64) -> Self {
        SetCookie { max_age_seconds: Some(seconds), ..self }
    }

    pub fn secure(self, secure: bool) -> Self {
        SetCookie { secure, ..self }
    }
}

impl fmt::Display for SetCookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, value, path) = (self.name, self.value, self.path);
        write!(f, "{name}={value}; Path={path}; HttpOnly; SameSite=Lax")?;
        if let Some(seconds) = self.max_age_seconds {
            write!(f, "; Max-Age={seconds}")?;
        }
        if self.secure { f.write_str("; Secure") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cookie_of_a_name_wins() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "a=1; b=x=y; a=2; empty=".parse().unwrap());
        let cookies = Cookies::read(&headers);
        assert_eq!(cookies.get("a"), Some("1"));
        assert_eq!(cookies.get("b"), Some("x=y"));
        assert_eq!(cookies.get("empty"), None);
    }

    #[test]
    fn cookies_are_closed_to_scripts_and_other_sites() {
        let line = set("bv_access", "t", "/").max_age(60).secure(true).to_string();
        assert_eq!(line, "bv_access=t; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure");
    }
}
