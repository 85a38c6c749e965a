//! Is a port free, and if not, who holds it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use super::EngineError;
use super::process;

/// Makes sure nobody listens on `port` of 127.0.0.1.
///
/// # Errors
/// [`EngineError::PortTaken`] naming the holder where the system tells, or the
/// system's refusal (a privileged port, for instance).
pub fn ensure_free(port: u16, purpose: &'static str) -> Result<(), EngineError> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            Err(EngineError::PortTaken { port, purpose, holder: holder(port) })
        }
        Err(reason) => {
            Err(EngineError::Io { doing: format!("listen on port {port} ({purpose})"), reason })
        }
    }
}

/// Name and id of the process that listens on `port`, where we may see it.
pub fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    process::all_ids().into_iter().find_map(|pid| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_link(descriptor.path()).is_ok_and(|target| {
                wanted.iter().any(|socket| target.as_os_str() == socket.as_str())
            })
        });
        holds.then(|| {
            let name = process::name(pid).unwrap_or_else(|| "a process".to_owned());
            format!("{name} (process {pid})")
        })
    })
}

/// Inodes of the sockets that listen on `port` in a table of `/proc/net`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (local.ends_with(&suffix) && *state == LISTEN).then(|| (*inode).to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_names_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let refusal = ensure_free(port, "test").expect_err("the port is taken").to_string();
        assert!(refusal.contains(&format!("port {port} (test) is taken")), "{refusal}");
        assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
    }

    #[test]
    fn a_released_port_is_free_again() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        ensure_free(port, "test").expect("nobody listens");
    }
}
