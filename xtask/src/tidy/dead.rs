//! Rust files that no crate compiles.

use std::collections::HashSet;

use super::{Finding, Tree, source::Source};

pub fn check(tree: &Tree) -> Vec<Finding> {
    let known: HashSet<&str> = tree.paths.iter().map(String::as_str).collect();
    let mut alive: HashSet<String> = HashSet::new();
    let mut open: Vec<String> =
        tree.paths.iter().filter(|path| is_root(path, &known)).cloned().collect();
    while let Some(path) = open.pop() {
        if !alive.insert(path.clone()) {
            continue;
        }
        if let Some(source) = tree.rust.iter().find(|source| source.path == path) {
            open.extend(
                children(source).into_iter().filter(|child| known.contains(child.as_str())),
            );
        }
    }
    let mut findings = Vec::new();
    for source in &tree.rust {
        if source.path.ends_with("/mod.rs") {
            let mend = "name it after its folder: foo.rs beside foo/";
            findings.push(Finding::new(&source.path, 0, "a mod.rs", mend));
        }
        if !alive.contains(&source.path) {
            let mend = "declare it with `mod`, or delete it";
            findings.push(Finding::new(&source.path, 0, "no module tree reaches this file", mend));
        }
    }
    findings
}

/// Whether cargo starts compiling at this file.
fn is_root(path: &str, known: &HashSet<&str>) -> bool {
    let Some((folder, file)) = path.rsplit_once('/') else { return false };
    let package = |folder: &str| known.contains(format!("{folder}/Cargo.toml").as_str());
    if file == "build.rs" {
        return package(folder);
    }
    if let Some(base) = folder.strip_suffix("/src")
        && matches!(file, "lib.rs" | "main.rs")
    {
        return package(base);
    }
    for kind in ["/src/bin", "/tests", "/benches", "/examples"] {
        if folder.strip_suffix(kind).is_some_and(package) && file.ends_with(".rs") {
            return true;
        }
        let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
        if file == "main.rs" && above.strip_suffix(kind).is_some_and(package) {
            return true;
        }
    }
    false
}

/// The files that a file's `mod`, `#[path]` and `include!` may mean.
fn children(source: &Source) -> Vec<String> {
    let (folder, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let stem = file.strip_suffix(".rs").unwrap_or(file);
    let is_crate_root = matches!(stem, "lib" | "main" | "mod" | "build")
        || ["/tests", "/benches", "/examples", "/src/bin"]
            .iter()
            .any(|kind| folder.ends_with(kind));
    let base = if is_crate_root { folder.to_owned() } else { format!("{folder}/{stem}") };

    let mut found = Vec::new();
    let mut inline = vec![base.clone()];
    for (_, line) in source.lines() {
        let Some(rest) = module_name(line) else { continue };
        if let Some(name) = rest.strip_suffix(';') {
            for place in &inline {
                found.push(format!("{place}/{name}.rs"));
                found.push(format!("{place}/{name}/mod.rs"));
            }
        } else if let Some(name) = rest.split([' ', '{']).next() {
            inline.push(format!("{base}/{name}"));
        }
    }
    // `#[path = "…"]` and `include!("…")` name files relative to this one.
    let named = source.literals.iter().filter(|literal| literal.text.ends_with(".rs"));
    found.extend(named.map(|literal| resolve(folder, &literal.text)));
    found
}

/// What stands behind `mod` on a line: `name;` or `name {`.
fn module_name(line: &str) -> Option<&str> {
    let line = line.trim();
    let rest = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
        Some(rest) => rest.trim_start(),
        None => line,
    };
    rest.strip_prefix("mod ").map(str::trim)
}

fn resolve(folder: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in relative.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tests::tree;

    #[test]
    fn a_file_without_a_mod_line_is_dead() {
        let found = check(&tree(&[
            ("a/Cargo.toml", ""),
            ("a/src/lib.rs", "pub mod one;\n#[path = \"odd/two.rs\"]\npub(crate) mod two;\n"),
            ("a/src/one.rs", "mod inner;\nmod here {\n    mod deep;\n}\n"),
            ("a/src/one/inner.rs", ""),
            ("a/src/one/here/deep.rs", ""),
            ("a/src/odd/two.rs", ""),
            ("a/src/gone.rs", ""),
            ("a/tests/it/main.rs", "mod case;\n"),
            ("a/tests/it/case.rs", ""),
        ]));
        let paths: Vec<&str> = found.iter().map(|finding| finding.path.as_str()).collect();
        assert_eq!(paths, ["a/src/gone.rs"]);
    }

    #[test]
    fn modules_are_named_after_their_file() {
        let found = check(&tree(&[
            ("a/Cargo.toml", ""),
            ("a/src/main.rs", "mod x;\n"),
            ("a/src/x/mod.rs", ""),
        ]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].wrong, "a mod.rs");
    }
}
