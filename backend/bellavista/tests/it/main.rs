//! The binary from outside: commands, engines, kills.

mod up;
