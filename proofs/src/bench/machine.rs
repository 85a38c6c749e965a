//! Where a figure was measured: without this it means nothing.

use std::path::Path;
use std::process::Command;

/// Machine, source and build, as lines for the report.
#[derive(Debug)]
pub struct Machine {
    pub processor: String,
    pub cores: usize,
    pub memory_gib: u64,
    pub commit: String,
    pub generator: &'static str,
    pub shop: String,
}

pub fn look(port: Option<u16>) -> Machine {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    Machine {
        processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        cores,
        memory_gib: memory_gib(),
        commit: commit(),
        generator: if cfg!(debug_assertions) { "debug" } else { "release" },
        shop: shop_build(port).unwrap_or_else(|| "unknown".to_owned()),
    }
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_gib() -> u64 {
    let kib = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0).div_ceil(1 << 20)
}

/// The source this program was built from, marked when files differ from it.
fn commit() -> String {
    let git = |args: &[&str]| {
        let folder = env!("CARGO_MANIFEST_DIR");
        let output = Command::new("git").arg("-C").arg(folder).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => commit,
        _ => format!("{commit} with changes"),
    }
}

pub fn port_of(url: &str) -> Option<u16> {
    url.trim_end_matches('/').rsplit_once(':')?.1.parse().ok()
}

/// `release` or `debug`: the folder from which the program that listens on the
/// port was started.
fn shop_build(port: Option<u16>) -> Option<String> {
    let inode = listener(port?)?;
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Ok(files) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let holds = |link: std::io::Result<std::path::PathBuf>| {
            link.is_ok_and(|target| target == Path::new(&wanted))
        };
        if files.flatten().any(|file| holds(std::fs::read_link(file.path()))) {
            let program = std::fs::read_link(process.path().join("exe")).ok()?;
            let folder = program.parent()?.file_name()?.to_string_lossy().into_owned();
            return Some(folder);
        }
    }
    None
}

/// The inode of the socket that listens on a local port.
fn listener(port: u16) -> Option<String> {
    const LISTENING: &str = "0A";
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = fields.get(1)?.split_once(':')?;
        let matches = u16::from_str_radix(local_port, 16).ok()? == port;
        (matches && fields.get(3) == Some(&LISTENING))
            .then(|| fields.get(9).map(|i| (*i).to_owned()))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_the_address() {
        assert_eq!(port_of("http://127.0.0.1:8080/"), Some(8_080));
        assert_eq!(port_of("http://shop.test"), None);
    }
}
