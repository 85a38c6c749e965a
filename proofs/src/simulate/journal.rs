//! What a run has done so far, on disk before it counts.
//!
//! One JSON line per fact, appended and synced. The first line names the run;
//! every idempotency key derives from it, so what was done but not yet noted
//! when the process was killed is done again under the same key: once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::events::Marks;

/// What a run is known by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: String,
    /// The passwords of its customers derive from this.
    pub secret: String,
    /// 1 for the first run of a file in a shop; later ones need other skus.
    pub round: u32,
    /// Where the event log ended when it began.
    pub marks: Marks,
    /// The newest entry of the payment ledger then.
    pub ledger_position: i64,
}

/// An order as it was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    pub order_id: String,
    pub token: String,
    pub total_minor: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fact {
    Begin(Run),
    /// The product of a code is there with its stock.
    Product(String),
    Customer {
        customer: String,
        user_id: String,
    },
    Placed {
        invoice: String,
        order: Placed,
    },
    Confirmed {
        invoice: String,
    },
    Refused {
        invoice: String,
        reason: String,
    },
    Refunded {
        key: String,
        amount_minor: i64,
    },
    RefundRefused {
        key: String,
        reason: String,
    },
}

/// Everything noted so far.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    run: Option<Run>,
    pub products: BTreeSet<String>,
    pub customers: BTreeMap<String, String>,
    pub placed: BTreeMap<String, Placed>,
    pub confirmed: BTreeSet<String>,
    pub refused: BTreeMap<String, String>,
    pub refunded: BTreeMap<String, i64>,
    pub refunds_refused: BTreeMap<String, String>,
}

impl Facts {
    fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Begin(run) => self.run = Some(run),
            Fact::Product(code) => {
                self.products.insert(code);
            }
            Fact::Customer { customer, user_id } => {
                self.customers.insert(customer, user_id);
            }
            Fact::Placed { invoice, order } => {
                self.refused.remove(&invoice);
                self.placed.insert(invoice, order);
            }
            Fact::Confirmed { invoice } => {
                self.confirmed.insert(invoice);
            }
            Fact::Refused { invoice, reason } => {
                self.refused.insert(invoice, reason);
            }
            Fact::Refunded { key, amount_minor } => {
                self.refunds_refused.remove(&key);
                self.refunded.insert(key, amount_minor);
            }
            Fact::RefundRefused { key, reason } => {
                self.refunds_refused.insert(key, reason);
            }
        }
    }
}

pub struct Journal {
    inner: Mutex<(File, Facts)>,
}

impl Journal {
    /// Opens or makes the journal; `anew` puts an earlier one aside.
    pub fn open(path: &Path, anew: bool) -> anyhow::Result<Self> {
        let what = || format!("the journal {}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(what)?;
        }
        if anew && path.exists() {
            let aside = path.with_extension(format!("{}.jsonl", uuid::Uuid::new_v4().simple()));
            std::fs::rename(path, aside).with_context(what)?;
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(what)?;
        let locked = file.try_lock().is_ok();
        ensure!(locked, "{} is in use by another run", path.display());
        let mut text = String::new();
        file.read_to_string(&mut text).with_context(what)?;
        let (facts, whole) = read(&text).with_context(what)?;
        // What a kill left half written is written over.
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::Start(whole as u64))?;
        Ok(Journal { inner: Mutex::new((file, facts)) })
    }

    fn lock(&self) -> MutexGuard<'_, (File, Facts)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, fact: Fact) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(&fact)?;
        line.push(b'\n');
        tokio::task::block_in_place(|| {
            let mut inner = self.lock();
            inner.0.write_all(&line).context("writing the journal")?;
            inner.0.sync_data().context("writing the journal")?;
            inner.1.take(fact);
            Ok(())
        })
    }

    pub fn facts(&self) -> Facts {
        self.lock().1.clone()
    }

    /// Looks at what was noted.
    pub fn with<T>(&self, look: impl FnOnce(&Facts) -> T) -> T {
        look(&self.lock().1)
    }

    pub fn run(&self) -> Option<Run> {
        self.lock().1.run.clone()
    }

    pub fn begin(&mut self, run: &Run) -> anyhow::Result<()> {
        self.note(Fact::Begin(run.clone()))
    }

    pub fn product(&self, code: &str) -> anyhow::Result<()> {
        self.note(Fact::Product(code.to_owned()))
    }

    pub fn customer(&self, customer: &str, user_id: &str) -> anyhow::Result<()> {
        self.note(Fact::Customer { customer: customer.to_owned(), user_id: user_id.to_owned() })
    }

    pub fn placed(&self, invoice: &str, order: Placed) -> anyhow::Result<()> {
        self.note(Fact::Placed { invoice: invoice.to_owned(), order })
    }

    pub fn confirmed(&self, invoice: &str) -> anyhow::Result<()> {
        self.note(Fact::Confirmed { invoice: invoice.to_owned() })
    }

    pub fn refused(&self, invoice: &str, reason: String) -> anyhow::Result<()> {
        self.note(Fact::Refused { invoice: invoice.to_owned(), reason })
    }

    pub fn refunded(&self, key: &str, amount_minor: i64) -> anyhow::Result<()> {
        self.note(Fact::Refunded { key: key.to_owned(), amount_minor })
    }

    pub fn refund_refused(&self, key: &str, reason: String) -> anyhow::Result<()> {
        self.note(Fact::RefundRefused { key: key.to_owned(), reason })
    }
}

/// The facts, and how many bytes of `text` are whole lines.
fn read(text: &str) -> anyhow::Result<(Facts, usize)> {
    let (mut facts, mut whole) = (Facts::default(), 0);
    for line in text.split_inclusive('\n') {
        if !line.ends_with('\n') {
            break;
        }
        let fact = serde_json::from_str(line).with_context(|| format!("after byte {whole}"))?;
        facts.take(fact);
        whole += line.len();
    }
    Ok((facts, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_half_written_line_is_forgotten_and_the_rest_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/run.jsonl");
        let run = Run { id: "r1".to_owned(), round: 1, ..Run::default() };
        let order = Placed { order_id: "o".into(), token: "t".into(), total_minor: 5 };
        {
            let mut journal = Journal::open(&path, false).unwrap();
            journal.begin(&run).unwrap();
            journal.placed("1001", order.clone()).unwrap();
        }
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"confirmed\":{\"invo").unwrap();
        drop(file);
        {
            let journal = Journal::open(&path, false).unwrap();
            assert_eq!(journal.run(), Some(run.clone()));
            let facts = journal.facts();
            assert_eq!(facts.placed["1001"], order);
            assert!(facts.confirmed.is_empty());
            journal.confirmed("1001").unwrap();
        }
        let journal = Journal::open(&path, false).unwrap();
        assert!(journal.facts().confirmed.contains("1001"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.jsonl");
        let first = Journal::open(&path, false).unwrap();
        assert!(Journal::open(&path, false).is_err());
        drop(first);
        assert!(Journal::open(&path, true).unwrap().run().is_none());
    }
}
