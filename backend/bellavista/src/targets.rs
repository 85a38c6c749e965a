//! What this binary can run: one table.

use crate::assembly::{self, Assembly};

/// What a target cannot run without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Its own role and schema.
    Database,
    /// The event log.
    Events,
    /// Another service over gRPC, unless it runs in the same process.
    Grpc(&'static str),
    /// Another service over HTTP, unless it runs in the same process.
    Http(&'static str),
}

/// A row of the table.
pub struct Target {
    /// Also the folder, the crate, the schema and the configuration section.
    pub name: &'static str,
    pub about: &'static str,
    pub needs: &'static [Need],
    /// Part of `all`.
    pub in_all: bool,
    /// Adds the target to what runs; called in the order of the table.
    pub build: fn(&mut Assembly) -> anyhow::Result<()>,
}

use Need::{Database, Events, Grpc, Http};

/// In the order in which they are built: whoever is called comes first.
pub const TARGETS: &[Target] = &[
    Target {
        name: "identity",
        about: "accounts, sessions, tokens, public keys",
        needs: &[Database, Events],
        in_all: true,
        build: assembly::identity,
    },
    Target {
        name: "inventory",
        about: "stock, holds, ledger",
        needs: &[Database, Events],
        in_all: true,
        build: assembly::inventory,
    },
    Target {
        name: "catalog",
        about: "products, variants, categories, prices",
        needs: &[Database, Events, Grpc("inventory")],
        in_all: true,
        build: assembly::catalog,
    },
    Target {
        name: "cart",
        about: "carts of guests and accounts",
        needs: &[Database, Events, Grpc("catalog")],
        in_all: true,
        build: assembly::cart,
    },
    Target {
        name: "payments",
        about: "captures and refunds through providers",
        needs: &[Database, Events],
        in_all: true,
        build: assembly::payments,
    },
    Target {
        name: "orders",
        about: "orders and the saga that fulfils them",
        needs: &[
            Database,
            Events,
            Grpc("inventory"),
            Grpc("payments"),
            Grpc("catalog"),
            Grpc("cart"),
        ],
        in_all: true,
        build: assembly::orders,
    },
    Target {
        name: "notifications",
        about: "live channels for shoppers and staff",
        needs: &[Database, Events],
        in_all: true,
        build: assembly::notifications,
    },
    Target {
        name: "operations",
        about: "dead letters, redrives, the search over the audit log",
        needs: &[Database, Events],
        in_all: true,
        build: assembly::operations,
    },
    Target {
        name: "payment-simulator",
        about: "a payment gateway to try things with; loopback only",
        needs: &[Database],
        in_all: false,
        build: assembly::payment_simulator,
    },
    Target {
        name: "gateway",
        about: "the public port: REST, sockets, storefront",
        needs: &[
            Http("identity"),
            Http("inventory"),
            Http("catalog"),
            Http("cart"),
            Http("payments"),
            Http("orders"),
            Http("notifications"),
            Http("operations"),
        ],
        in_all: true,
        build: assembly::gateway,
    },
];

impl Target {
    pub fn needs_database(&self) -> bool {
        self.needs.contains(&Database)
    }

    pub fn needs_events(&self) -> bool {
        self.needs.contains(&Events)
    }

    /// Schema and role name: the target's name with underscores.
    pub fn schema(&self) -> String {
        self.name.replace('-', "_")
    }
}

/// Turns `all` or `orders,inventory` into rows, in table order.
pub fn select(wanted: &str) -> anyhow::Result<Vec<&'static Target>> {
    let mut chosen = Vec::new();
    for name in wanted.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        let known = name == "all" || TARGETS.iter().any(|t| t.name == name);
        if !known {
            let names: Vec<_> = TARGETS.iter().map(|t| t.name).collect();
            anyhow::bail!("there is no target {name:?}; targets: all, {}", names.join(", "));
        }
        chosen.push(name);
    }
    anyhow::ensure!(!chosen.is_empty(), "name at least one target, such as all");
    let wanted = |t: &&Target| chosen.contains(&t.name) || (t.in_all && chosen.contains(&"all"));
    Ok(TARGETS.iter().filter(wanted).collect())
}

/// Every schema that exists when everything runs.
pub fn schemas() -> Vec<String> {
    TARGETS.iter().filter(|t| t.needs_database()).map(Target::schema).collect()
}

/// Every consumer, which is every target that reads events.
pub fn consumers() -> Vec<&'static str> {
    TARGETS.iter().filter(|t| t.needs_events()).map(|t| t.name).collect()
}

/// The table as a document.
pub fn document() -> String {
    let mut text = String::from(
        "# Targets\n\nMade by `bellavista generate`; do not edit.\n\n\
         | target | what | needs | in `all` |\n|---|---|---|---|\n",
    );
    for target in TARGETS {
        let needs: Vec<String> = target
            .needs
            .iter()
            .map(|need| match need {
                Database => "database".to_owned(),
                Events => "events".to_owned(),
                Grpc(peer) => format!("gRPC {peer}"),
                Http(peer) => format!("HTTP {peer}"),
            })
            .collect();
        let all = if target.in_all { "yes" } else { "no" };
        text.push_str(&format!(
            "| `{}` | {} | {} | {all} |\n",
            target.name,
            target.about,
            needs.join(", ")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_called_is_built_before_the_caller() {
        let place = |name: &str| TARGETS.iter().position(|t| t.name == name);
        for (index, target) in TARGETS.iter().enumerate() {
            for need in target.needs {
                if let Grpc(peer) | Http(peer) = need {
                    assert!(place(peer).unwrap() < index, "{} needs {peer}", target.name);
                }
            }
        }
    }

    #[test]
    fn all_leaves_the_simulator_out() {
        let names: Vec<_> = select("all").unwrap().iter().map(|t| t.name).collect();
        assert!(names.contains(&"orders") && !names.contains(&"payment-simulator"));
        let names: Vec<_> =
            select("all,payment-simulator").unwrap().iter().map(|t| t.name).collect();
        assert_eq!(names.len(), TARGETS.len());
    }

    #[test]
    fn an_unknown_target_is_refused_with_the_known_ones() {
        let text = select("order").err().unwrap().to_string();
        assert!(text.contains("\"order\"") && text.contains("orders"), "{text}");
        assert!(select("").is_err());
    }
}
