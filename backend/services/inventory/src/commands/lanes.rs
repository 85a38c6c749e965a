//! Requests that arrive together share a transaction.
//!
//! A caller queues its wish and then either gets its answer or its turn to
//! lead: the leader takes what waits, in arrival order, and serves it with one
//! commit. So a hot sku costs one row lock and one flush per batch, and nobody
//! queues at the row. The size of a batch tunes itself: it is what arrived
//! while the one before was committed; alone, a wish goes at once and plainly.
//! No task of its own: a leader that is dropped lets go of its turn, and
//! whoever waited for it asks again (all commands are idempotent).
//!
//! A sku that fills its lane gets a lane of its own, so that the others do not
//! wait behind it. Fairness holds within a process; between processes the row
//! lock decides, and the check in the database admits nothing twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex as Plain, PoisonError};

use platform::{ApiError, Kind};
use tokio::sync::{Mutex, oneshot};

use super::Stockroom;
use super::reserve::{self, BatchError, Reserve, ReserveError, Reserved};
use super::settle::{self, How, Settle, Settled};
use crate::config::Settings;

/// Lines of one transaction, unless a single order has more.
const LINES_PER_BATCH: usize = 2_000;
/// How often a wish that lost a race is tried anew.
const RACES: usize = 5;
/// Wishes of one key in one batch that make it hot.
const HOT: usize = 32;
/// Hot lanes at once; further hot keys stay where they are.
const MOST_HOT: usize = 64;

/// A wish that can share a transaction with others.
pub trait Wish: Send + Sync + Sized + 'static {
    type Answer: Send;

    /// Wishes of one key meet in one lane.
    fn key(&self) -> String;
    /// How much of a transaction it fills.
    fn lines(&self) -> usize;
    /// Answers in the order of `wishes`; none: serve this one alone.
    fn serve(
        room: &Stockroom,
        wishes: &[&Self],
    ) -> impl Future<Output = Result<Vec<Option<Answered<Self>>>, BatchError>> + Send;
    /// Serves one wish on a transaction of its own.
    fn alone(
        room: &Stockroom,
        wish: &Self,
    ) -> impl Future<Output = Result<Answered<Self>, BatchError>> + Send;
}

type Answered<W> = Result<<W as Wish>::Answer, ApiError>;

pub struct Lanes<W: Wish> {
    lanes: Vec<Arc<Lane<W>>>,
    /// Lanes of single keys.
    hot: Plain<HashMap<String, Arc<Lane<W>>>>,
    batch_size: usize,
    queue_limit: usize,
}

struct Lane<W: Wish> {
    waiting: Plain<VecDeque<Job<W>>>,
    leading: Mutex<()>,
}

struct Job<W: Wish> {
    wish: Arc<W>,
    answer: oneshot::Sender<Answered<W>>,
}

impl<W: Wish> Default for Lane<W> {
    fn default() -> Self {
        Lane { waiting: Plain::default(), leading: Mutex::default() }
    }
}

impl<W: Wish> Lanes<W> {
    pub fn new(settings: &Settings) -> Self {
        let lanes = (0..settings.batch_lanes).map(|_| Arc::default()).collect();
        let queue_limit = settings.queue_limit.div_ceil(settings.batch_lanes);
        let hot = Plain::default();
        Lanes { lanes, hot, batch_size: settings.batch_size, queue_limit }
    }

    /// Queues `wish` and serves what waits, until it has its answer.
    pub async fn ask(&self, room: &Stockroom, wish: W) -> Answered<W> {
        let key = wish.key();
        let lane = self.lane_of(&key);
        let wish = Arc::new(wish);
        'asking: loop {
            let mut answer = self.enqueue(&lane, wish.clone())?;
            let turn = tokio::select! {
                biased;
                answered = &mut answer => match answered {
                    Ok(answered) => return answered,
                    // The leader was dropped with our wish in its hands.
                    Err(_) => continue 'asking,
                },
                turn = lane.leading.lock() => turn,
            };
            loop {
                match answer.try_recv() {
                    Ok(answered) => return answered,
                    Err(oneshot::error::TryRecvError::Closed) => break,
                    Err(oneshot::error::TryRecvError::Empty) => {
                        let jobs = self.next_batch(&lane);
                        self.watch(&key, &jobs);
                        serve(room, jobs).await;
                    }
                }
            }
            drop(turn);
        }
    }

    fn lane_of(&self, key: &str) -> Arc<Lane<W>> {
        let hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = hot.get(key) {
            return lane.clone();
        }
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let lane = hasher.finish() % self.lanes.len() as u64;
        self.lanes[lane as usize].clone()
    }

    /// Gives the key of the leader a lane of its own when it fills this one,
    /// and takes it back when hardly anybody comes any more.
    fn watch(&self, key: &str, jobs: &[Job<W>]) {
        let mut hot = self.hot.lock().unwrap_or_else(PoisonError::into_inner);
        if hot.contains_key(key) {
            if jobs.len() <= 1 {
                hot.remove(key);
            }
        } else if jobs.len() >= HOT
            && hot.len() < MOST_HOT
            && jobs.iter().filter(|job| job.wish.key() == key).count() >= HOT
        {
            hot.insert(key.to_owned(), Arc::default());
        }
    }

    fn enqueue(
        &self,
        lane: &Lane<W>,
        wish: Arc<W>,
    ) -> Result<oneshot::Receiver<Answered<W>>, ReserveError> {
        let (answer, receiver) = oneshot::channel();
        let mut waiting = lane.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= self.queue_limit {
            return Err(ReserveError::Overloaded);
        }
        waiting.push_back(Job { wish, answer });
        Ok(receiver)
    }

    fn next_batch(&self, lane: &Lane<W>) -> Vec<Job<W>> {
        let mut waiting = lane.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut jobs: Vec<Job<W>> = Vec::new();
        let mut lines = 0;
        while jobs.len() < self.batch_size {
            let Some(next) = waiting.front() else { break };
            lines += next.wish.lines();
            if !jobs.is_empty() && lines > LINES_PER_BATCH {
                break;
            }
            // Whoever gave up waiting is not served.
            jobs.extend(waiting.pop_front().filter(|job| !job.answer.is_closed()));
        }
        jobs
    }
}

