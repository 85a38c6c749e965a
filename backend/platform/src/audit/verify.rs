//! Walks the chain and says where it is broken.

use shared_types::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{Connection, PgConnection, Row};

use super::chain::{self, GENESIS, Hash, Link};
use crate::crypto::ColumnCipher;

/// Rows read at a time.
const PAGE: i64 = 1_000;
/// More findings than this tell nothing new.
const MAX_FINDINGS: usize = 100;

/// A place where the log is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The row's content is not what its hash was made of.
    Changed { seq: i64 },
    /// Rows are missing from `from` to `to`, both included.
    Removed { from: i64, to: i64 },
    /// The row does not follow the one before it.
    Unlinked { seq: i64 },
    /// The end of the log is missing: it should reach `to`.
    TailRemoved { from: i64, to: i64 },
    /// Rows beyond the recorded end.
    Added { seq: i64 },
    /// The recorded end was not written by this installation.
    SealBroken,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Finding::Changed { seq } => write!(f, "entry {seq} was changed"),
            Finding::Removed { from, to } if from == to => write!(f, "entry {from} is missing"),
            Finding::Removed { from, to } => write!(f, "entries {from} to {to} are missing"),
            Finding::Unlinked { seq } => {
                write!(f, "entry {seq} does not follow the one before it: replaced or moved")
            }
            Finding::TailRemoved { from, to } => {
                write!(f, "the end is cut off: entries {from} to {to} are missing")
            }
            Finding::Added { seq } => write!(f, "entry {seq} lies beyond the recorded end"),
            Finding::SealBroken => f.write_str("the recorded end carries a wrong seal"),
        }
    }
}

/// What a walk over one schema's log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries that were read.
    pub entries: i64,
    /// Empty when the log is whole; at most 100.
    pub findings: Vec<Finding>,
}

/// The keyed seal over the end of the chain.
pub(super) fn seal(cipher: &ColumnCipher, seq: i64, hash: &Hash) -> Hash {
    cipher.blind_index("audit_head", &format!("{seq}:{}", hex::encode(hash)))
}

/// Walks the log of the schema that the connection's search path names.
pub async fn verify(
    connection: &mut PgConnection,
    cipher: &ColumnCipher,
) -> Result<Report, sqlx::Error> {
    let mut tx = connection.begin().await?;
    // One picture: rows that come meanwhile belong to another end.
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *tx)
        .await?;
    let head =
        sqlx::query("SELECT seq, hash, seal FROM audit_head").fetch_optional(&mut *tx).await?;
    let mut walk = Walk::default();
    loop {
        let rows = sqlx::query(
            "SELECT seq, at, actor, action, target, before_hash, after_hash, reason,
                    correlation_id, prev_hash, hash
             FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2",
        )
        .bind(walk.last_seq)
        .bind(PAGE)
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            walk.step(&link_of(row)?);
        }
        if (rows.len() as i64) < PAGE {
            break;
        }
    }
    tx.rollback().await?;
    let (seq, hash, sealed) = match &head {
        Some(row) => (
            row.try_get("seq")?,
            chain::hash_from(&row.try_get::<Vec<u8>, _>("hash")?),
            row.try_get::<Option<Vec<u8>>, _>("seal")?,
        ),
        None => (0, GENESIS, Some(Vec::new())),
    };
    walk.end(seq, hash);
    let untouched = seq == 0 && hash == GENESIS && sealed.is_none();
    if !untouched && sealed.as_deref() != Some(&seal(cipher, seq, &hash)[..]) {
        walk.find(Finding::SealBroken);
    }
    Ok(walk.report)
}

fn link_of(row: &PgRow) -> Result<Link, sqlx::Error> {
    let hash = |name: &str| row.try_get::<Vec<u8>, _>(name).map(|b| chain::hash_from(&b));
    let maybe = |name: &str| {
        row.try_get::<Option<Vec<u8>>, _>(name).map(|b| b.map(|b| chain::hash_from(&b)))
    };
    Ok(Link {
        seq: row.try_get("seq")?,
        at: row.try_get::<Timestamp, _>("at")?,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        target: row.try_get("target")?,
        before_hash: maybe("before_hash")?,
        after_hash: maybe("after_hash")?,
        reason: row.try_get("reason")?,
        correlation_id: row.try_get("correlation_id")?,
        prev_hash: hash("prev_hash")?,
        hash: hash("hash")?,
    })
}

#[derive(Default)]
struct Walk {
    last_seq: i64,
    last_hash: Hash,
    report: Report,
}

impl Walk {
    fn find(&mut self, finding: Finding) {
        if self.report.findings.len() < MAX_FINDINGS {
            self.report.findings.push(finding);
        }
    }

    fn step(&mut self, link: &Link) {
        let gap = link.seq > self.last_seq + 1;
        if gap {
            self.find(Finding::Removed { from: self.last_seq + 1, to: link.seq - 1 });
        }
        if link.computed() != link.hash {
            self.find(Finding::Changed { seq: link.seq });
        } else if !gap && link.prev_hash != self.last_hash {
            self.find(Finding::Unlinked { seq: link.seq });
        }
        self.last_seq = link.seq;
        // Goes on from what is stored, so that one change is found once.
        self.last_hash = link.hash;
        self.report.entries += 1;
    }

    fn end(&mut self, seq: i64, hash: Hash) {
        if self.last_seq < seq {
            self.find(Finding::TailRemoved { from: self.last_seq + 1, to: seq });
        } else if self.last_seq > seq {
            self.find(Finding::Added { seq: seq + 1 });
        } else if self.last_hash != hash {
            self.find(Finding::Unlinked { seq });
        }
    }
}
