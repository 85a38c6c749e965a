//! One link of the chain, and how its hash is made. No I/O.

use sha2::{Digest, Sha256};
use shared_types::Timestamp;

use super::{AuditRecorded, Entry};

/// SHA-256.
pub type Hash = [u8; 32];

/// The hash before the first entry.
pub const GENESIS: Hash = [0; 32];

/// A row of `audit_log`.
#[derive(Clone, Debug)]
pub struct Link {
    pub seq: i64,
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub target: String,
    pub before_hash: Option<Hash>,
    pub after_hash: Option<Hash>,
    pub reason: Option<String>,
    pub correlation_id: String,
    pub prev_hash: Hash,
    pub hash: Hash,
}

impl Link {
    pub fn new(seq: i64, at: Timestamp, entry: Entry, correlation_id: &str, prev: Hash) -> Self {
        let mut link = Link {
            seq,
            at,
            actor: entry.actor,
            action: entry.action.to_owned(),
            target: entry.target,
            before_hash: entry.before_hash,
            after_hash: entry.after_hash,
            reason: entry.reason,
            correlation_id: correlation_id.to_owned(),
            prev_hash: prev,
            hash: GENESIS,
        };
        link.hash = link.computed();
        link
    }

    /// What the hash must be. Every part goes in with its length, and a missing
    /// one differs from an empty one, so that no two contents look alike.
    pub fn computed(&self) -> Hash {
        let mut hasher = Sha256::new();
        let mut part = |bytes: Option<&[u8]>| match bytes {
            None => hasher.update([0]),
            Some(bytes) => {
                hasher.update([1]);
                hasher.update((bytes.len() as u64).to_be_bytes());
                hasher.update(bytes);
            }
        };
        part(Some(b"bellavista audit 1"));
        part(Some(&self.seq.to_be_bytes()));
        part(Some(self.at.to_string().as_bytes()));
        for text in [&self.actor, &self.action, &self.target, &self.correlation_id] {
            part(Some(text.as_bytes()));
        }
        part(self.reason.as_deref().map(str::as_bytes));
        part(self.before_hash.as_ref().map(|h| &h[..]));
        part(self.after_hash.as_ref().map(|h| &h[..]));
        part(Some(&self.prev_hash));
        hasher.finalize().into()
    }

    pub fn exported(&self, service: &str) -> AuditRecorded {
        AuditRecorded {
            service: service.to_owned(),
            seq: self.seq,
            actor: self.actor.clone(),
            action: self.action.clone(),
            target: self.target.clone(),
            before_hash: self.before_hash.map(hex::encode),
            after_hash: self.after_hash.map(hex::encode),
            reason: self.reason.clone(),
            recorded_at: self.at,
            prev_hash: hex::encode(self.prev_hash),
            hash: hex::encode(self.hash),
        }
    }
}

/// A stored hash; zeros when it has another length, which no hash equals.
pub fn hash_from(bytes: &[u8]) -> Hash {
    bytes.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_moves_the_hash() {
        let at: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let entry = Entry::new("user:1", "stock.adjust", "sku:A");
        let link = Link::new(1, at, entry, "c", GENESIS);
        let changes: [fn(&mut Link); 9] = [
            |l| l.seq = 2,
            |l| l.at = l.at.plus(std::time::Duration::from_micros(1)),
            |l| l.actor = "user:2".into(),
            |l| l.action = "stock.adjusted".into(),
            |l| l.target = "sku:B".into(),
            |l| l.reason = Some(String::new()),
            |l| l.before_hash = Some(GENESIS),
            |l| l.after_hash = Some(GENESIS),
            |l| l.prev_hash = [1; 32],
        ];
        for change in changes {
            let mut other = link.clone();
            change(&mut other);
            assert_ne!(other.computed(), link.hash, "{other:?}");
        }
    }
}
