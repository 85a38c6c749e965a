//! The one graph: what the subgraphs compose to. `xtask compose` writes all three
//! files from the subgraphs' SDL and the clients' documents; a test recomposes.

/// Below this path of a process's internal port its subgraphs answer, each at its
/// service's name.
pub const SUBGRAPHS_PATH: &str = "/subgraphs";

/// For the federation router: every type and field with the subgraphs that know it.
pub const SUPERGRAPH: &str = include_str!("../graphql/supergraph.graphql");

/// For clients: the schema without a word about who answers.
pub const SCHEMA: &str = include_str!("../graphql/schema.graphql");

/// The documents that ship with the shop: a JSON object of text by SHA-256 in hex.
pub const DOCUMENTS: &str = include_str!("../graphql/documents.json");