async fn serve<W: Wish>(room: &Stockroom, jobs: Vec<Job<W>>) {
    if jobs.is_empty() {
        return;
    }
    if jobs.len() == 1 {
        for job in jobs {
            let answer = alone(room, &*job.wish).await;
            tell(job, answer);
        }
        return;
    }
    let wishes: Vec<&W> = jobs.iter().map(|job| &*job.wish).collect();
    match W::serve(room, &wishes).await {
        Ok(answers) => {
            for (job, answer) in jobs.into_iter().zip(answers) {
                let answer = match answer {
                    Some(answer) => answer,
                    None => alone(room, &*job.wish).await,
                };
                tell(job, answer);
            }
        }
        Err(BatchError::Failed(error)) if error.kind == Kind::Unavailable => {
            for job in jobs {
                let away = ApiError::unavailable(error.code, error.detail.clone());
                tell(job, Err(away));
            }
        }
        // One bad wish must not spoil the others.
        Err(_) => {
            for job in jobs {
                let answer = alone(room, &*job.wish).await;
                tell(job, answer);
            }
        }
    }
}

fn tell<W: Wish>(job: Job<W>, answer: Answered<W>) {
    // A caller that is gone asks again if it still cares.
    drop(job.answer.send(answer));
}

async fn alone<W: Wish>(room: &Stockroom, wish: &W) -> Answered<W> {
    for _ in 0..RACES {
        match W::alone(room, wish).await {
            Ok(answer) => return answer,
            Err(BatchError::Raced) => {}
            Err(BatchError::Failed(error)) => return Err(error),
        }
    }
    Err(ReserveError::Raced.into())
}

impl Wish for Reserve {
    type Answer = Reserved;

    fn key(&self) -> String {
        self.wanted.keys().next().map(|ask| ask.sku_key.clone()).unwrap_or_default()
    }

    fn lines(&self) -> usize {
        self.wanted.len()
    }

    async fn serve(
        room: &Stockroom,
        wishes: &[&Self],
    ) -> Result<Vec<Option<Answered<Self>>>, BatchError> {
        metrics::histogram!("inventory_reserve_batch_size").record(wishes.len() as f64);
        let mut answers: Vec<Option<Answered<Self>>> = wishes.iter().map(|_| None).collect();
        let suspected: Vec<usize> =
            (0..wishes.len()).filter(|i| reserve::looks_sold_out(room, wishes[*i])).collect();
        if !suspected.is_empty() {
            let asked: Vec<&Reserve> = suspected.iter().map(|i| wishes[*i]).collect();
            for (i, refusal) in suspected.into_iter().zip(reserve::refuse(room, &asked).await?) {
                answers[i] = refusal.map(|answer| answer.map_err(ApiError::from));
            }
        }
        let open: Vec<usize> = (0..wishes.len()).filter(|i| answers[*i].is_none()).collect();
        if open.is_empty() {
            return Ok(answers);
        }
        let asked: Vec<&Reserve> = open.iter().map(|i| wishes[*i]).collect();
        let mut tx = room.pool.begin().await?;
        let served = reserve::on(room, &mut tx, &asked).await?;
        tx.commit().await?;
        for (i, answer) in open.into_iter().zip(served) {
            answers[i] = Some(answer.map_err(ApiError::from));
        }
        Ok(answers)
    }

    async fn alone(room: &Stockroom, wish: &Self) -> Result<Answered<Self>, BatchError> {
        let mut answers = Self::serve(room, &[wish]).await?;
        Ok(answers.pop().flatten().unwrap_or_else(|| Err(ReserveError::Raced.into())))
    }
}

impl Wish for Settle {
    type Answer = Settled;

    /// Which skus an order holds is not known yet: all meet by their kind.
    fn key(&self) -> String {
        match self.how {
            How::Confirm => "confirm".to_owned(),
            How::Release => "release".to_owned(),
        }
    }

    fn lines(&self) -> usize {
        1
    }

    async fn serve(
        room: &Stockroom,
        wishes: &[&Self],
    ) -> Result<Vec<Option<Answered<Self>>>, BatchError> {
        metrics::histogram!("inventory_settle_batch_size").record(wishes.len() as f64);
        let mut tx = room.pool.begin().await?;
        let answers = settle::together(room, &mut tx, wishes).await?;
        tx.commit().await?;
        Ok(answers.into_iter().map(|answer| answer.map(Ok)).collect())
    }

    async fn alone(room: &Stockroom, wish: &Self) -> Result<Answered<Self>, BatchError> {
        // Two statements of a release may meet a reservation between them.
        match settle::alone(room, wish).await {
            Err(error) if error.code == "inventory.raced" => Err(BatchError::Raced),
            answer => Ok(answer),
        }
    }
}
