//! What `up` tells the person who called it.

use std::io::{IsTerminal, Write};
use std::time::Instant;

use platform::config::Config;

/// Ends the talk of a shop in the background with the process that started it.
pub const OPEN: &str = "\u{4}open";

/// Lines on standard output. A reader that has gone does not matter: a shop in
/// the background goes on without one.
pub struct Console {
    began: Instant,
    colour: bool,
}

impl Console {
    pub fn new() -> Self {
        Self { began: Instant::now(), colour: std::io::stdout().is_terminal() }
    }

    /// One step, with the time since the start.
    pub fn say(&self, line: &str) {
        tracing::info!(target: "up", "{line}");
        let seconds = self.began.elapsed().as_secs_f64();
        let (dim, plain) = if self.colour { ("\u{1b}[2m", "\u{1b}[0m") } else { ("", "") };
        put(&format!("{dim}{seconds:6.1} s{plain}  {line}\n"));
    }

    /// The shop is open: where it is and what to try.
    pub fn open(&self, config: &Config, demo: bool, detached: bool) {
        self.say("the shop is open");
        let port = config.ground.http.port;
        let mut text = format!(
            "\n  storefront   http://127.0.0.1:{port}\
             \n  API docs     http://127.0.0.1:{port}/api/v1/docs\
             \n  graph        http://127.0.0.1:{port}/graphql\
             \n  console      ./bv desktop\
             \n  addresses    ./bv urls\n"
        );
        if demo {
            text.push_str(&format!(
                "\n  accounts     shopper@  merchant@  operator@  admin@  partner@demo.bellavista.test\
                 \n  password     {}\n\
                 \n  try          buy something as a guest and pay with the test card\
                 \n               ./bv prove oversell --buyers 500 --units 30\n",
                super::demo::PASSWORD
            ));
        }
        let stop = if detached { "./bv down" } else { "Ctrl-C" };
        text.push_str(&format!("  stop         {stop}\n\n"));
        put(&text);
        if detached {
            put(&format!("{OPEN}\n"));
        }
    }
}

fn put(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: no reason to stop.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
