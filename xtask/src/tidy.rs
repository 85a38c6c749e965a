//! The architecture, held by a test.
//!
//! Each rule is a function from the sources to findings, in a module of its
//! own; a finding names file and line, what is wrong and how to mend it. The
//! rules read text, not syntax trees: `source` blanks comments and strings, the
//! rest is words and braces. That is enough, and compiles in seconds.

mod arrows;
mod crates;
mod dead;
mod docs;
mod sizes;
mod source;
mod sql;
mod words;

use std::{fmt, fs, path::Path};

use anyhow::{Context, Result};

use crate::repo;
use source::Source;

/// One place to mend.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    path: String,
    /// Counted from 1; 0 when the whole file is meant.
    line: usize,
    wrong: String,
    mend: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {} – {}", self.path, self.line.max(1), self.wrong, self.mend)
    }
}

impl Finding {
    fn new(path: &str, line: usize, wrong: impl Into<String>, mend: &'static str) -> Self {
        Self { path: path.to_owned(), line, wrong: wrong.into(), mend }
    }
}

/// A text file that is not Rust.
pub struct Text {
    pub path: String,
    pub text: String,
}

/// All that the rules look at.
pub struct Tree {
    /// Every path of the repository, relative to its root.
    pub paths: Vec<String>,
    pub rust: Vec<Source>,
    pub texts: Vec<Text>,
}

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let paths = repo::files(root)?;
        let mut rust = Vec::new();
        let mut texts = Vec::new();
        for path in &paths {
            let bytes = fs::read(root.join(path)).with_context(|| format!("cannot read {path}"))?;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            if path.ends_with(".rs") {
                if !is_generated(path) {
                    rust.push(Source::parse(path, &text));
                }
            } else {
                texts.push(Text { path: path.clone(), text });
            }
        }
        Ok(Self { paths, rust, texts })
    }

    /// Names of the folders in `backend/services`.
    fn services(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .paths
            .iter()
            .filter_map(|path| path.strip_prefix("backend/services/")?.split_once('/'))
            .filter(|(_, rest)| *rest == "Cargo.toml")
            .map(|(name, _)| name)
            .collect();
        names.dedup();
        names
    }
}

/// Generated code has its own guard: it must be what the generator writes.
fn is_generated(path: &str) -> bool {
    path.contains("/generated/")
}

/// Applies every rule to the tree at `root`.
pub fn check(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root)?;
    let mut findings = Vec::new();
    for rule in [
        crates::check,
        arrows::check,
        sizes::check,
        words::check,
        sql::check,
        docs::check,
        dead::check,
    ] {
        findings.extend(rule(&tree));
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::{Source, Text, Tree};

    /// A tree of the given files, for the tests of the rules.
    pub fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree { paths: Vec::new(), rust: Vec::new(), texts: Vec::new() };
        for (path, text) in files {
            tree.paths.push((*path).to_owned());
            if path.ends_with(".rs") {
                tree.rust.push(Source::parse(path, text));
            } else {
                tree.texts.push(Text { path: (*path).to_owned(), text: (*text).to_owned() });
            }
        }
        tree
    }

    #[test]
    fn the_repository_is_tidy() {
        let findings = super::check(&crate::repo::root()).expect("the tree can be read");
        let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(list.is_empty(), "{} places to mend:\n{}", list.len(), list.join("\n"));
    }
}
