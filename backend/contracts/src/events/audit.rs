//! What was done by whom: the exported audit log of every service.

pub use platform::audit::AuditRecorded;
