//! Bugs that are planted on purpose, to see that they are found.

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Stock lets pinned holds expire, and confirms what has expired.
    LateConfirm,
    /// Stock gives the units of a hold back at every release.
    ReleaseAgain,
    /// Payments sends a charge without answer again, without asking.
    BlindRetry,
    /// Payments takes a repeated refund for a new one.
    RefundAgain,
    /// Consumers keep no inbox.
    NoInbox,
    /// Instances take sagas up whoever works on them.
    NoLease,
    /// Decisions are stored whatever the saga has become meanwhile.
    StaleWrite,
    /// Events are appended after the commit instead of with it.
    EventBeside,
}

impl Sabotage {
    pub const ALL: [Sabotage; 8] = [
        Sabotage::LateConfirm,
        Sabotage::ReleaseAgain,
        Sabotage::BlindRetry,
        Sabotage::RefundAgain,
        Sabotage::NoInbox,
        Sabotage::NoLease,
        Sabotage::StaleWrite,
        Sabotage::EventBeside,
    ];

    /// Seeds within which it is found.
    pub const SEEDS: u64 = 100;

    pub const fn name(self) -> &'static str {
        match self {
            Sabotage::LateConfirm => "late-confirm",
            Sabotage::ReleaseAgain => "release-again",
            Sabotage::BlindRetry => "blind-retry",
            Sabotage::RefundAgain => "refund-again",
            Sabotage::NoInbox => "no-inbox",
            Sabotage::NoLease => "no-lease",
            Sabotage::StaleWrite => "stale-write",
            Sabotage::EventBeside => "event-beside",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Sabotage::ALL.into_iter().find(|bug| bug.name() == name)
    }
}
