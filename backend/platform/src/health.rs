//! `/livez`, `/readyz`, `/metrics` on the internal port.
