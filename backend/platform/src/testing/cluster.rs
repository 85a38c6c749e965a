//! Real PostgreSQL for tests: one throw-away cluster per user and checkout, a
//! fresh database per test, cloned from a migrated template.
//!
//! The first test process that needs it starts the cluster (nothing is synced
//! to disk); later ones use it; a watchdog ends it after ten idle minutes and
//! `bv test` when it is done. Whatever a killed test leaves behind (databases,
//! half-made templates, a dead cluster) is cleared by the next one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tokio::process::Command;
use tokio::time::Instant;

use crate::engines::EngineError;
use crate::engines::home::{read_line, short_hash};
use crate::engines::postgres::binaries::Binaries;
use crate::engines::postgres::place::{self, Place};
use crate::engines::process;

const ADMIN: &str = "bellavista";
const MAX_CONNECTIONS: u16 = 300;
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Databases waiting to be dropped; beyond that the next process drops them.
const DROP_QUEUE: usize = 1024;

/// Ends the cluster `$1` (server `$2`, programs in `$3`) once nobody has used
/// it for ten minutes.
const WATCHDOG: &str = r#"
while kill -0 "$2" 2>/dev/null; do
    sleep 20
    (
        flock 9 || exit 0
        busy=$("$3/psql" -h "$1/pg/s" -U bellavista -d postgres -Atc \
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()" \
            2>/dev/null) || busy=0
        if [ "$busy" != 0 ]; then touch "$1/last-used"; exit 0; fi
        if [ -n "$(find "$1/last-used" -mmin -10 2>/dev/null)" ]; then exit 0; fi
        if [ "$(head -n 1 "$1/pg/data/postmaster.pid" 2>/dev/null)" = "$2" ]; then kill -INT "$2"; fi
        for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$2" 2>/dev/null || break; sleep 1; done
        rm -rf "$1/pg"
    ) 9<"$1/lock"
done
"#;

/// A database of one test; dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    socket_dir: PathBuf,
}

impl TestDatabase {
    /// URL over the unix socket.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same as options.
    pub fn connect_options(&self) -> PgConnectOptions {
        options(&self.socket_dir, &self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // A full queue loses nothing: the next test process sweeps.
        let _ = dropper().try_send((self.socket_dir.clone(), std::mem::take(&mut self.name)));
    }
}

/// A template key that changes with the migrations, so that an edited
/// migration never meets an old template.
pub fn migrations_key(service: &str, migrator: &Migrator) -> String {
    let mut digest = Sha256::new();
    for migration in migrator.iter() {
        digest.update(migration.version.to_be_bytes());
        digest.update(&migration.checksum);
    }
    format!("{service}-{}", hex::encode(digest.finalize()))
}

/// A fresh database like the template of `template_key`; the first caller of a
/// key has the template made by `migrate`, which is given its URL. The key must
/// change when `migrate` does other work; see [`migrations_key`].
///
/// # Panics
/// When there is no PostgreSQL or it refuses: the test cannot go on.
pub async fn database(template_key: &str, migrate: impl AsyncFnOnce(&str)) -> TestDatabase {
    match try_database(template_key, migrate).await {
        Ok(database) => database,
        Err(error) => panic!("no database for the test: {error}"),
    }
}

async fn try_database(
    template_key: &str,
    migrate: impl AsyncFnOnce(&str),
) -> Result<TestDatabase, EngineError> {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let folder = Folder::open()?;
    let socket_dir = folder.ensure_running().await?;
    let mut server = connect(&socket_dir, "postgres").await?;
    sweep(&mut server).await;
    let template = ensure_template(&mut server, &socket_dir, template_key, migrate).await?;
    let name = format!("t_{}_{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed));
    run(&mut server, format!("CREATE DATABASE {name} TEMPLATE {template}")).await?;
    let url = url(&socket_dir, &name);
    Ok(TestDatabase { name, url, socket_dir })
}

/// The folder of the cluster: lock, time of last use, log, and the files of
/// PostgreSQL.
struct Folder(PathBuf);

impl Folder {
    fn open() -> Result<Self, EngineError> {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let checkout = checkout.canonicalize().map_err(EngineError::io("find the checkout"))?;
        let me = nix::unistd::geteuid();
        // Not the configured temporary folder: socket paths must stay short.
        let path = PathBuf::from(format!("/tmp/bv-test-{me}-{}", short_hash(&checkout)));
        DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&path)
            .map_err(EngineError::io(format!("create {}", path.display())))?;
        let owner = fs::symlink_metadata(&path)
            .map_err(EngineError::io(format!("look at {}", path.display())))?;
        if owner.uid() != me.as_raw() || !owner.is_dir() {
            return Err(EngineError::Home(format!("{} belongs to somebody else", path.display())));
        }
        Ok(Self(path))
    }

    fn data(&self) -> PathBuf {
        self.0.join("pg/data")
    }

    fn socket_dir(&self) -> PathBuf {
        self.0.join("pg/s")
    }

    async fn lock(&self) -> Result<File, EngineError> {
        let path = self.0.join("lock");
        let doing = format!("lock {}", path.display());
        let locked = tokio::task::spawn_blocking(move || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            file.lock()?;
            Ok(file)
        })
        .await;
        locked.map_err(std::io::Error::other).flatten().map_err(EngineError::io(doing))
    }

