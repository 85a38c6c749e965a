//! Reads that are asked for at once go to the database together.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Semaphore;
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::error::ApiError;

/// Gathers the questions of concurrent callers and asks them in one go.
///
/// A caller queues its question and then either gets its answer or the turn to
/// ask everything that waits. Alone, a question goes at once; in a crowd a round
/// holds what came during the rounds before. A question is asked after it came,
/// never before, so its answer knows of everything that was committed by then.
/// No task of its own: whoever waits for a caller that was dropped asks again.
pub struct Gather<Q, A> {
    waiting: Mutex<VecDeque<(Q, Caller<A>)>>,
    asking: Semaphore,
}

/// What became of one question.
type Answered<A> = Result<A, ApiError>;
type Caller<A> = oneshot::Sender<Answered<A>>;

/// Rounds at once.
const ROUNDS: usize = 2;
/// Questions in a round.
const ROUND_SIZE: usize = 256;
/// Questions that may wait.
const QUEUE_LIMIT: usize = 10_000;

impl<Q, A> Default for Gather<Q, A> {
    fn default() -> Self {
        Gather { waiting: Mutex::default(), asking: Semaphore::new(ROUNDS) }
    }
}

impl<Q: Clone, A> Gather<Q, A> {
    /// The answer to `question`. `ask` gives one answer for each question, in their
    /// order; when it fails, all of the round fail alike. 503 `request.overloaded`
    /// when too many wait.
    pub async fn ask<F, Answers>(&self, question: Q, ask: F) -> Result<A, ApiError>
    where
        F: Fn(Vec<Q>) -> Answers,
        Answers: Future<Output = Result<Vec<Result<A, ApiError>>, ApiError>>,
    {
        'ask: loop {
            let mut answer = self.enqueue(question.clone())?;
            let turn = tokio::select! {
                biased;
                answered = &mut answer => match answered {
                    Ok(answered) => return answered,
                    Err(_) => continue,
                },
                turn = self.asking.acquire() => turn.map_err(ApiError::internal)?,
            };
            loop {
                match answer.try_recv() {
                    Ok(answered) => return answered,
                    Err(TryRecvError::Closed) => continue 'ask,
                    Err(TryRecvError::Empty) => {}
                }
                let Some((questions, callers)) = self.next_round() else { break };
                tell(callers, ask(questions).await);
            }
            drop(turn);
            // Otherwise somebody else's round has the question.
            if let Ok(answered) = answer.await {
                return answered;
            }
        }
    }

    fn enqueue(&self, question: Q) -> Result<oneshot::Receiver<Answered<A>>, ApiError> {
        let (caller, answer) = oneshot::channel();
        let mut waiting = self.waiting();
        if waiting.len() >= QUEUE_LIMIT {
            let detail = "Too many ask at once.";
            return Err(ApiError::unavailable("request.overloaded", detail));
        }
        waiting.push_back((question, caller));
        Ok(answer)
    }

    fn next_round(&self) -> Option<(Vec<Q>, Vec<Caller<A>>)> {
        let mut waiting = self.waiting();
        let still_wanted = std::iter::from_fn(|| waiting.pop_front())
            .filter(|(_, caller)| !caller.is_closed())
            .take(ROUND_SIZE);
        let (questions, callers): (Vec<Q>, Vec<Caller<A>>) = still_wanted.unzip();
        (!questions.is_empty()).then_some((questions, callers))
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<(Q, Caller<A>)>> {
        self.waiting.lock().unwrap_or_else(|p| p.into_inner())
    }
}

