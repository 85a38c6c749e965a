//! Streams of events, one event at a time.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::HeaderMap;
use http_body_util::BodyExt;
use serde_json::Value;
use shared_types::sse::{self, Event};

use super::GraphAnswer;

/// Longer than anything that works takes.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_EVENT_BYTES: usize = 1 << 20;

/// The answers to a subscription. Dropped, the stream is given up.
pub struct Live {
    pub headers: HeaderMap,
    body: Body,
    reader: sse::Reader,
    ready: VecDeque<Event>,
    /// Comments that came on the way.
    pub heartbeats: usize,
}

impl Live {
    /// Over an answer that is a stream of events.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn over(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let kind = parts.headers.get("content-type").and_then(|v| v.to_str().ok());
        assert_eq!((parts.status.as_u16(), kind), (200, Some(sse::MEDIA_TYPE)));
        let reader = sse::Reader::new(MAX_EVENT_BYTES);
        Live { headers: parts.headers, body, reader, ready: VecDeque::new(), heartbeats: 0 }
    }

    /// The next answer; none when the stream is complete.
    ///
    /// # Panics
    /// When none comes, or the stream breaks off.
    pub async fn next(&mut self) -> Option<GraphAnswer> {
        let event = match tokio::time::timeout(PATIENCE, self.event()).await {
            Ok(event) => event,
            Err(_) => panic!("no event came"),
        };
        match event {
            Some(event) if event.name == "next" => match serde_json::from_str(&event.data) {
                Ok(answer) => Some(GraphAnswer(answer)),
                Err(error) => panic!("{error} in {}", event.data),
            },
            Some(event) if event.name == "complete" => None,
            other => panic!("the stream ended with {other:?}"),
        }
    }

    /// The data of the next answer, which is without errors.
    pub async fn data(&mut self) -> Value {
        match self.next().await {
            Some(answer) => answer.data(),
            None => panic!("the stream is complete"),
        }
    }

    /// The next event; none when the connection ended.
    pub async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let bytes = match self.body.frame().await? {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(error) => panic!("the stream broke off: {error}"),
            };
            if bytes == sse::HEARTBEAT {
                self.heartbeats += 1;
            }
            match self.reader.push(&bytes) {
                Ok(events) => self.ready.extend(events),
                Err(sse::TooLong) => panic!("an event is too long"),
            }
        }
    }
}
