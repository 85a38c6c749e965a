//! Who holds a lease, and whether they still can.
//!
//! The id of a holder tells on which host and in which process it works. Another
//! process of that host sees for certain that it is gone, and need not wait for
//! its leases to end; elsewhere only the end of the lease tells.

use std::fs;
use std::path::Path;
use std::process;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use sha2::{Digest, Sha256};
use uuid::Uuid;

const HOST_BITS: u32 = 48;
const PID_BITS: u32 = 24;
const STARTED_BITS: u32 = 40;
const COPY_BITS: u32 = 16;

/// A new holder in this process: each has an id of its own.
pub fn here() -> Uuid {
    static COPIES: AtomicU16 = AtomicU16::new(0);
    match this_process() {
        Some(life) => life.id(COPIES.fetch_add(1, Ordering::Relaxed)),
        // Where nothing is known of processes, its leases end by themselves.
        None => Uuid::new_v4(),
    }
}

/// Whether the process of `holder` is certainly gone. False when it lives, works
/// on another host, or cannot be looked at.
pub fn is_gone(holder: Uuid) -> bool {
    let (Some(own), Some(life)) = (this_process(), Life::of(holder)) else { return false };
    life.host == own.host && life.is_over()
}

/// An id whose holder is gone, for tests.
#[doc(hidden)]
pub fn of_the_dead() -> Uuid {
    // This process, begun at another time: somebody who had its number before.
    let before = this_process().map(|own| Life { started: own.started ^ 1, ..own });
    before.map_or_else(Uuid::new_v4, |life| life.id(0))
}

/// One life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    /// Tells hosts apart, and on one host containers and boots.
    host: u64,
    pid: u32,
    /// When it began, in ticks since the boot: numbers are used again.
    started: u64,
}

fn low(value: u128, bits: u32) -> u128 {
    value & ((1 << bits) - 1)
}

fn this_process() -> Option<Life> {
    static OWN: OnceLock<Option<Life>> = OnceLock::new();
    *OWN.get_or_init(|| {
        let pid = process::id();
        let (_, started) = look(pid)?;
        Some(Life { host: host()?, pid, started })
    })
}

fn host() -> Option<u64> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
    let digest = Sha256::new()
        .chain_update(boot.trim())
        .chain_update(numbers.as_os_str().as_encoded_bytes())
        .finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    Some(u64::from_be_bytes(bytes) >> (u64::BITS - HOST_BITS))
}

/// State and begin of a process, by `/proc/<pid>/stat`.
fn look(pid: u32) -> Option<(char, u64)> {
    parse(&fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?)
}

fn parse(stat: &str) -> Option<(char, u64)> {
    // The name is in parentheses and may hold anything; fields 3 and 22 follow.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

impl Life {
    fn id(self, copy: u16) -> Uuid {
        let mut id = low(self.host.into(), HOST_BITS);
        id = id << PID_BITS | low(self.pid.into(), PID_BITS);
        id = id << STARTED_BITS | low(self.started.into(), STARTED_BITS);
        Uuid::from_u128(id << COPY_BITS | u128::from(copy))
    }

    fn of(holder: Uuid) -> Option<Life> {
        let id = holder.as_u128() >> COPY_BITS;
        Some(Life {
            host: u64::try_from(id >> (STARTED_BITS + PID_BITS)).ok()?,
            pid: u32::try_from(low(id >> STARTED_BITS, PID_BITS)).ok()?,
            started: u64::try_from(low(id, STARTED_BITS)).ok()?,
        })
    }

    fn is_over(self) -> bool {
        match look(self.pid) {
            // An entry that waits to be read by its parent acts no more.
            Some((state, started)) => started != self.started || matches!(state, 'Z' | 'X'),
            // It may only be hidden from us.
            None => i32::try_from(self.pid)
                .is_ok_and(|pid| pid > 0 && kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_lives_is_not_gone_and_each_copy_is_somebody_else() {
        let (one, two) = (here(), here());
        assert_ne!(one, two);
        assert!(!is_gone(one) && !is_gone(two));
        assert_eq!(Life::of(one), Life::of(two));
        assert_eq!(Life::of(one), this_process());
    }

    #[test]
    fn a_process_that_ended_is_gone() {
        let mut child = process::Command::new("sleep").arg("60").spawn().unwrap();
        let (_, started) = look(child.id()).unwrap();
        let holder = Life { pid: child.id(), started, ..this_process().unwrap() }.id(3);
        assert!(!is_gone(holder));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(holder));
        assert!(is_gone(of_the_dead()), "its number is another's now");
    }

    #[test]
    fn nothing_is_known_of_other_hosts() {
        let own = this_process().unwrap();
        assert!(!is_gone(Life { host: own.host ^ 1, started: 1, ..own }.id(0)));
        assert!(!is_gone(Uuid::new_v4()));
    }

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) Z 9) S 1 7 7 0 -1 4194560 1 0 0 0 5 2 0 0 20 0 9 0 1234 5 6";
        assert_eq!(parse(stat), Some(('S', 1_234)));
        assert_eq!(parse("nonsense"), None);
    }
}
