//! The private PostgreSQL cluster: made once, started as a child, mended after
//! a kill, one role and schema per service.
//!
//! The child listens on loopback and on a unix socket in a folder that only
//! its own account and root may enter. Every role has a random password.

pub mod binaries;
pub mod place;
pub mod roles;
pub mod settings;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection};
use tokio::process::Command;
use tokio::sync::watch;

use self::binaries::Binaries;
use self::place::Place;
use super::home::{Home, random_hex};
use super::process::{self, LogFile};
use super::supervisor::{Engine, EngineState, Supervisor};
use super::{EngineError, Progress, ports};

/// The cluster's own administrator; services never use it.
pub const ADMIN: &str = "bellavista";
/// The database of all services.
pub const DATABASE: &str = "bellavista";
/// Database and role of the event log.
pub const BROKER_DATABASE: &str = "broker";
/// Role of the event log.
pub const BROKER_ROLE: &str = "bv_broker";

/// Fast shutdown first; immediate shutdown when clients hold it up.
const STOP_PLAN: &[(Signal, Duration)] =
    &[(Signal::SIGINT, Duration::from_secs(20)), (Signal::SIGQUIT, Duration::from_secs(5))];

/// Long, because recovery after a crash reads up to `max_wal_size` of log.
const READY_DEADLINE: Duration = Duration::from_secs(300);

/// What a cluster needs to know.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// The state folder.
    pub home: Home,
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// Connections in total: the sum of all pools, 16 for the event log, and
    /// some for people.
    pub max_connections: u16,
    /// Where to say what happens.
    pub progress: Progress,
}

/// How to reach the cluster of a state folder, whether or not this process
/// started it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    home: Home,
    socket_dir: PathBuf,
    port: u16,
}

/// A running cluster.
#[derive(Debug)]
pub struct Postgres {
    supervisor: Supervisor,
    endpoint: Endpoint,
}

impl Postgres {
    /// Starts the cluster, making it first when the state folder is new. The
    /// caller holds the lock of the state folder.
    ///
    /// # Errors
    /// One line: what is missing, taken, refused, or the server's last words.
    pub async fn start(config: PostgresConfig) -> Result<Self, EngineError> {
        let place = Place::of(&config.home).await?;
        let binaries = Binaries::for_data(&place.data())?;
        ensure_cluster(&config, &place, &binaries).await?;
        settings::write(&place, config.port, config.max_connections)?;
        let endpoint = Endpoint {
            home: config.home.clone(),
            socket_dir: place.socket_dir(),
            port: config.port,
        };
        let engine = Server {
            binaries,
            log: LogFile::new(config.home.log("postgres")),
            place,
            endpoint: endpoint.clone(),
        };
        let supervisor = Supervisor::start(engine).await?;
        Ok(Self { supervisor, endpoint })
    }

    /// How to reach it.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Process id of the server.
    pub fn process_id(&self) -> Option<i32> {
        self.supervisor.child_id()
    }

    /// How it is doing; see [`super::supervisor::given_up`].
    pub fn state(&self) -> watch::Receiver<EngineState> {
        self.supervisor.state()
    }

    /// Makes sure of the database, and of role and schema of each service, and
    /// of the event log's role and database. Cheap when all is there.
    ///
    /// # Errors
    /// A name that is no plain identifier, or the database's refusal.
    pub async fn ensure_services(&self, services: &[&str]) -> Result<(), EngineError> {
        roles::ensure(&self.endpoint, services).await
    }

    /// Makes the tables that the embedded broker keeps its log in cheaper to
    /// write; for a broker that is ready. Cheap when it was done before.
    ///
    /// # Errors
    /// The database's refusal.
    pub async fn lighten_broker(&self) -> Result<(), EngineError> {
        roles::lighten_broker(&self.endpoint).await
    }

    /// Stops the cluster: fast shutdown, then harder.
    pub async fn stop(self) {
        self.supervisor.stop().await;
    }
}

impl Endpoint {
    /// The cluster of a state folder, for commands beside a running shop.
    ///
    /// # Errors
    /// When the state folder belongs to another account.
    pub async fn of(home: &Home, port: u16) -> Result<Self, EngineError> {
        let place = Place::of(home).await?;
        Ok(Self { home: home.clone(), socket_dir: place.socket_dir(), port })
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Name of a service's role.
    pub fn role_of(service: &str) -> String {
        format!("bv_{service}")
    }

    /// How a service connects: its role, its schema as search path, over the
    /// unix socket.
    ///
    /// # Errors
    /// When the service has no role yet.
    pub fn service_options(&self, service: &str) -> Result<PgConnectOptions, EngineError> {
        let role = Self::role_of(service);
        Ok(self.options(&role, DATABASE)?.application_name(service))
    }

    /// [`Endpoint::service_options`] as a URL (over the unix socket).
    ///
    /// # Errors
    /// When the service has no role yet.
    pub fn service_url(&self, service: &str) -> Result<String, EngineError> {
        let role = Self::role_of(service);
        Ok(format!(
            "postgres://{role}:{}@localhost:{}/{DATABASE}?host={}&sslmode=disable&application_name={service}",
            self.password(&role)?,
            self.port,
            self.socket_dir.display()
        ))
    }

    /// A URL for other programs, over the socket: half the processor time of
    /// the loopback network.
    ///
    /// # Errors
    /// When the role is unknown.
    pub fn socket_url(&self, role: &str, database: &str) -> Result<String, EngineError> {
        let folder = self.socket_dir.display().to_string();
        Ok(format!(
            "postgres://{role}:{}@{}:{}/{database}?sslmode=disable",
            self.password(role)?,
            utf8_percent_encode(&folder, NON_ALPHANUMERIC),
            self.port
        ))
    }

    /// How any known role connects to any database.
    ///
    /// # Errors
    /// When the role is unknown.
    pub fn options(&self, role: &str, database: &str) -> Result<PgConnectOptions, EngineError> {
        Ok(PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_dir)
            .port(self.port)
            .username(role)
            .password(&self.password(role)?)
            .database(database)
            .ssl_mode(PgSslMode::Disable))
    }

