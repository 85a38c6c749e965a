//! A partition's lane: takes messages in chunks, settles them, stores offsets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::client::Watch;
use super::message::Incoming;
use super::{Shared, live};

const CHUNK: usize = 32;
/// With more than this waiting, the partition is not fetched any further.
const HIGH: usize = 1024;
const LOW: usize = 256;
/// Beyond [`HIGH`]: what was on its way when fetching stopped.
const CAPACITY: usize = 4096;

/// A message, and its offset in the partition it was read from, which differs
/// from its own coordinates when it was sent back.
type Queued = (Incoming, i64);

/// The sending end of a lane.
pub struct Lane {
    sender: mpsc::Sender<Queued>,
    pub stop: CancellationToken,
    gate: Arc<Gate>,
}

/// Stops and restarts the fetching of one partition.
struct Gate {
    topic: String,
    partition: i32,
    closed: Mutex<bool>,
}

impl Gate {
    /// Under the mutex, so that flag and client agree.
    fn set(&self, consumer: &StreamConsumer<Watch>, close: bool) {
        let mut closed = self.closed.lock().unwrap_or_else(|p| p.into_inner());
        if *closed == close {
            return;
        }
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, self.partition);
        let done = if close { consumer.pause(&list) } else { consumer.resume(&list) };
        match done {
            Ok(()) => *closed = close,
            // Not ours any more; the next owner begins anew.
            Err(error) => tracing::debug!(topic = self.topic, %error, "partition gate"),
        }
    }

    fn is_closed(&self) -> bool {
        *self.closed.lock().unwrap_or_else(|p| p.into_inner())
    }
}

impl Lane {
    /// Starts the lane of a partition; it ends when `stop` is cancelled.
    pub fn start(
        shared: &Arc<Shared>,
        consumer: &Arc<StreamConsumer<Watch>>,
        topic: &str,
        partition: i32,
        stop: CancellationToken,
        alive: TaskTrackerToken,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let gate = Arc::new(Gate { topic: topic.to_owned(), partition, closed: Mutex::new(false) });
        let work = Work {
            shared: shared.clone(),
            consumer: consumer.clone(),
            gate: gate.clone(),
            stop: stop.clone(),
            receiver,
        };
        let name = format!("{} {topic}/{partition}", shared.consumer.name);
        shared.ctx.lifecycle.spawn(name, async move {
            work.run().await;
            drop(alive);
            Ok(())
        });
        Lane { sender, stop, gate }
    }

    /// Not so much waits that the partition is left alone.
    pub fn is_fetched(&self) -> bool {
        !self.gate.is_closed()
    }

    /// Queues a message; waits only when far more came than was asked for.
    pub async fn push(&self, consumer: &StreamConsumer<Watch>, message: Incoming, offset: i64) {
        if self.sender.max_capacity() - self.sender.capacity() >= HIGH {
            self.gate.set(consumer, true);
        }
        tokio::select! {
            // A lane that stops takes nothing more: it will come again.
            () = self.stop.cancelled() => {}
            _ = self.sender.send((message, offset)) => {}
        }
    }
}

struct Work {
    shared: Arc<Shared>,
    consumer: Arc<StreamConsumer<Watch>>,
    gate: Arc<Gate>,
    stop: CancellationToken,
    receiver: mpsc::Receiver<Queued>,
}

impl Work {
    async fn run(mut self) {
        let mut chunk = Vec::with_capacity(CHUNK);
        loop {
            let received = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                received = self.receiver.recv_many(&mut chunk, CHUNK) => received,
            };
            if received == 0 {
                return;
            }
            if self.gate.is_closed() && self.receiver.len() <= LOW {
                self.gate.set(&self.consumer, false);
            }
            let last = chunk.last().map(|(_, offset)| *offset).unwrap_or_default();
            let messages: Vec<Incoming> = chunk.drain(..).map(|(message, _)| message).collect();
            if !live::settle_together(&self.shared, &messages).await
                && !self.settle(messages.into_iter()).await
            {
                return;
            }
            let (topic, partition) = (&self.gate.topic, self.gate.partition);
            if let Err(error) = self.consumer.store_offset(topic, partition, last) {
                tracing::debug!(topic, partition, %error, "offset not stored");
            }
        }
    }

    /// Several keys at once, the messages of each in order. False when `stop`
    /// came before all were settled.
    async fn settle(&self, chunk: impl Iterator<Item = Incoming>) -> bool {
        let groups = by_key(chunk);
        let at_once = self.shared.limits.at_once;
        let work = groups.into_iter().map(async |group| {
            for message in &group {
                if !live::settle(&self.shared, message, &self.stop).await {
                    return false;
                }
            }
            true
        });
        futures_util::stream::iter(work)
            .buffer_unordered(at_once)
            .fold(true, async |all, settled| all && settled)
            .await
    }
}

fn by_key(chunk: impl Iterator<Item = Incoming>) -> Vec<Vec<Incoming>> {
    let mut places = HashMap::new();
    let mut groups: Vec<Vec<Incoming>> = Vec::new();
    for message in chunk {
        if message.key.is_empty() {
            // Without a key there is no order.
            groups.push(vec![message]);
            continue;
        }
        let key = (message.topic.clone(), message.key.clone());
        let place = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(message),
            None => groups.push(vec![message]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_key_stay_together_and_in_order() {
        let message = |key: &str, offset| Incoming {
            topic: "t".into(),
            partition: 0,
            offset,
            key: key.into(),
            value: Vec::new(),
            headers: Default::default(),
            redriven: false,
        };
        let keys = ["a", "b", "", "a", "", "b", "c"];
        let groups = by_key(keys.iter().zip(0..).map(|(key, offset)| message(key, offset)));
        let offsets: Vec<Vec<i64>> =
            groups.iter().map(|g| g.iter().map(|m| m.offset).collect()).collect();
        assert_eq!(offsets, [vec![0, 3], vec![1, 5], vec![2], vec![4], vec![6]]);
    }
}
