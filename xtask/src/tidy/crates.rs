//! Arrows between crates, as their manifests state them.

use super::{Finding, Tree};

const OWN: [&str; 3] = ["platform", "contracts", "shared-types"];

/// Which of our crates the package in `folder` may name; `None`: any.
fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    match folder {
        "backend/bellavista" => None,
        "shared-types" | "xtask" | "xtask/gen" => Some(&[]),
        "backend/platform" => Some(&["shared-types"]),
        "backend/contracts" => Some(&["platform", "shared-types"]),
        "web-ui" | "proofs" | "e2e" => Some(&["shared-types", "platform"]),
        // It runs the pure cores of these, and nothing else of them.
        "simulation" => Some(&["inventory", "orders", "payments", "shared-types"]),
        _ if folder.starts_with("backend/services/") => Some(&OWN),
        _ => Some(&["shared-types"]),
    }
}

pub fn check(tree: &Tree) -> Vec<Finding> {
    let services = tree.services();
    let mut findings = Vec::new();
    for manifest in &tree.texts {
        let Some(folder) = manifest.path.strip_suffix("/Cargo.toml") else { continue };
        let Some(allowed) = allowed(folder) else { continue };
        let mut in_dependencies = false;
        for (index, line) in manifest.text.lines().enumerate() {
            let line = line.trim();
            if let Some(section) = line.strip_prefix('[') {
                in_dependencies =
                    section.contains("dependencies") && !section.contains("workspace.");
                continue;
            }
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            let ours = services.contains(&name) || OWN.contains(&name) || name == "web-ui";
            if in_dependencies && ours && !allowed.contains(&name) {
                findings.push(Finding::new(
                    &manifest.path,
                    index + 1,
                    format!("{folder} may not depend on {name}"),
                    "speak through contracts (events, client traits) or the public interface; only the binary knows every service",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tests::tree;

    #[test]
    fn a_service_may_not_name_another_and_platform_no_contract() {
        let found = check(&tree(&[
            (
                "backend/services/orders/Cargo.toml",
                "[dependencies]\nplatform = { workspace = true }\ninventory.workspace = true\n",
            ),
            ("backend/services/inventory/Cargo.toml", "[package]\nname = \"inventory\"\n"),
            (
                "backend/platform/Cargo.toml",
                "[dev-dependencies]\ncontracts = { workspace = true }\n",
            ),
            ("backend/bellavista/Cargo.toml", "[dependencies]\ninventory = { workspace = true }\n"),
        ]));
        let places: Vec<_> = found.iter().map(|f| (f.path.as_str(), f.line)).collect();
        assert_eq!(
            places,
            [("backend/services/orders/Cargo.toml", 3), ("backend/platform/Cargo.toml", 2)]
        );
    }
}
