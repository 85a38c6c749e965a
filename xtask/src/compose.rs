//! One graph of the subgraphs' schemas.
//!
//! `backend/contracts/graphql/<service>.graphql` are written from the code by
//! `bellavista generate`. This puts them together: `supergraph.graphql` for the
//! federation router, `schema.graphql` for clients, and `documents.json`, the
//! documents that ship with the shop by their hash. Composition is npm's pinned
//! `@theguild/federation-composition`; nothing of it runs in the shop.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::repo;

/// Where the schemas lie, and what is made of them.
const SCHEMAS: &str = "backend/contracts/graphql";
/// The composer, its package and its lock file.
const COMPOSER: &str = "backend/engines/graphql";
/// Documents of the clients that ship with the shop.
const DOCUMENTS: &str = "graph-client/documents";
const MADE: [&str; 3] = ["documents.json", "schema.graphql", "supergraph.graphql"];

#[derive(clap::Args)]
pub struct Options {
    /// Change nothing; fail when a file is not what it should be.
    #[arg(long)]
    check: bool,
}

pub fn run(options: &Options) -> Result<()> {
    let root = repo::root();
    let stale = stale(&root)?;
    if options.check {
        return refuse(&stale);
    }
    for (name, text) in &stale {
        let path = root.join(SCHEMAS).join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("compose: {SCHEMAS}/{name} is new");
    }
    if stale.is_empty() {
        println!("compose: everything is as it should be");
    }
    Ok(())
}

fn refuse(stale: &BTreeMap<&'static str, String>) -> Result<()> {
    if stale.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = stale.keys().copied().collect();
    bail!("stale in {SCHEMAS}: {}; run `cargo xtask compose`", names.join(", "))
}

/// The files that are not what composition gives, with what they should be.
fn stale(root: &Path) -> Result<BTreeMap<&'static str, String>> {
    let schemas = root.join(SCHEMAS);
    let folder = Scratch::new()?;
    compose(root, &schemas, &folder.path)?;
    fs::write(folder.path.join("documents.json"), documents(&root.join(DOCUMENTS))?)?;
    let mut stale = BTreeMap::new();
    for name in MADE {
        let text = fs::read_to_string(folder.path.join(name))
            .with_context(|| format!("composition made no {name}"))?;
        if fs::read_to_string(schemas.join(name)).ok().as_deref() != Some(text.as_str()) {
            stale.insert(name, text);
        }
    }
    Ok(stale)
}

/// Writes `supergraph.graphql` and `schema.graphql` into `into`.
fn compose(root: &Path, schemas: &Path, into: &Path) -> Result<()> {
    let tools = repo::cache()?.join("tools");
    fs::create_dir_all(&tools)?;
    // Two at once would install into one folder, and write the script while it is read.
    let turn = fs::File::create(tools.join("composition.lock")).context("taking a turn")?;
    turn.lock().context("taking a turn")?;
    let composer = composer(root, &tools)?;
    let output = Command::new("node")
        .current_dir(&composer)
        .arg("compose.mjs")
        .args([schemas, into])
        .stdin(Stdio::null())
        .output()
        .context("cannot start node")?;
    if !output.status.success() {
        bail!("the schemas do not compose:\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// A folder with the composer and its packages, installed once per lock file.
fn composer(root: &Path, tools: &Path) -> Result<PathBuf> {
    let source = root.join(COMPOSER);
    let lock = fs::read(source.join("package-lock.json")).context("the composer's lock file")?;
    let hash = hex(&Sha256::digest(&lock));
    let folder = tools.join(format!("composition-{}", &hash[..12]));
    if !folder.join("node_modules/.package-lock.json").is_file() {
        if Command::new("npm").arg("--version").output().is_err() {
            bail!("npm is missing, and composition comes from npm: apt-get install npm");
        }
        println!("compose: installing the composer into {}", folder.display());
        fs::create_dir_all(&folder)?;
        for file in ["package.json", "package-lock.json"] {
            fs::copy(source.join(file), folder.join(file))?;
        }
        let status = Command::new("npm")
            .current_dir(&folder)
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .context("cannot start npm")?;
        if !status.success() {
            bail!("npm could not install the composer; its message stands above");
        }
    }
    fs::copy(source.join("compose.mjs"), folder.join("compose.mjs"))?;
    Ok(folder)
}

/// The clients' documents by their hash, as JSON.
fn documents(folder: &Path) -> Result<String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).context("the clients' documents")? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "graphql") {
            let text = fs::read_to_string(&path)?;
            all.insert(hex(&Sha256::digest(text.as_bytes())), text);
        }
    }
    let lines: Vec<String> =
        all.iter().map(|(hash, text)| format!("  \"{hash}\": {}", quoted(text))).collect();
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
}

/// A text as a JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A folder that goes away.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> Result<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bv-compose-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays in the temporary folder is the system's to remove.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_in_is_what_the_subgraphs_compose_to() {
        refuse(&stale(&repo::root()).expect("composition works")).expect("nothing is stale");
    }

    #[test]
    fn schemas_that_do_not_fit_are_refused_with_place_and_reason() {
        let head = "extend schema @link(url: \"https://specs.apollo.dev/federation/v2.5\", \
                    import: [\"@key\"])\n";
        let composed = |a: &str, b: &str| {
            let (from, into) = (Scratch::new().unwrap(), Scratch::new().unwrap());
            fs::write(from.path.join("a.graphql"), format!("{head}{a}")).unwrap();
            fs::write(from.path.join("b.graphql"), format!("{head}{b}")).unwrap();
            compose(&repo::root(), &from.path, &into.path).map_err(|error| error.to_string())
        };
        let good = "type Query { a: Int } type P @key(fields: \"id\") { id: ID! x: Int }";
        let other = "type Query { b: Int } type P @key(fields: \"id\") { id: ID! y: Int }";
        composed(good, other).unwrap();
        let twice = composed(good, &other.replace("y: Int", "x: Int")).unwrap_err();
        assert!(twice.contains("INVALID_FIELD_SHARING") && twice.contains("P.x"), "{twice}");
        let broken = composed(good, "type Query { b").unwrap_err();
        assert!(broken.contains("b.graphql:2:15: Syntax Error"), "{broken}");
    }

    #[test]
    fn a_document_is_quoted_as_json_has_it() {
        assert_eq!(quoted("a\n\"b\"\\\u{1}é"), "\"a\\n\\\"b\\\"\\\\\\u0001é\"");
    }
}
