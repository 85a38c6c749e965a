//! Documents: which are known, and reading the text of one.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context as _;
use async_graphql_parser::types::{
    DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition,
};
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::Refusal;
use super::config::{Accepted, GraphqlConfig};
use super::request::Asked;

/// About how many bytes of documents are kept.
const KEPT_BYTES: u64 = 8 << 20;
/// Brackets within brackets; the parser calls itself for each.
const MAX_NESTING: usize = 60;

/// A document that was read.
pub struct Document {
    inner: ExecutableDocument,
    pub tokens: usize,
    bytes: usize,
}

/// What was read lately, and the documents that ship with the shop.
pub struct Documents {
    known: HashMap<String, String>,
    accepted: Accepted,
    max_tokens: usize,
    read: Cache<[u8; 32], Arc<Document>>,
}

impl Documents {
    pub fn new(settings: &GraphqlConfig) -> anyhow::Result<Self> {
        let known = serde_json::from_str(contracts::graph::DOCUMENTS)
            .context("the list of known documents")?;
        let read = Cache::builder()
            .max_capacity(KEPT_BYTES)
            // A token takes about 64 bytes in the tree, beside the text it holds.
            .weigher(|_, document: &Arc<Document>| {
                let bytes = document.tokens.saturating_mul(64).saturating_add(document.bytes);
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        Ok(Documents { known, accepted: settings.documents, max_tokens: settings.max_tokens, read })
    }

    /// The text that a request means.
    pub fn text<'a>(&'a self, asked: &'a Asked) -> Result<&'a str, Refusal> {
        let by_hash = asked.hash.as_ref().map(|hash| self.known.get(hash));
        match (&asked.query, by_hash) {
            (None, Some(Some(text))) => Ok(text),
            // The name by which clients know that they are to send the text.
            (None, _) => Err(Refusal::document(
                "PERSISTED_QUERY_NOT_FOUND",
                "There is no known document of that hash.",
            )),
            (Some(text), _) => {
                let known = || self.known.contains_key(&hex(&digest(text)));
                if self.accepted == Accepted::Known && !known() {
                    let detail = "Only the documents that ship with the shop are answered here.";
                    return Err(Refusal::document("graph.document_unknown", detail));
                }
                Ok(text)
            }
        }
    }

    /// The document of a text.
    pub fn parsed(&self, text: &str) -> Result<Arc<Document>, Refusal> {
        let key = digest(text);
        if let Some(document) = self.read.get(&key) {
            return Ok(document);
        }
        let tokens = scan(text, self.max_tokens)?;
        let inner = async_graphql_parser::parse_query(text).map_err(|error| {
            let place = error
                .positions()
                .next()
                .map_or(String::new(), |at| format!(" at line {}, column {}", at.line, at.column));
            unparseable(format!("This is no GraphQL document: wrong{place}."))
        })?;
        let document = Arc::new(Document { inner, tokens, bytes: text.len() });
        self.read.insert(key, document.clone());
        Ok(document)
    }
}

impl Document {
    /// The operation that is meant.
    pub fn operation(&self, name: Option<&str>) -> Result<&OperationDefinition, Refusal> {
        let missing = |detail: &str| Refusal::document("OPERATION_RESOLUTION_FAILURE", detail);
        match (&self.inner.operations, name) {
            // Whether a name that was given is its name is the router's to say.
            (DocumentOperations::Single(one), _) => Ok(&one.node),
            (DocumentOperations::Multiple(all), Some(name)) => all
                .get(name)
                .map(|one| &one.node)
                .ok_or_else(|| missing("There is no operation of that name.")),
            (DocumentOperations::Multiple(all), None) => match all.values().next() {
                Some(one) if all.len() == 1 => Ok(&one.node),
                _ => Err(missing("Several operations: say by operationName which one.")),
            },
        }
    }

    pub fn fragment(&self, name: &str) -> Option<&FragmentDefinition> {
        self.inner.fragments.get(name).map(|one| &one.node)
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Counts the tokens of a text and how deep its brackets nest, before a parser
/// that calls itself sees it.
fn scan(text: &str, max_tokens: usize) -> Result<usize, Refusal> {
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut nesting) = (0, 0_usize, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => at += 1,
            b'#' => at += bytes[at..].iter().position(ends_line).unwrap_or(bytes.len() - at),
            b'"' => {
                tokens += 1;
                at = end_of_string(bytes, at)
                    .ok_or_else(|| unparseable("A string of the document never ends."))?;
            }
            b'{' | b'[' | b'(' => {
                (tokens, nesting, at) = (tokens + 1, nesting + 1, at + 1);
                if nesting > MAX_NESTING {
                    return Err(too_deep());
                }
            }
            b'}' | b']' | b')' => {
                (tokens, nesting, at) = (tokens + 1, nesting.saturating_sub(1), at + 1);
            }
            _ => {
                tokens += 1;
                at += word(&bytes[at..]);
            }
        }
        if tokens > max_tokens {
            let detail = format!("The document has more than {max_tokens} words and signs.");
            return Err(Refusal::document("graph.too_long", detail));
        }
    }
    Ok(tokens)
}

fn unparseable(detail: impl Into<String>) -> Refusal {
    Refusal::document("GRAPHQL_PARSE_FAILED", detail)
}

pub fn too_deep() -> Refusal {
    Refusal::document("graph.too_deep", "The document nests too deeply.")
}

/// How long the name or number at the beginning is; a sign is one byte.
fn word(bytes: &[u8]) -> usize {
    let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    bytes.iter().take_while(|b| part(b)).count().max(1)
}

fn ends_line(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Where the string that begins at `from` is over. A parser may read one that
/// never is in more than one way.
fn end_of_string(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = &bytes[from..];
    if rest.starts_with(b"\"\"\"") {
        let mut at = 3;
        while at < rest.len() {
            if rest[at..].starts_with(b"\\\"\"\"") {
                at += 4;
            } else if rest[at..].starts_with(b"\"\"\"") {
                return Some(from + at + 3);
            } else {
                at += 1;
            }
        }
        return None;
    }
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return Some(from + at + 1),
            byte if ends_line(&byte) => return None,
            _ => at += 1,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_and_comments_do_not_nest() {
        let open = "{".repeat(500);
        for text in [
            format!("{{ a(b: \"{open}\") }}"),
            format!("{{ a(b: \"\"\"{open} \\\"\"\" \" {open}\"\"\") }}"),
            format!("# {open}\n{{ a }}"),
            format!("{{ a(b: \"x\\\"{open}\") }}"),
        ] {
            assert!(scan(&text, 100).is_ok(), "{text}");
        }
        assert!(scan(&open, 10_000).is_err());
    }

    #[test]
    fn strings_without_end_and_short_comments_hide_nothing() {
        for text in ["\"", "\"\\", "\"\"\"", "\"\"\"\\\"\"\"", "{a(b:[\"\"\"x\"]){a}}", "\"a\r\""] {
            assert!(scan(text, 100).is_err(), "{text:?}");
        }
        let open = "{".repeat(500);
        assert!(scan(&format!("# \r{open}"), 10_000).is_err());
        for text in ["#", "{", "é…", "\u{0}"] {
            assert!(scan(text, 100).is_ok(), "{text:?}");
        }
        assert!(scan(&"a ".repeat(101), 100).is_err());
    }
}