/// A caller that is gone asks again if it still cares.
fn tell<A>(callers: Vec<Caller<A>>, answers: Result<Vec<Answered<A>>, ApiError>) {
    let counted = answers.and_then(|answers| match answers.len() == callers.len() {
        true => Ok(answers),
        false => {
            let (told, asked) = (answers.len(), callers.len());
            Err(ApiError::internal(anyhow::anyhow!("{told} answers to {asked} questions")))
        }
    });
    match counted {
        Ok(answers) => {
            callers.into_iter().zip(answers).for_each(|(caller, answer)| drop(caller.send(answer)));
        }
        Err(error) => {
            let error = error.logged();
            callers.into_iter().for_each(|caller| drop(caller.send(Err(error.clone()))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Kind;

    async fn doubled(numbers: Vec<usize>) -> Result<Vec<Answered<usize>>, ApiError> {
        tokio::task::yield_now().await;
        Ok(numbers.into_iter().map(|n| Ok(n * 2)).collect())
    }

    #[tokio::test]
    async fn a_crowd_shares_rounds_and_each_gets_its_own_answer() {
        let (gather, rounds) = (Arc::new(Gather::default()), Arc::new(AtomicUsize::new(0)));
        let asks = (0..1_000usize).map(|n| {
            let (gather, rounds) = (gather.clone(), rounds.clone());
            async move {
                let ask = |numbers| {
                    rounds.fetch_add(1, Ordering::Relaxed);
                    doubled(numbers)
                };
                assert_eq!(gather.ask(n, ask).await.unwrap(), n * 2);
            }
        });
        futures_util::future::join_all(asks).await;
        let rounds = rounds.load(Ordering::Relaxed);
        assert!((4..20).contains(&rounds), "{rounds} rounds of at most {ROUND_SIZE}");
        assert!(gather.waiting().is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_for_a_caller_that_is_gone_asks_again() {
        let gather = Arc::new(Gather::default());
        let stuck = |_: Vec<usize>| std::future::pending();
        let leader = Box::pin(gather.ask(1, stuck));
        let other_leader = Box::pin(gather.ask(2, stuck));
        let mut leaders = futures_util::future::join(leader, other_leader);
        assert!(futures_util::poll!(&mut leaders).is_pending());
        let mut waiting = Box::pin(gather.ask(3, doubled));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(leaders);
        assert_eq!(waiting.await.unwrap(), 6);
    }

    #[tokio::test]
    async fn whoever_has_a_turn_and_waits_for_a_caller_that_is_gone_asks_again() {
        let gather = Gather::default();
        let stuck = |_: Vec<usize>| std::future::pending();
        let mut leaders = Box::pin(futures_util::future::join(
            Box::pin(gather.ask(1, stuck)),
            Box::pin(gather.ask(2, stuck)),
        ));
        assert!(futures_util::poll!(&mut leaders).is_pending());
        let mut third = Box::pin(gather.ask(3, doubled));
        assert!(futures_util::poll!(&mut third).is_pending());
        let mut fourth = Box::pin(gather.ask(4, stuck));
        assert!(futures_util::poll!(&mut fourth).is_pending());
        // Each of them has a turn now; the fourth uses it first and asks for both.
        drop(leaders);
        assert!(futures_util::poll!(&mut fourth).is_pending());
        let _fifth = gather.enqueue(5).unwrap();
        assert!(futures_util::poll!(&mut third).is_pending(), "it asks for the fifth");
        drop(fourth);
        assert_eq!(third.await.unwrap(), 6);
    }

    #[tokio::test]
    async fn a_question_behind_a_whole_round_of_gone_callers_is_asked() {
        let gather = Gather::default();
        let stuck = |_: Vec<usize>| std::future::pending();
        let mut leaders = Box::pin(futures_util::future::join(
            Box::pin(gather.ask(0, stuck)),
            Box::pin(gather.ask(1, stuck)),
        ));
        assert!(futures_util::poll!(&mut leaders).is_pending());
        let gone: Vec<_> = (0..ROUND_SIZE).map(|n| gather.enqueue(n).unwrap()).collect();
        let mut waiting = Box::pin(gather.ask(3, doubled));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop((leaders, gone));
        assert_eq!(waiting.await.unwrap(), 6);
    }

    #[tokio::test]
    async fn a_round_that_fails_fails_for_all_of_it() {
        let gather = Gather::<usize, usize>::default();
        let failing = async |_: Vec<usize>| Err(ApiError::unavailable("test.away", "away"));
        let asks = (0..5).map(|n| gather.ask(n, failing));
        for answer in futures_util::future::join_all(asks).await {
            let error = answer.unwrap_err();
            assert_eq!((error.kind, error.code), (Kind::Unavailable, "test.away"));
            assert_eq!(error.retry_after, Some(std::time::Duration::from_secs(1)));
        }
    }

    #[tokio::test]
    async fn a_round_with_an_answer_too_few_fails() {
        let gather = Gather::<usize, usize>::default();
        let error = gather.ask(1, async |_| Ok(Vec::new())).await.unwrap_err();
        assert_eq!(error.kind, Kind::Internal);
    }
}
