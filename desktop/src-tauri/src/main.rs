//! The console's program: prepares the process, then runs the shell.

#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if let Some(why) = desktop_shell::config::restart_without_dmabuf() {
        eprintln!("bellavista console: {why}");
    }
    match desktop_shell::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bellavista console: {why}");
            ExitCode::FAILURE
        }
    }
}
