//! Files of at most 500 lines, functions of at most 70.

use super::{
    Finding, Tree,
    source::{closing_brace, line_of},
};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.rust {
        let lines = source.raw.lines().count();
        if lines > FILE_LINES {
            findings.push(Finding::new(
                &source.path,
                FILE_LINES + 1,
                format!("{lines} lines, more than {FILE_LINES}"),
                "split it by use case",
            ));
        }
        for (name, first, last) in functions(&source.code) {
            let length = last - first + 1;
            if length > FUNCTION_LINES {
                findings.push(Finding::new(
                    &source.path,
                    first,
                    format!("`{name}` has {length} lines, more than {FUNCTION_LINES}"),
                    "name its parts as functions",
                ));
            }
        }
    }
    findings
}

/// Name, first and last line of every function with a body.
fn functions(code: &str) -> Vec<(&str, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let boundary = code[..at].chars().next_back();
        if boundary.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + 3..];
        let name_length =
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let Some(open) = body_start(rest) else { continue };
        if name_length == 0 {
            continue;
        }
        if let Some(close) = closing_brace(code, at + 3 + open) {
            found.push((&rest[..name_length], line_of(code, at), line_of(code, close)));
        }
    }
    found
}

/// Offset of the body's brace; `None` for a declaration without a body.
fn body_start(signature: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (index, byte) in signature.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(index),
            b';' if depth == 0 => return None,
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tests::tree;

    #[test]
    fn long_functions_and_files_are_found() {
        let body = "    let _ = 1;\n".repeat(69);
        let long =
            format!("trait T {{ fn small(a: [u8; 2]); }}\npub async fn big() -> u8 {{\n{body}}}\n");
        let found = check(&tree(&[("a/src/a.rs", &long), ("a/src/b.rs", &"\n".repeat(501))]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].line, found[1].line), (2, 501));
        assert!(found[0].wrong.starts_with("`big` has 71 lines"));
        let fits = format!("fn fits() {{\n{}}}\n", "    let _ = 1;\n".repeat(68));
        assert!(check(&tree(&[("a/src/a.rs", &fits)])).is_empty());
    }
}
