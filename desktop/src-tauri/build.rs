//! Declares the shell's commands (so that the capability file can name them) and
//! refuses to build a console without its window.

use std::{path::Path, process::ExitCode};

const COMMANDS: &[&str] = &["session", "sign_in", "sign_out", "list_orders", "reconnect"];

fn main() -> ExitCode {
    match prepare() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            println!("cargo:error={why}");
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> Result<(), String> {
    let dist = Path::new("../dist");
    println!("cargo:rerun-if-changed=../dist");
    for file in ["index.html", "desktop_ui.js", "desktop_ui_bg.wasm"] {
        if !dist.join(file).is_file() {
            return Err(format!(
                "desktop/dist/{file} is missing: the window is built first, by `./bv desktop` \
                 or `cargo run -p xtask -- web desktop` (see desktop/README.md)"
            ));
        }
    }
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest))
        .map_err(|why| format!("{why:#}").replace('\n', " "))
}