    /// Folder of the socket of a serving cluster.
    async fn ensure_running(&self) -> Result<PathBuf, EngineError> {
        let _lock = self.lock().await?;
        fs::write(self.0.join("last-used"), "")
            .map_err(EngineError::io("note the use of the test cluster"))?;
        if self.server().is_some() && connect(&self.socket_dir(), "postgres").await.is_ok() {
            return Ok(self.socket_dir());
        }
        place::end_leftovers(&self.data()).await;
        let files = self.0.join("pg");
        if files.exists() {
            fs::remove_dir_all(&files)
                .map_err(EngineError::io(format!("remove {}", files.display())))?;
        }
        let binaries = Binaries::newest()?;
        let place = Place::at(files)?;
        make_cluster(&place, &binaries).await?;
        self.start(&place, &binaries).await?;
        Ok(self.socket_dir())
    }

    fn server(&self) -> Option<i32> {
        let pid = read_line(&self.data().join("postmaster.pid"))?.parse().ok()?;
        process::is_alive(pid).then_some(pid)
    }

    async fn start(&self, place: &Place, binaries: &Binaries) -> Result<(), EngineError> {
        let log = process::LogFile::new(self.0.join("postgres.log"));
        let output = log.open()?;
        let errors = output.try_clone().map_err(EngineError::io("write the test cluster's log"))?;
        // It outlives this process on purpose; the watchdog ends it.
        let mut server = place
            .command(&binaries.program("postgres"))
            .arg("-D")
            .arg(place.data())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(EngineError::io("start the test cluster"))?;
        let deadline = Instant::now() + READY_DEADLINE;
        while connect(&self.socket_dir(), "postgres").await.is_err() {
            let ended = matches!(server.try_wait(), Ok(Some(_)));
            if ended || Instant::now() >= deadline {
                return Err(EngineError::Failed {
                    engine: "the test cluster",
                    reason: log.last_words(),
                });
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
        let pid = server.id().map(|pid| pid.to_string()).unwrap_or_default();
        Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&self.0)
            .arg(pid)
            .arg(binaries.program(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(EngineError::io("start the test cluster's watchdog"))?;
        Ok(())
    }
}

async fn make_cluster(place: &Place, binaries: &Binaries) -> Result<(), EngineError> {
    let unfinished = place.prepare_unfinished()?;
    // Whoever may enter the folder of the socket is trusted.
    let made = place
        .command(&binaries.program("initdb"))
        .args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--auth=trust"])
        .args(["--username", ADMIN])
        .arg("--pgdata")
        .arg(&unfinished)
        .output()
        .await
        .map_err(EngineError::io("run initdb"))?;
    if !made.status.success() {
        let words = String::from_utf8_lossy(&made.stderr);
        return Err(EngineError::Failed {
            engine: "initdb",
            reason: format!(
                "could not make the test cluster: {}",
                words.lines().last().unwrap_or_default()
            ),
        });
    }
    let settings = format!(
        "listen_addresses = ''\nunix_socket_directories = '{}'\nmax_connections = {MAX_CONNECTIONS}\n\
         fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nwal_level = minimal\nmax_wal_senders = 0\n\
         shared_buffers = '128MB'\nmax_wal_size = '1GB'\njit = off\nautovacuum_naptime = '10min'\n\
         timezone = 'UTC'\nlog_line_prefix = '%m [%p] %d '\n",
        place.socket_dir().display()
    );
    let beside = place.write_for_server("postgresql.conf", &settings)?;
    fs::rename(&beside, unfinished.join("postgresql.conf"))
        .and_then(|()| fs::rename(&unfinished, place.data()))
        .map_err(EngineError::io("put the test cluster into its place"))
}

/// Name of the migrated template of a key.
async fn ensure_template(
    server: &mut PgConnection,
    socket_dir: &Path,
    key: &str,
    migrate: impl AsyncFnOnce(&str),
) -> Result<String, EngineError> {
    let digest = Sha256::digest(key.as_bytes());
    let template = format!("tpl_{}", hex::encode(&digest[..8]));
    if exists(server, &template).await? {
        return Ok(template);
    }
    // Held by this connection, so a killed test releases it.
    run(server, format!("SELECT pg_advisory_lock(hashtext('{template}'))")).await?;
    if !exists(server, &template).await? {
        let unfinished = format!("{template}_new");
        run(server, format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")).await?;
        run(server, format!("CREATE DATABASE {unfinished}")).await?;
        migrate(&url(socket_dir, &unfinished)).await;
        // A template with guests cannot be copied.
        run(server, format!("ALTER DATABASE {unfinished} WITH ALLOW_CONNECTIONS false")).await?;
        disconnect_all(server, &unfinished).await?;
        run(server, format!("ALTER DATABASE {unfinished} RENAME TO {template}")).await?;
    }
    run(server, format!("SELECT pg_advisory_unlock(hashtext('{template}'))")).await?;
    Ok(template)
}

async fn disconnect_all(server: &mut PgConnection, name: &str) -> Result<(), EngineError> {
    // Waits until the sessions are gone, a second at most for each.
    run(
        server,
        format!(
            "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity WHERE datname = '{name}'"
        ),
    )
    .await
}

/// Drops databases of test processes that are gone; once per process.
async fn sweep(server: &mut PgConnection) {
    static SWEPT: AtomicBool = AtomicBool::new(false);
    if SWEPT.swap(true, Ordering::Relaxed) {
        return;
    }
    let names: Vec<String> =
        sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE 't\\_%'")
            .fetch_all(&mut *server)
            .await
            .unwrap_or_default();
    for name in names {
        let owner = name.split('_').nth(1).and_then(|pid| pid.parse::<i32>().ok());
        if owner.is_some_and(|pid| !process::is_alive(pid)) {
            // Another process may sweep the same database.
            let _ = run(server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}

/// A thread that drops databases: `drop` cannot wait, and a test's runtime
/// ends with the test.
fn dropper() -> &'static mpsc::SyncSender<(PathBuf, String)> {
    static DROPPER: OnceLock<mpsc::SyncSender<(PathBuf, String)>> = OnceLock::new();
    DROPPER.get_or_init(|| {
        let (sender, receiver) = mpsc::sync_channel::<(PathBuf, String)>(DROP_QUEUE);
        std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build()
            else {
                return;
            };
            while let Ok((socket_dir, name)) = receiver.recv() {
                runtime.block_on(async {
                    if let Ok(mut server) = connect(&socket_dir, "postgres").await {
                        // Best effort: the next process sweeps.
                        let _ = run(
                            &mut server,
                            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
                        )
                        .await;
                    }
                });
            }
        });
        sender
    })
}

fn options(socket_dir: &Path, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(5432)
        .username(ADMIN)
        .password("")
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

fn url(socket_dir: &Path, database: &str) -> String {
    format!(
        "postgres://{ADMIN}@localhost:5432/{database}?host={}&sslmode=disable",
        socket_dir.display()
    )
}

async fn connect(socket_dir: &Path, database: &str) -> Result<PgConnection, EngineError> {
    options(socket_dir, database)
        .connect()
        .await
        .map_err(EngineError::database("open the test cluster"))
}

async fn exists(server: &mut PgConnection, name: &str) -> Result<bool, EngineError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(server)
        .await
        .map_err(EngineError::database("look up databases"))
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), EngineError> {
    let doing = statement.clone();
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .map_err(EngineError::database(doing))?;
    Ok(())
}
