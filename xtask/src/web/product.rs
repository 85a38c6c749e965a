//! One WebAssembly program: its sources, its build, its size.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::tools::Optimiser;
use crate::repo;

const TARGET: &str = "wasm32-unknown-unknown";

pub struct Product {
    package: String,
    /// Root of the workspace it belongs to; neither is the backend's.
    pub workspace: PathBuf,
    /// Folders and files whose contents decide whether it must be built again.
    inputs: Vec<PathBuf>,
    out: PathBuf,
    /// Folders copied beside the program (`index.html`, styles, fonts), each into
    /// the folder of `out` named behind it.
    statics: Vec<(PathBuf, &'static str)>,
}

/// The storefront's islands, one crate each.
pub fn islands(root: &Path) -> Result<Vec<Product>> {
    let workspace = root.join("web-ui/islands");
    let mut products = Vec::new();
    if !workspace.is_dir() {
        return Ok(products);
    }
    let mut folders =
        fs::read_dir(&workspace)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    folders.sort();
    for folder in folders.into_iter().filter(|folder| folder.join("Cargo.toml").is_file()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        products.push(Product {
            package: format!("island-{name}"),
            inputs: vec![
                folder,
                workspace.join("Cargo.toml"),
                workspace.join("Cargo.lock"),
                root.join("shared-types"),
                root.join("Cargo.toml"),
            ],
            workspace: workspace.clone(),
            out: root.join("web-ui/dist"),
            statics: Vec::new(),
        });
    }
    Ok(products)
}

/// The console's window, where `desktop/ui` exists.
pub fn console(root: &Path) -> Option<Product> {
    let workspace = root.join("desktop");
    // The storefront's typefaces, so that both speak with one voice.
    let fonts = root.join("web-ui/assets/fonts");
    workspace.join("ui/Cargo.toml").is_file().then(|| Product {
        package: "desktop-ui".to_owned(),
        inputs: vec![
            workspace.join("ui"),
            workspace.join("bridge"),
            fonts.clone(),
            workspace.join("Cargo.toml"),
            workspace.join("Cargo.lock"),
            root.join("shared-types"),
            root.join("Cargo.toml"),
        ],
        out: workspace.join("dist"),
        statics: vec![(workspace.join("ui/static"), ""), (fonts, "fonts")],
        workspace,
    })
}

impl Product {
    /// Name of the produced files: `<crate>.js`, `<crate>_bg.wasm`, `<crate>.start.js`.
    pub fn crate_name(&self) -> String {
        self.package.replace('-', "_")
    }

    /// A hash over every input and over what is asked for.
    pub fn fingerprint(&self, root: &Path, debug: bool) -> Result<String> {
        let mut files = Vec::new();
        for input in &self.inputs {
            if input.is_dir() {
                repo::walk(root, input, &mut files)?;
            } else if input.is_file() {
                files.push(input.strip_prefix(root)?.to_string_lossy().into_owned());
            }
        }
        files.sort();
        let mut hash = Sha256::new();
        hash.update(format!("{} {debug}", env!("CARGO_PKG_VERSION")));
        for file in files {
            hash.update(&file);
            hash.update(fs::read(root.join(&file)).with_context(|| format!("cannot read {file}"))?);
        }
        let mut text = String::new();
        for byte in hash.finalize() {
            write!(text, "{byte:02x}")?;
        }
        Ok(text)
    }

    fn stamp(&self) -> PathBuf {
        self.out.join(format!(".{}.inputs", self.crate_name()))
    }

    fn module(&self) -> PathBuf {
        self.out.join(format!("{}_bg.wasm", self.crate_name()))
    }

    /// Whether the last build had the same inputs.
    pub fn is_fresh(&self, fingerprint: &str) -> bool {
        self.module().is_file()
            && fs::read_to_string(self.stamp()).is_ok_and(|was| was == fingerprint)
    }

    pub fn mark_fresh(&self, fingerprint: &str) -> Result<()> {
        fs::write(self.stamp(), fingerprint).context("cannot note the inputs")
    }

    /// Compiles, binds, shrinks and copies; leaves nothing half-written that
    /// would count as fresh.
    pub fn build(&self, root: &Path, bindgen: &Path, optimiser: Option<&Optimiser>) -> Result<()> {
        let profile = if optimiser.is_some() { "wasm" } else { "dev" };
        println!("web: compiling {} ({profile})", self.package);
        let target_dir = repo::target_dir(root);
        let mut cargo = Command::new(repo::cargo());
        cargo.current_dir(&self.workspace).args([
            "build",
            "-p",
            &self.package,
            "--profile",
            profile,
        ]);
        cargo.args(["--target", TARGET, "--target-dir"]).arg(&target_dir);
        // Flags meant for the host would reach the module too.
        cargo.env_remove("RUSTFLAGS");
        if env::var_os("CI").is_some() {
            cargo.arg("--locked");
        }
        if !cargo.status().context("cannot start cargo")?.success() {
            bail!("{} does not compile", self.package);
        }
        let folder = if profile == "dev" { "debug" } else { profile };
        let compiled =
            target_dir.join(TARGET).join(folder).join(format!("{}.wasm", self.crate_name()));

        fs::create_dir_all(&self.out)?;
        let _ = fs::remove_file(self.stamp());
        let status = Command::new(bindgen)
            .args([
                "--target",
                "web",
                "--no-typescript",
                "--out-name",
                &self.crate_name(),
                "--out-dir",
            ])
            .args([&self.out, &compiled])
            .status()
            .context("cannot start wasm-bindgen")?;
        if !status.success() {
            bail!("wasm-bindgen failed on {}", compiled.display());
        }
        if let Some(optimiser) = optimiser {
            optimiser.shrink(&self.module())?;
        }
        // A page under a strict content security policy may not carry the two
        // lines that start the module, so they are a file.
        let name = self.crate_name();
        fs::write(
            self.out.join(format!("{name}.start.js")),
            format!("import init from \"./{name}.js\";\ninit();\n"),
        )?;
        for (folder, below) in self.statics.iter().filter(|(folder, _)| folder.is_dir()) {
            copy_tree(folder, &self.out.join(below))?;
        }
        Ok(())
    }

    /// Prints the size as it lies on disk and as a browser downloads it.
    pub fn report(&self) -> Result<()> {
        let name = self.crate_name();
        for file in [self.module(), self.out.join(format!("{name}.js"))] {
            let bytes =
                fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            println!(
                "web: {:<28} {:>8.1} kB raw {:>8.1} kB brotli",
                file.file_name().unwrap_or_default().to_string_lossy(),
                bytes.len() as f64 / 1000.0,
                compressed_length(&bytes)? as f64 / 1000.0,
            );
        }
        Ok(())
    }
}

/// Length after brotli at its highest level.
fn compressed_length(bytes: &[u8]) -> Result<usize> {
    let mut out = Vec::new();
    {
        let mut writer = brotli::CompressorWriter::new(&mut out, 64 * 1024, 11, 22);
        writer.write_all(bytes)?;
        writer.flush()?;
    }
    Ok(out.len())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let source = entry?.path();
        let target = to.join(source.file_name().unwrap_or_default());
        if source.is_dir() {
            copy_tree(&source, &target)?;
        } else {
            fs::copy(&source, &target)
                .with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}
