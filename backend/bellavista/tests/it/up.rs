//! `up` and `down` as a person uses them: the program, its engines, a kill.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU16, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How far the shop's ports are from the public one.
const DISTANCES: &[u16] = &[0, 1, 5, 10, 12, 13, 352];

/// A state folder and a free range of ports; stopped and removed at the end.
struct Shop {
    home: tempfile::TempDir,
    port: u16,
}

impl Shop {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), port: free_range() }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_bellavista"))
            .arg("--home")
            .arg(self.home.path())
            .args(["--port", &self.port.to_string()])
            .args(arguments)
            .output()
            .unwrap()
    }

    /// Starts in the background; what it said.
    fn up(&self, further: &[&str]) -> String {
        let output = self.run(&[&["up", "-d"], further].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}{complaint}");
        said
    }

    fn process(&self) -> Pid {
        let id = std::fs::read_to_string(self.home.path().join("run/lock")).unwrap();
        Pid::from_raw(id.trim().parse().unwrap())
    }

    /// Kills the shop; returns once the system has taken its lock back.
    fn kill(&self) {
        kill(self.process(), Signal::SIGKILL).unwrap();
        let lock = std::fs::File::open(self.home.path().join("run/lock")).unwrap();
        lock.lock().unwrap();
    }

    fn engines_are_running(&self) -> bool {
        DISTANCES[4..].iter().any(|distance| !is_free(self.port + distance))
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.run(&["down"]);
        // As root the database lies elsewhere; the folder says where.
        if let Ok(place) = std::fs::read_to_string(self.home.path().join("postgres.place")) {
            let _ = std::fs::remove_dir_all(Path::new(place.trim()));
        }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A public port whose companions are free too, below the range from which the
/// system gives out ports; each call of this process gets another one.
fn free_range() -> u16 {
    static STEP: AtomicU16 = AtomicU16::new(0);
    let seed = u16::try_from(std::process::id() % 300).unwrap();
    std::iter::repeat_with(|| STEP.fetch_add(1, Ordering::Relaxed))
        .take(300)
        .map(|step| 20_000 + ((seed + step) % 300) * 20)
        .find(|port| DISTANCES.iter().all(|distance| is_free(port + distance)))
        .expect("a free range of ports")
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

#[test]
fn a_shop_opens_is_killed_opens_again_and_closes() {
    let shop = Shop::new();
    let said = shop.up(&[]);
    assert!(said.contains(&format!("http://127.0.0.1:{}", shop.port)), "{said}");
    assert!(said.contains("bellavista-demo"), "{said}");

    let urls = String::from_utf8(shop.run(&["urls"]).stdout).unwrap();
    for name in ["storefront", "api", "graphql", "grpc", "broker", "database", "metrics", "wsdl"] {
        let line = urls.lines().find(|line| line.split(' ').next() == Some(name));
        assert!(line.is_some_and(|line| line.split(' ').count() == 2), "{name} in {urls}");
    }
    let second = complaint(&shop.run(&["up", "--no-demo"]));
    assert!(second.contains("running already") && second.lines().count() == 1, "{second}");

    shop.kill();
    shop.up(&[]);

    assert!(shop.run(&["down"]).status.success());
    assert!(!shop.engines_are_running(), "an engine outlived its shop");
}

#[test]
fn down_ends_what_a_killed_shop_left_behind() {
    let shop = Shop::new();
    shop.up(&["--no-demo"]);
    shop.kill();
    assert!(shop.engines_are_running(), "the engines survive their killed parent");
    assert!(shop.run(&["down"]).status.success());
    assert!(!shop.engines_are_running(), "an engine was left");
}

#[test]
fn a_taken_port_is_one_line_that_names_the_holder() {
    let shop = Shop::new();
    let _holder = TcpListener::bind((Ipv4Addr::LOCALHOST, shop.port)).unwrap();
    for arguments in [&["up"][..], &["up", "-d"]] {
        let line = complaint(&shop.run(arguments));
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(line.contains(&format!("port {} (storefront and API) is taken by", shop.port)));
        assert!(line.contains(&std::process::id().to_string()), "{line}");
    }
}
