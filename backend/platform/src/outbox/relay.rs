//! Publishes outbox rows to the broker.
