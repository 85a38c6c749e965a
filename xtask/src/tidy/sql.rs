//! A service reads and writes its own schema only.

use super::{Finding, Tree};

/// Behind these a table is named.
const BEFORE_TABLE: [&str; 7] = ["from", "join", "into", "update", "references", "table", "on"];

pub fn check(tree: &Tree) -> Vec<Finding> {
    let services = tree.services();
    let mut findings = Vec::new();
    for source in &tree.rust {
        let Some(owner) = service_of(&source.path, "backend/services/") else { continue };
        for literal in &source.literals {
            for (offset, schema) in foreign_tables(&literal.text, owner, &services) {
                findings.push(foreign(&source.path, literal.line + offset, owner, schema));
            }
        }
    }
    for text in tree.texts.iter().filter(|text| text.path.ends_with(".sql")) {
        let Some(owner) = service_of(&text.path, "migrations/") else { continue };
        for (offset, schema) in foreign_tables(&text.text, owner, &services) {
            findings.push(foreign(&text.path, offset + 1, owner, schema));
        }
        findings.extend(opening(&text.path, &text.text));
    }
    findings
}

fn service_of<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    path.strip_prefix(folder)?.split_once('/').map(|(service, _)| service)
}

fn foreign(path: &str, line: usize, owner: &str, schema: &str) -> Finding {
    Finding::new(
        path,
        line,
        format!("SQL of {owner} names the schema {schema}"),
        "ask that service, or keep a projection of its events",
    )
}

/// Line offset and schema of every table of another service.
fn foreign_tables<'a>(sql: &str, owner: &str, services: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    let mut expects_table = false;
    for (offset, line) in sql.lines().enumerate() {
        let line = line.split("--").next().unwrap_or_default();
        for word in line.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',')) {
            if word.is_empty() {
                continue;
            }
            let plain = word.to_lowercase().replace('"', "");
            if expects_table
                && let Some((schema, _)) = plain.split_once('.')
                && let Some(service) = services.iter().find(|service| **service == schema)
                && schema != owner
            {
                found.push((offset, *service));
            }
            expects_table = BEFORE_TABLE.contains(&plain.as_str());
        }
    }
    found
}

/// `20260101120000_name.sql`, opening with a sentence.
fn opening(path: &str, text: &str) -> Option<Finding> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stamp = file.split('_').next().unwrap_or_default();
    if stamp.len() < 8 || !stamp.bytes().all(|byte| byte.is_ascii_digit()) {
        let mend = "name it <yyyymmddhhmmss>_<what>.sql";
        return Some(Finding::new(path, 1, "a migration without a timestamp", mend));
    }
    let first = text.lines().next().unwrap_or_default();
    let sentence =
        first.strip_prefix("-- ").is_some_and(|words| words.split_whitespace().count() >= 4);
    (!sentence).then(|| {
        Finding::new(
            path,
            1,
            "a migration that does not say why",
            "open with `-- ` and one sentence: why, and whether old code survives it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tests::tree;

    const CRATES: [(&str, &str); 2] =
        [("backend/services/orders/Cargo.toml", ""), ("backend/services/inventory/Cargo.toml", "")];

    #[test]
    fn tables_of_other_services_are_out_of_reach() {
        let rust = "let a = \"SELECT 1\n FROM inventory.stock\";\nlet b = \"select orders.x from orders\";\
                    \nlet c = \"inventory.stale\";";
        let mut files = vec![("backend/services/orders/src/store.rs", rust)];
        files.extend(CRATES);
        let found = check(&tree(&files));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].line, 2);
    }

    #[test]
    fn migrations_say_why_and_stay_at_home() {
        let mut files = vec![
            (
                "migrations/orders/20261101000000_a.sql",
                "CREATE TABLE a (x int REFERENCES inventory.stock(x));",
            ),
            (
                "migrations/orders/20261101000001_b.sql",
                "-- Orders need a number; old code ignores it.\nSELECT 1;",
            ),
            ("migrations/orders/b.sql", "-- Orders need a number; old code ignores it."),
        ];
        files.extend(CRATES);
        let found = check(&tree(&files));
        let wrong: Vec<&str> = found.iter().map(|finding| finding.wrong.as_str()).collect();
        assert_eq!(
            wrong,
            [
                "SQL of orders names the schema inventory",
                "a migration that does not say why",
                "a migration without a timestamp",
            ]
        );
    }
}
