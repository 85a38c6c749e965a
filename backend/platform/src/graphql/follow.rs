//! Following something that changes, for subscriptions.

use std::time::Duration;

use async_graphql::Error;
use futures_util::stream::{self, Stream, StreamExt};

use crate::error::ApiError;
use crate::wakes::Watch;

/// Reads what is followed.
pub trait Follow: Send + 'static {
    type Item: Send;

    /// What is new since the last call, oldest first; the first call gives what
    /// is there now. A call that failed is made again.
    fn news(&mut self) -> impl Future<Output = Result<Vec<Self::Item>, ApiError>> + Send;
}

/// After a failure, such as a lost database, the next look is that much later.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

struct Following<F> {
    watch: Watch,
    source: F,
    /// Whether the first look succeeded.
    begun: bool,
}

/// Everything that `source` finds: now, and whenever `watch` is rung, but never
/// more often than once per `pace`: what happens in between is one look. Fails
/// only when the first look does.
pub fn follow<F: Follow>(
    watch: Watch,
    pace: Duration,
    source: F,
) -> impl Stream<Item = Result<F::Item, Error>> + Send {
    let following = Following { watch, source, begun: false };
    let looks = stream::unfold(Some(following), move |following| async move {
        let mut following = following?;
        loop {
            if following.begun {
                tokio::time::sleep(pace).await;
                following.watch.rung().await;
            }
            match following.look().await {
                Ok(news) if news.is_empty() => {}
                Ok(news) => return Some((news, Some(following))),
                Err(error) => return Some((vec![Err(error.into())], None)),
            }
        }
    });
    looks.flat_map(stream::iter)
}

impl<F: Follow> Following<F> {
    async fn look(&mut self) -> Result<Vec<Result<F::Item, Error>>, ApiError> {
        loop {
            match self.source.news().await {
                Ok(news) => {
                    self.begun = true;
                    return Ok(news.into_iter().map(Ok).collect());
                }
                Err(error) if self.begun => {
                    tracing::warn!(code = error.code, "a subscription cannot look for a moment");
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures_util::poll;

    use super::*;
    use crate::wakes::Wakes;

    /// Finds what it was given, look by look; none: the look fails.
    struct Script(VecDeque<Option<Vec<u8>>>);

    impl Follow for Script {
        type Item = u8;

        async fn news(&mut self) -> Result<Vec<u8>, ApiError> {
            self.0.pop_front().flatten().ok_or_else(|| ApiError::unavailable("test.away", "away"))
        }
    }

    fn following(
        wakes: &Wakes,
        looks: impl IntoIterator<Item = Option<Vec<u8>>>,
    ) -> impl Stream<Item = Result<u8, Error>> {
        follow(wakes.watch("x"), Duration::ZERO, Script(looks.into_iter().collect()))
    }

    #[tokio::test]
    async fn news_come_in_order_and_a_failure_on_the_way_is_passed_over() {
        let wakes = Wakes::over("test");
        let looks = [Some(vec![1]), Some(vec![]), None, Some(vec![2, 3])];
        let mut news = Box::pin(following(&wakes, looks));
        assert_eq!(news.next().await.unwrap().ok(), Some(1));
        assert!(poll!(news.next()).is_pending(), "nothing was rung");
        let ringing = async {
            loop {
                wakes.wake("x");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let found = tokio::select! {
            found = news.next() => found,
            () = ringing => None,
        };
        assert_eq!(found.unwrap().ok(), Some(2), "a look that finds nothing says nothing");
        assert_eq!(news.next().await.unwrap().ok(), Some(3));
    }

    #[tokio::test]
    async fn a_first_look_that_fails_ends_it() {
        let wakes = Wakes::over("test");
        let mut news = Box::pin(following(&wakes, [None]));
        assert!(news.next().await.unwrap().is_err());
        assert!(news.next().await.is_none());
    }
}
