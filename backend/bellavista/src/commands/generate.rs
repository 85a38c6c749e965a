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
}

/// Every document as (file name, text). Builds the services, calls nobody.
pub fn documents(config: &Config) -> anyhow::Result<Vec<(String, String)>> {
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
    Ok(documents)
}

pub fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    for (name, text) in documents(config)? {
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
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        for (name, text) in documents(&config).unwrap() {
            let kept = std::fs::read_to_string(folder.join(&name)).unwrap();
            assert!(kept == text, "docs/{name} is stale: run `bellavista generate`");
        }
    }
}
