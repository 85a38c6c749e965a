//! Runs a [`super::Consumer`] against the broker.
