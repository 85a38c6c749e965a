//! The machine around the window: display, driver, settings folder.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use tempfile::TempDir;

use crate::{
    picture,
    webdriver::{self, Window},
};

const DRIVER_WAIT: Duration = Duration::from_secs(20);

/// What a stage is made of.
#[derive(Clone, Debug)]
pub struct StageConfig {
    /// The console's program.
    pub console: PathBuf,
    /// Its settings folder; reuse it to start again as the same person.
    pub home: PathBuf,
    /// Where screenshots go.
    pub artefacts: PathBuf,
    /// Size of the display, in pixels.
    pub display: (u32, u32),
}

impl StageConfig {
    /// The program that cargo built beside the running test.
    ///
    /// # Errors
    /// It has not been built.
    pub fn beside_test(home: &Path) -> Result<Self> {
        let test = std::env::current_exe()?;
        let profile = test.parent().and_then(Path::parent).context("no target folder")?;
        let console = profile.join("desktop");
        ensure!(
            console.is_file(),
            "{} is missing: build it first, `cargo build -p desktop` in desktop/",
            console.display()
        );
        let artefacts = profile.parent().context("no target folder")?.join("screenshots");
        Ok(StageConfig { console, home: home.to_owned(), artefacts, display: (1160, 780) })
    }
}

/// One window on a display of its own. Everything ends when it is dropped.
pub struct Stage {
    pub window: Window,
    config: StageConfig,
    // Dropped in this order: the driver takes the window with it.
    _driver: Running,
    _display: Running,
    /// Where the display keeps its picture.
    frame: TempDir,
}

impl Stage {
    /// Starts display and driver and opens the console's window.
    ///
    /// # Errors
    /// Something is missing on the machine, or does not come up in time.
    pub async fn open(config: StageConfig) -> Result<Self> {
        std::fs::create_dir_all(&config.artefacts)?;
        let frame = TempDir::new()?;
        let (display, name) = open_display(config.display, frame.path())?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut command = Command::new("WebKitWebDriver");
        command
            .args([format!("--port={port}"), "--host=127.0.0.1".to_owned()])
            .env("DISPLAY", &name)
            .env("BV_CONSOLE_HOME", &config.home)
            .env("TAURI_AUTOMATION", "true")
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            // Neither keychain nor another instance of the person at this machine.
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent")
            .env("GDK_BACKEND", "x11")
            .env("NO_AT_BRIDGE", "1")
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .env_remove("WAYLAND_DISPLAY");
        let driver = start(command, "webkit2gtk-driver")?;
        let base = format!("http://127.0.0.1:{port}");
        webdriver::wait_until_ready(&base, Instant::now() + DRIVER_WAIT).await?;
        let window = Window::open(&base, &config.console).await?;
        Ok(Stage { window, config, _driver: driver, _display: display, frame })
    }

    /// Keeps what the display shows, menu included, as a PNG among the artefacts.
    /// Waits until the page has painted what it holds.
    ///
    /// # Errors
    /// The display gives no picture, or it cannot be written.
    pub async fn screenshot(&self, name: &str) -> Result<PathBuf> {
        self.window.painted().await?;
        let path = self.config.artefacts.join(format!("{name}.png"));
        let shot = std::fs::read(self.frame.path().join("Xvfb_screen0"))?;
        picture::write_png(&shot, &path)?;
        Ok(path)
    }

    /// Closes the window as a person would, so that it may keep its state.
    ///
    /// # Errors
    /// The driver refuses.
    pub async fn close(self) -> Result<()> {
        self.window.close().await
    }
}

/// Xvfb picks a free display number by itself and writes it to its standard output.
fn open_display((width, height): (u32, u32), frame: &Path) -> Result<(Running, String)> {
    let mut command = Command::new("Xvfb");
    command
        .args(["-displayfd", "1", "-screen", "0", &format!("{width}x{height}x24")])
        .args(["-nolisten", "tcp", "-fbdir"])
        .arg(frame)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut display = start(command, "xvfb")?;
    let output = display.0.stdout.take().context("Xvfb has no output")?;
    let mut number = String::new();
    BufReader::new(output).read_line(&mut number)?;
    ensure!(!number.trim().is_empty(), "Xvfb ended without opening a display");
    Ok((display, format!(":{}", number.trim())))
}

fn start(mut command: Command, package: &str) -> Result<Running> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.stdin(Stdio::null()).spawn() {
        Ok(child) => Ok(Running(child)),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            bail!("{program} is missing on this machine: install the Debian package `{package}`")
        }
        Err(why) => Err(why).with_context(|| format!("cannot start {program}")),
    }
}

/// A child that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
