//! Relay connections over keyset pages.

use async_graphql::OutputType;
use async_graphql::connection::{self, Edge};
use serde::Serialize;
use shared_types::Page;

use crate::error::ApiError;
use crate::paging::{self as keyset, DEFAULT_PAGE, MAX_PAGE, Paging};

/// A page of `T` with its cursors.
pub type Connection<T> = connection::Connection<String, T>;

/// The arguments `first` and `after` as every list takes them.
pub fn paging(first: Option<i32>, after: Option<String>) -> Paging {
    Paging { first: first.map(|f| f.to_string()), after }
}

/// What a page costs when its entries cost `child` each.
pub fn page_cost(first: Option<i32>, child: usize) -> usize {
    let first = first.map_or(DEFAULT_PAGE, |f| i64::from(f).clamp(1, MAX_PAGE));
    usize::try_from(first).unwrap_or(1).saturating_mul(child.max(1)).saturating_add(1)
}

/// A connection over `page`; `key` is the keyset position of an entry, `show`
/// what is told of it.
pub fn connection<T, K: Serialize, N: OutputType>(
    page: Page<T>,
    key: impl Fn(&T) -> K,
    show: impl Fn(T) -> N,
) -> Result<Connection<N>, ApiError> {
    let mut connection = Connection::new(false, page.page_info.has_next_page);
    for item in page.items {
        let cursor = keyset::cursor(&key(&item)).ok_or_else(no_cursor)?;
        connection.edges.push(Edge::new(cursor, show(item)));
    }
    Ok(connection)
}

/// A connection over a list that is complete: its cursors count.
pub fn connection_of<T, N: OutputType>(
    items: Vec<T>,
    paging: &Paging,
    show: impl Fn(T) -> N,
) -> Result<Connection<N>, ApiError> {
    let (limit, after) = (paging.limit()?, paging.position::<usize>()?);
    let (start, limit) =
        (after.map_or(0, |at| at.saturating_add(1)), usize::try_from(limit).unwrap_or(0));
    let more = items.len() > start.saturating_add(limit);
    let mut connection = Connection::new(false, more);
    for (at, item) in items.into_iter().enumerate().skip(start).take(limit) {
        let cursor = keyset::cursor(&at).ok_or_else(no_cursor)?;
        connection.edges.push(Edge::new(cursor, show(item)));
    }
    Ok(connection)
}

fn no_cursor() -> ApiError {
    ApiError::internal(anyhow::anyhow!("an entry has no cursor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_list_pages_by_count() {
        let all: Vec<i32> = (0..5).collect();
        let first = connection_of(all.clone(), &paging(Some(2), None), |n| n).unwrap();
        assert_eq!(first.edges.iter().map(|e| e.node).collect::<Vec<_>>(), [0, 1]);
        assert!(first.has_next_page);
        let after = first.edges.last().map(|e| e.cursor.clone());
        let rest = connection_of(all, &paging(Some(10), after), |n| n).unwrap();
        assert_eq!(rest.edges.iter().map(|e| e.node).collect::<Vec<_>>(), [2, 3, 4]);
        assert!(!rest.has_next_page);
    }

    #[test]
    fn pages_cost_what_they_may_hold() {
        assert_eq!(page_cost(None, 2), 101);
        assert_eq!(page_cost(Some(10_000), 1), 201);
        assert_eq!(page_cost(Some(-5), 3), 4);
    }
}
