//! The server's configuration, written anew at every start.

use std::fs;

use super::place::Place;
use crate::engines::EngineError;

const MIB: u64 = 1024 * 1024;

/// Writes `postgresql.conf` and `pg_hba.conf`. A file `local.conf` beside them
/// is read last and survives: the place for a person's own settings.
///
/// # Errors
/// The system's refusal.
pub fn write(place: &Place, port: u16, max_connections: u16) -> Result<(), EngineError> {
    let memory_mib = (memory_bytes().unwrap_or(2048 * MIB)) / MIB;
    let shared_mib = (memory_mib / 8).clamp(64, 512);
    let cached_mib = (memory_mib / 2).clamp(128, 8192);
    let socket_dir = place.socket_dir();
    let settings = format!(
        "# Written at every start; put your own settings into local.conf beside this file.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0777  # the folder is what guards it
max_connections = {max_connections}
password_encryption = 'scram-sha-256'

fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = replica
max_wal_size = '2GB'
min_wal_size = '128MB'
checkpoint_timeout = '10min'
checkpoint_completion_target = 0.9

shared_buffers = '{shared_mib}MB'
effective_cache_size = '{cached_mib}MB'
work_mem = '8MB'
maintenance_work_mem = '64MB'
random_page_cost = 1.1
jit = off
max_parallel_workers_per_gather = 0

# Queues and outboxes turn over quickly. But each time a table is cleaned or
# counted, every session plans its statements anew.
autovacuum_naptime = '10s'
autovacuum_vacuum_threshold = 500
autovacuum_analyze_threshold = 500
autovacuum_vacuum_scale_factor = 0.05
autovacuum_vacuum_insert_scale_factor = 0.1
idle_in_transaction_session_timeout = '60s'

logging_collector = off
log_destination = 'stderr'
log_line_prefix = '%m [%p] %q%u@%d/%a '
log_min_duration_statement = '1s'
log_checkpoints = off
log_lock_waits = on
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'

include_if_exists = 'local.conf'
",
        sockets = socket_dir.display(),
    );
    put(place, "postgresql.conf", &settings)?;
    put(
        place,
        "pg_hba.conf",
        "# Written at every start.\n\
         local all all scram-sha-256\n\
         host all all 127.0.0.1/32 scram-sha-256\n\
         local replication bellavista scram-sha-256\n",
    )
}

fn put(place: &Place, name: &str, content: &str) -> Result<(), EngineError> {
    let target = place.data().join(name);
    let beside = place.write_for_server(name, content)?;
    fs::rename(&beside, &target).map_err(EngineError::io(format!("write {}", target.display())))
}

fn memory_bytes() -> Option<u64> {
    let table = fs::read_to_string("/proc/meminfo").ok()?;
    let line = table.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