    fn password(&self, role: &str) -> Result<String, EngineError> {
        self.home.secret(&secret_name(role)).ok_or_else(|| {
            EngineError::Home(format!(
                "no password of database role {role} in {}; start the shop once with `up`",
                self.home.root().display()
            ))
        })
    }

    fn keep_password(&self, role: &str, password: &str) -> Result<(), EngineError> {
        self.home.keep_secret(&secret_name(role), password)
    }

    fn has_password(&self, role: &str) -> bool {
        self.home.secret(&secret_name(role)).is_some()
    }
}

fn secret_name(role: &str) -> String {
    format!("postgres-{role}")
}

/// Ends a server left behind in this state folder, if there is one; for `down`
/// after a kill.
///
/// # Errors
/// When the state folder belongs to another account.
pub async fn stop_leftovers(home: &Home) -> Result<(), EngineError> {
    place::end_leftovers(&Place::of(home).await?.data()).await;
    Ok(())
}

/// Removes the cluster of this state folder with all its data, for `--fresh`.
///
/// # Errors
/// When files cannot be removed.
pub async fn wipe(home: &Home) -> Result<(), EngineError> {
    let place = Place::of(home).await?;
    place::end_leftovers(&place.data()).await;
    place.remove(home)
}

/// Makes the cluster beside its place and moves it there whole, so that an
/// interrupted creation leaves nothing half-made.
async fn ensure_cluster(
    config: &PostgresConfig,
    place: &Place,
    binaries: &Binaries,
) -> Result<(), EngineError> {
    if place.data().join("PG_VERSION").is_file() {
        return Ok(());
    }
    config.progress.say(format!("creating a private PostgreSQL {} cluster", binaries.major));
    let secret = secret_name(ADMIN);
    // Kept before the cluster exists: a cluster whose password nobody knows
    // would be of no use to anyone.
    let password = match config.home.secret(&secret) {
        Some(password) => password,
        None => {
            let password = random_hex(24);
            config.home.keep_secret(&secret, &password)?;
            password
        }
    };
    let unfinished = place.prepare_unfinished()?;
    let password_file = place.write_for_server("password", &password)?;
    let made = place
        .command(&binaries.program("initdb"))
        .args(["--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"])
        .args(["--auth=scram-sha-256", "--username", ADMIN])
        .arg("--pwfile")
        .arg(&password_file)
        .arg("--pgdata")
        .arg(&unfinished)
        .output()
        .await;
    // A password must not lie about a moment longer than needed, whatever
    // became of initdb.
    let removed = fs::remove_file(&password_file);
    let made = made.map_err(EngineError::io("run initdb"))?;
    removed.map_err(EngineError::io(format!("remove {}", password_file.display())))?;
    if !made.status.success() {
        let words = String::from_utf8_lossy(&made.stderr);
        return Err(EngineError::Failed {
            engine: "initdb",
            reason: format!(
                "could not make the cluster: {}",
                words.lines().last().unwrap_or_default()
            ),
        });
    }
    fs::rename(&unfinished, place.data())
        .map_err(EngineError::io(format!("move the new cluster to {}", place.data().display())))
}

struct Server {
    binaries: Binaries,
    log: LogFile,
    place: Place,
    endpoint: Endpoint,
}

impl Engine for Server {
    fn name(&self) -> &'static str {
        "PostgreSQL"
    }

    fn command(&self) -> Command {
        let mut command = self.place.command(&self.binaries.program("postgres"));
        command.arg("-D").arg(self.place.data());
        command
    }

    fn log(&self) -> &LogFile {
        &self.log
    }

    fn stop_plan(&self) -> &'static [(Signal, Duration)] {
        STOP_PLAN
    }

    fn ready_deadline(&self) -> Duration {
        READY_DEADLINE
    }

    async fn mend(&self) -> Result<(), EngineError> {
        place::end_leftovers(&self.place.data()).await;
        self.place.clear_locks();
        ports::ensure_free(self.endpoint.port, "PostgreSQL")
    }

    async fn ready(&self) -> Result<bool, EngineError> {
        const CANNOT_CONNECT_NOW: &str = "57P03";
        let socket = self.endpoint.socket_dir.join(format!(".s.PGSQL.{}", self.endpoint.port));
        if !socket.exists() {
            return Ok(false);
        }
        match self.endpoint.options(ADMIN, "postgres")?.connect().await {
            Ok(connection) => {
                // It served; how it parts does not matter.
                let _ = connection.close().await;
                Ok(true)
            }
            Err(sqlx::Error::Io(_)) => Ok(false),
            Err(sqlx::Error::Database(error))
                if error.code().as_deref() == Some(CANNOT_CONNECT_NOW) =>
            {
                Ok(false)
            }
            Err(error) => Err(EngineError::database("sign in to the private PostgreSQL")(error)),
        }
    }
}

/// Servers and their helpers that work in a data folder.
fn servers_in(data: &std::path::Path) -> Vec<i32> {
    process::all_ids()
        .into_iter()
        .filter(|pid| process::name(*pid).as_deref() == Some("postgres"))
        .filter(|pid| process::working_dir(*pid).as_deref() == Some(data))
        .collect()
}
