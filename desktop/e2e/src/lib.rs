//! Drives the console's real window through WebDriver, under a display of its own.
//!
//! Owns: the display, the driver and the window as children that end with their
//! value ([`Stage`]), a small WebDriver client ([`Window`]) and the steps of the
//! console's journeys ([`journey`]).
//!
//! Invariants: nothing is skipped, what is missing on the machine is named; no
//! step waits for luck, each polls for what it wants with a limit; every window
//! has a settings folder that the test gave it.
//!
//! Start with [`Stage::open`]; the shop may be a fake or a real one.

pub mod journey;

mod picture;
mod stage;
mod webdriver;

pub use stage::{Stage, StageConfig};
pub use webdriver::Window;
