//! `[gateway.graphql]`.

use std::time::Duration;

use serde::Deserialize;

/// What one document may ask for, and how long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphqlConfig {
    /// Bytes of a request.
    pub max_body_bytes: usize,
    /// Words and signs of a document.
    pub max_tokens: usize,
    /// Levels of fields below one another.
    pub max_depth: usize,
    /// Fields, those of lists counted for every entry that the list may have.
    pub max_complexity: u64,
    pub max_aliases: usize,
    pub max_directives: usize,
    pub max_root_fields: usize,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// Bytes of an answer.
    pub max_answer_bytes: usize,
    /// Whether the schema may be asked for. In demo mode it always may.
    pub introspection: bool,
    pub documents: Accepted,
}

/// Which documents are executed.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Accepted {
    /// Every one within the limits.
    Any,
    /// Only those that ship with the shop.
    Known,
}

impl GraphqlConfig {
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}
