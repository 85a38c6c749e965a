//! Declares the shell's commands (so that the capability file can name them) and
//! refuses to build a console without its window.

use std::path::Path;

const COMMANDS: &[&str] = &["session", "sign_in", "sign_out", "list_orders", "reconnect"];

fn main() {
    let dist = Path::new("../dist");
    println!("cargo:rerun-if-changed=../dist");
    for file in ["index.html", "desktop_ui.js", "desktop_ui_bg.wasm"] {
        if !dist.join(file).is_file() {
            println!(
                "cargo:error=desktop/dist/{file} is missing: the window is built first, by \
                 `./bv desktop` or `cargo run -p xtask -- web` (see desktop/README.md)"
            );
            std::process::exit(1);
        }
    }
    let manifest = tauri_build::AppManifest::new().commands(COMMANDS);
    if let Err(why) = tauri_build::try_build(tauri_build::Attributes::new().app_manifest(manifest))
    {
        println!("cargo:error={why:#}");
        std::process::exit(1);
    }
}
