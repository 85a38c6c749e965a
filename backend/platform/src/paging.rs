//! Cursor pages: `?first=50&after=…`.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared_types::{Page, PageInfo};

use crate::error::{ApiError, Kind};

pub const DEFAULT_PAGE: i64 = 50;
pub const MAX_PAGE: i64 = 200;
const MAX_CURSOR_CHARS: usize = 2_048;

/// The paging parameters of a list. Texts, so that a wrong one is answered
/// with its name.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct Paging {
    /// Entries wanted: 1 to 200, 50 when absent.
    pub first: Option<String>,
    /// `endCursor` of the page before.
    pub after: Option<String>,
}

impl Paging {
    /// How many entries are wanted.
    pub fn limit(&self) -> Result<i64, ApiError> {
        let Some(text) = &self.first else { return Ok(DEFAULT_PAGE) };
        match text.parse::<i64>() {
            Ok(first) if (1..=MAX_PAGE).contains(&first) => Ok(first),
            _ => Err(bad("first must be a number from 1 to 200.")),
        }
    }

    /// The keyset position after which the page starts.
    pub fn position<K: DeserializeOwned>(&self) -> Result<Option<K>, ApiError> {
        let Some(cursor) = self.after.as_deref().filter(|c| !c.is_empty()) else { return Ok(None) };
        let wrong = || bad("after is not a cursor of this list.");
        if cursor.len() > MAX_CURSOR_CHARS {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        serde_json::from_slice(&bytes).map(Some).map_err(|_| wrong())
    }
}

fn bad(detail: &str) -> ApiError {
    ApiError::new(Kind::Unparseable, "request.paging", detail)
}

/// Makes a page of at most `limit` of `items`, which hold one more when another
/// page follows; `key` is the keyset position of an entry.
pub fn page<T, K: Serialize>(mut items: Vec<T>, limit: i64, key: impl Fn(&T) -> K) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(0);
    let has_next_page = items.len() > limit;
    items.truncate(limit);
    let end_cursor = items.last().and_then(|last| cursor(&key(last)));
    Page { items, page_info: PageInfo { end_cursor, has_next_page } }
}

/// The cursor of a keyset position.
pub fn cursor<K: Serialize>(key: &K) -> Option<String> {
    serde_json::to_vec(key).ok().map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_the_next_page() {
        let first = page(vec![1, 2, 3], 2, |n| *n);
        assert_eq!(first.items, [1, 2]);
        assert!(first.page_info.has_next_page);
        let paging = Paging { first: None, after: first.page_info.end_cursor };
        assert_eq!(paging.position::<i32>().unwrap(), Some(2));
    }

    #[test]
    fn odd_parameters_are_refused() {
        for first in ["0", "201", "-1", "x", ""] {
            let paging = Paging { first: Some(first.into()), after: None };
            assert_eq!(paging.limit().unwrap_err().kind, Kind::Unparseable, "{first}");
        }
        for after in ["!!!", "bm9wZQ", &"A".repeat(600)] {
            let paging = Paging { first: None, after: Some(after.into()) };
            assert!(paging.position::<i32>().is_err(), "{after}");
        }
    }
}
