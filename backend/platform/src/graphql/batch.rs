//! One statement for many objects.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use async_graphql::Error;
use async_graphql::dataloader::{DataLoader, Loader};
use futures_util::future::BoxFuture;

use crate::error::ApiError;
use crate::trace;

/// Keys of one statement; more are asked for in several.
const AT_ONCE: usize = 5_000;

/// Gathers what the objects of one answer ask for, and asks once.
pub type Batch<K, V> = DataLoader<Fetch<K, V>>;

type Ask<K, V> =
    Arc<dyn Fn(Vec<K>) -> BoxFuture<'static, Result<HashMap<K, V>, ApiError>> + Send + Sync>;

/// How a [`Batch`] gets its values.
pub struct Fetch<K, V> {
    ask: Ask<K, V>,
}

/// A failed batch, told to everybody who waited for it.
#[derive(Clone, Debug)]
pub struct Failed(Arc<ApiError>);

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.0.as_graphql()
    }
}

impl<K, V> Loader<K> for Fetch<K, V>
where
    K: Send + Sync + Hash + Eq + Clone + 'static,
    V: Send + Sync + Clone + 'static,
{
    type Value = V;
    type Error = Failed;

    async fn load(&self, keys: &[K]) -> Result<HashMap<K, V>, Failed> {
        let mut found = HashMap::with_capacity(keys.len());
        for some in keys.chunks(AT_ONCE) {
            let asked = (self.ask)(some.to_vec()).await;
            found.extend(asked.map_err(|error| Failed(Arc::new(error.logged())))?);
        }
        Ok(found)
    }
}

/// A batch that asks `state`, for one request: what it finds is of one caller.
pub fn batch<S, K, V, F>(
    state: &S,
    ask: impl Fn(S, Vec<K>) -> F + Send + Sync + 'static,
) -> Batch<K, V>
where
    S: Clone + Send + Sync + 'static,
    K: Send + Sync + Hash + Eq + Clone + 'static,
    V: Send + Sync + Clone + 'static,
    F: Future<Output = Result<HashMap<K, V>, ApiError>> + Send + 'static,
{
    let (state, context) = (state.clone(), trace::current());
    let ask: Ask<K, V> = Arc::new(move |keys| Box::pin(ask(state.clone(), keys)));
    // Awaited by the request that asks. When that is dropped it goes on, as long as
    // its statements may take.
    let spawn = move |work| tokio::spawn(trace::within(context.clone(), work));
    DataLoader::new(Fetch { ask }, spawn).max_batch_size(AT_ONCE)
}
