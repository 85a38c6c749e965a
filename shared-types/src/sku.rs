//! The stock keeping unit.

use std::fmt;
use std::str::FromStr;

/// Names a variant. At most 64 visible characters; two skus that differ only
/// in case are the same sku, so comparison, hashing and order ignore case while
/// the text keeps the merchant's spelling.
#[derive(Clone, Debug)]
pub struct Sku(String);

impl Sku {
    pub const MAX_CHARS: usize = 64;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which equal skus are equal texts; the key in storage.
    pub fn key(&self) -> String {
        self.0.to_lowercase()
    }
}

impl PartialEq for Sku {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
impl Eq for Sku {}
impl std::hash::Hash for Sku {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}
impl PartialOrd for Sku {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Sku {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text cannot be a sku.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotASku;

impl fmt::Display for NotASku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be 1 to 64 visible characters without spaces at the ends")
    }
}
impl std::error::Error for NotASku {}

impl FromStr for Sku {
    type Err = NotASku;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let fits = !s.is_empty() && s.chars().count() <= Self::MAX_CHARS;
        if fits && s.trim() == s && !s.chars().any(char::is_control) {
            Ok(Sku(s.to_owned()))
        } else {
            Err(NotASku)
        }
    }
}

crate::text::string_type!(Sku, "Stock keeping unit: 1 to 64 characters, case ignored");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_does_not_make_a_new_sku() {
        assert_eq!("15056BL".parse::<Sku>().unwrap(), "15056bl".parse().unwrap());
    }

    #[test]
    fn empty_long_and_padded_texts_are_refused() {
        for bad in ["", " a", "a ", "a\nb", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Sku>().unwrap_err(), NotASku);
        }
    }
}
