//! `bellavista generate`: the documents that are made from the code.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::Context as _;
use platform::config::Config;
use platform::lifecycle::Lifecycle;
use sqlx::postgres::PgConnectOptions;

use crate::assembly::{Assembly, mounted};
use crate::{api_docs, targets};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the documents.
    #[arg(long, default_value = "docs")]
    pub into: PathBuf,
    /// The folder of the schemas that the graph is composed of.
    #[arg(long, default_value = "backend/contracts/graphql")]
    pub graph: PathBuf,
}

/// What the code says of itself, as (file name, text).
pub struct Documents {
    pub docs: Vec<(String, String)>,
    /// One schema per subgraph.
    pub graph: Vec<(String, String)>,
}

/// Every document. Builds the services, calls nobody.
pub fn documents(config: &Config) -> anyhow::Result<Documents> {
    let databases: HashMap<String, PgConnectOptions> = targets::schemas()
        .into_iter()
        .map(|schema| (schema, PgConnectOptions::new_without_pgpass()))
        .collect();
    let mut assembly = Assembly::new(config.clone(), Lifecycle::new(), databases);
    for target in targets::select("all")?.into_iter().filter(|t| t.name != "gateway") {
        (target.build)(&mut assembly).with_context(|| format!("building {}", target.name))?;
    }
    let parts = assembly.services.iter().map(|s| mounted(s).1).collect();
    let mut documents = vec![
        ("openapi.json".to_owned(), api_docs::text(&api_docs::merge(parts))?),
        ("targets.md".to_owned(), targets::document()),
    ];
    documents.extend(contracts::documents::all());
    let subgraphs = assembly.services.iter().filter_map(|s| s.graph.as_ref());
    let graph = subgraphs.map(|g| (format!("{}.graphql", g.name), g.sdl.clone())).collect();
    Ok(Documents { docs: documents, graph })
}

pub fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let Documents { docs, graph } = documents(config)?;
    for (name, text) in graph {
        let path = args.graph.join(&name);
        std::fs::create_dir_all(&args.graph).with_context(|| args.graph.display().to_string())?;
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    for (name, text) in docs {
        let path = args.into.join(&name);
        if let Ok(kept) = std::fs::read_to_string(&path) {
            let broken = contracts::documents::breaks(&name, &kept);
            anyhow::ensure!(
                broken.is_empty(),
                "{name}: {}; publish a new version of the event beside this one",
                broken.join("; ")
            );
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_checked_in_documents_are_what_the_code_says() {
        let home = tempfile::tempdir().unwrap();
        let flags = crate::settings::Flags { home: Some(home.path().into()), ..Default::default() };
        let config = crate::settings::load(&flags).unwrap();
        let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let Documents { docs, graph } = documents(&config).unwrap();
        let (into, schemas) = (here.join("../../docs"), here.join("../contracts/graphql"));
        let kept = docs.into_iter().map(|d| (&into, d));
        for (folder, (name, text)) in kept.chain(graph.into_iter().map(|d| (&schemas, d))) {
            let kept = std::fs::read_to_string(folder.join(&name)).unwrap();
            assert!(kept == text, "{name} is stale: run `bellavista generate`");
        }
    }
}
