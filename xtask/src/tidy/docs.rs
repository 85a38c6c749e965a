//! Every crate introduces itself.

use super::{Finding, Tree};

/// A service's front page: what, owns, invariants, where to start.
const FRONT_PAGE_LINES: usize = 5;

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in tree.services() {
        let readme = format!("backend/services/{service}/README.md");
        if !tree.paths.contains(&readme) {
            let mend = "write one screen: purpose, owns, publishes, consumes, calls, invariants";
            findings.push(Finding::new(&readme, 0, format!("{service} has no README"), mend));
        }
    }
    for source in &tree.rust {
        let is_root = source.path.ends_with("/src/lib.rs") || source.path.ends_with("/src/main.rs");
        if !is_root {
            continue;
        }
        let needed =
            if source.path.starts_with("backend/services/") { FRONT_PAGE_LINES } else { 1 };
        let written = source.raw.lines().take_while(|line| line.starts_with("//!")).count();
        if written < needed {
            findings.push(Finding::new(
                &source.path,
                1,
                format!("{written} lines of introduction, fewer than {needed}"),
                "open with `//!`: what it is, what it owns, its invariants, where to start reading",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tests::tree;

    #[test]
    fn a_crate_without_introduction_is_found() {
        let found = check(&tree(&[
            ("backend/services/orders/Cargo.toml", ""),
            ("backend/services/orders/src/lib.rs", "//! Orders.\n"),
            ("proofs/src/main.rs", "fn main() {}\n"),
            ("xtask/src/main.rs", "//! Chores.\n"),
        ]));
        let paths: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "backend/services/orders/README.md",
                "backend/services/orders/src/lib.rs",
                "proofs/src/main.rs"
            ]
        );
    }
}
