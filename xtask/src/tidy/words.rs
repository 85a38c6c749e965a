//! Words that say a thing is not finished, and tests that do not run.

use super::{Finding, Tree, source::has_word};

/// Put together here so that the rule does not find itself.
const NOTES: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];
const MACROS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
const COMMENTED: [&str; 9] = ["sql", "sh", "toml", "yml", "yaml", "js", "css", "proto", "rego"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &tree.rust {
        notes(&source.path, &source.comments, &mut findings);
        for (number, line) in source.lines() {
            for name in MACROS.iter().filter(|name| calls(line, name)) {
                let mend = "finish it, or return an error that says what is not possible";
                findings.push(Finding::new(&source.path, number, format!("stray `{name}`"), mend));
            }
            if line.contains("#[ignore") {
                let mend =
                    "a test runs or does not exist; foreign engines have a suite of their own";
                findings.push(Finding::new(&source.path, number, "an ignored test", mend));
            }
        }
    }
    for text in &tree.texts {
        let kind = text.path.rsplit('.').next().unwrap_or_default();
        if COMMENTED.contains(&kind) || text.path == "bv" {
            notes(&text.path, &text.text, &mut findings);
        }
    }
    findings
}

fn calls(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn notes(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (index, line) in text.lines().enumerate() {
        for note in NOTES.iter().filter(|note| has_word(line, note)) {
            let mend = "do it now, or drop the note";
            findings.push(Finding::new(path, index + 1, format!("stray {note}"), mend));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tests::tree;

    #[test]
    fn notes_macros_and_ignored_tests_are_found() {
        let note = concat!("TO", "DO");
        let rust =
            format!("// {note} later\nfn f() {{ todo!() }}\n#[ignore]\nlet s = \"{note}\";\n");
        let found = check(&tree(&[("a/src/a.rs", &rust), ("m/1.sql", &format!("-- {note}\n"))]));
        let lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [1, 2, 3, 1], "{found:?}");
    }
}
