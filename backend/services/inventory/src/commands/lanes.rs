//! Reservations that arrive together share a transaction.
//!
//! A caller queues its wish and then either gets its answer or its turn to
//! lead: the leader takes what waits, in arrival order, and serves it with one
//! commit. So a hot sku costs one row lock and one flush per batch, and nobody
//! queues at the row. No task of its own: a leader that is dropped lets go of
//! its turn, and whoever waited for it asks again (reserving is idempotent).
//!
//! Fairness holds within a process; between processes the row lock decides,
//! and the check in the database admits nothing twice.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use platform::{ApiError, Kind};
use tokio::sync::{Mutex, oneshot};

use super::Stockroom;
use super::reserve::{self, BatchError, Reserve, ReserveError, Reserved};
use crate::config::Settings;

type Answered = Result<Reserved, ApiError>;

/// Lines of one transaction, unless a single order has more.
const LINES_PER_BATCH: usize = 2_000;
/// How often a reservation that lost a race is tried anew.
const RACES: usize = 5;

pub struct Lanes {
    lanes: Vec<Lane>,
    batch_size: usize,
    queue_limit: usize,
}

#[derive(Default)]
struct Lane {
    waiting: std::sync::Mutex<VecDeque<Job>>,
    leading: Mutex<()>,
}

struct Job {
    wish: Arc<Reserve>,
    answer: oneshot::Sender<Answered>,
}

impl Lanes {
    pub fn new(settings: &Settings) -> Self {
        let lanes = (0..settings.batch_lanes).map(|_| Lane::default()).collect();
        let queue_limit = settings.queue_limit.div_ceil(settings.batch_lanes);
        Lanes { lanes, batch_size: settings.batch_size, queue_limit }
    }

    pub async fn reserve(&self, room: &Stockroom, wish: Reserve) -> Answered {
        let lane = self.lane_of(&wish);
        let wish = Arc::new(wish);
        'asking: loop {
            let mut answer = self.enqueue(lane, wish.clone())?;
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
                        let jobs = self.next_batch(lane);
                        serve(room, jobs).await;
                    }
                }
            }
            drop(turn);
        }
    }

    /// Orders with the same first sku meet in one lane.
    fn lane_of(&self, wish: &Reserve) -> &Lane {
        let mut hasher = DefaultHasher::new();
        wish.wanted.keys().next().hash(&mut hasher);
        let lane = hasher.finish() % self.lanes.len() as u64;
        &self.lanes[lane as usize]
    }

    fn enqueue(
        &self,
        lane: &Lane,
        wish: Arc<Reserve>,
    ) -> Result<oneshot::Receiver<Answered>, ReserveError> {
        let (answer, receiver) = oneshot::channel();
        let mut waiting = lane.waiting.lock().unwrap_or_else(|p| p.into_inner());
        if waiting.len() >= self.queue_limit {
            return Err(ReserveError::Overloaded);
        }
        waiting.push_back(Job { wish, answer });
        Ok(receiver)
    }

    fn next_batch(&self, lane: &Lane) -> Vec<Job> {
        let mut waiting = lane.waiting.lock().unwrap_or_else(|p| p.into_inner());
        let mut jobs: Vec<Job> = Vec::new();
        let mut lines = 0;
        while jobs.len() < self.batch_size {
            let Some(next) = waiting.front() else { break };
            lines += next.wish.wanted.len();
            if !jobs.is_empty() && lines > LINES_PER_BATCH {
                break;
            }
            // Whoever gave up waiting is not served.
            jobs.extend(waiting.pop_front().filter(|job| !job.answer.is_closed()));
        }
        jobs
    }
}

async fn serve(room: &Stockroom, mut jobs: Vec<Job>) {
    if jobs.is_empty() {
        return;
    }
    metrics::histogram!("inventory_reserve_batch_size").record(jobs.len() as f64);
    let wishes: Vec<&Reserve> = jobs.iter().map(|job| &*job.wish).collect();
    match in_one_transaction(room, &wishes).await {
        Ok(answers) => {
            for (job, answer) in jobs.into_iter().zip(answers) {
                tell(job, answer);
            }
        }
        Err(BatchError::Failed(error)) if error.kind == Kind::Unavailable => {
            for job in jobs {
                let away = ApiError::unavailable(error.code, error.detail.clone());
                tell(job, Err(away));
            }
        }
        Err(BatchError::Failed(error)) if jobs.len() == 1 => {
            if let Some(job) = jobs.pop() {
                tell(job, Err(error));
            }
        }
        // One bad wish must not spoil the others.
        Err(_) => {
            for job in jobs {
                let answer = alone(room, &job.wish).await;
                tell(job, answer);
            }
        }
    }
}

fn tell(job: Job, answer: Answered) {
    // A caller that is gone asks again if it still cares.
    drop(job.answer.send(answer));
}

async fn alone(room: &Stockroom, wish: &Reserve) -> Answered {
    for _ in 0..RACES {
        match in_one_transaction(room, &[wish]).await {
            Ok(mut answers) => match answers.pop() {
                Some(answer) => return answer,
                None => break,
            },
            Err(BatchError::Raced) => {}
            Err(BatchError::Failed(error)) => return Err(error),
        }
    }
    Err(ReserveError::Raced.into())
}

async fn in_one_transaction(
    room: &Stockroom,
    wishes: &[&Reserve],
) -> Result<Vec<Answered>, BatchError> {
    let mut tx = room.pool.begin().await?;
    let answers = reserve::on(room, &mut tx, wishes).await?;
    tx.commit().await?;
    Ok(answers.into_iter().map(|a| a.map_err(ApiError::from)).collect())
}
