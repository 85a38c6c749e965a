//! A subscription as a stream of events, as GraphQL over SSE has it.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Pos, Request, Response as Answer, ServerError};
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;
use shared_types::sse;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::auth::invalid_token;
use crate::error::ApiError;
use crate::lifecycle::Lifecycle;

/// Streams of one subgraph at once; the gateway lets fewer in.
const MAX_STREAMS: usize = 20_000;
/// How often a quiet stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When a client may come back that was sent away by a drain.
const BACK_AFTER: Duration = Duration::from_secs(1);

type Open = Arc<dyn Fn(Request) -> BoxStream<'static, Answer> + Send + Sync>;

/// What a subgraph with subscriptions needs besides. Cheap to clone.
#[derive(Clone)]
pub(super) struct Streams {
    open: Open,
    lifecycle: Lifecycle,
    places: Arc<Semaphore>,
}

/// Whether the caller takes a stream of events.
pub(super) fn accepted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok());
    accepted.flat_map(|v| v.split(',')).any(|range| {
        range.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(sse::MEDIA_TYPE)
    })
}

impl Streams {
    pub(super) fn new(
        lifecycle: Lifecycle,
        open: impl Fn(Request) -> BoxStream<'static, Answer> + Send + Sync + 'static,
    ) -> Self {
        Streams { open: Arc::new(open), lifecycle, places: Arc::new(Semaphore::new(MAX_STREAMS)) }
    }

    /// The answers to `request` until there are no more, the caller's token ends
    /// in `time_left`, or the process drains.
    pub(super) fn serve(&self, request: Request, time_left: Option<Duration>) -> Response {
        let Ok(place) = self.places.clone().try_acquire_owned() else {
            let full = ApiError::unavailable("graph.streams_full", "Too many live streams.");
            return written(stream::iter([last_words(&full)]));
        };
        let mut beat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let running = Running {
            answers: (self.open)(request),
            beat,
            end: time_left.map(|left| Instant::now() + left),
            lifecycle: self.lifecycle.clone(),
            _place: place,
        };
        written(stream::unfold(Some(running), |running| async move {
            let mut running = running?;
            match running.next().await {
                (text, true) => Some((text, Some(running))),
                (text, false) => Some((text, None)),
            }
        }))
    }
}

/// A refusal as a stream of one answer: who asks for events reads nothing else.
pub(super) fn refused(error: &ApiError) -> Response {
    written(stream::iter([last_words(error)]))
}

struct Running {
    answers: BoxStream<'static, Answer>,
    beat: Interval,
    end: Option<Instant>,
    lifecycle: Lifecycle,
    _place: OwnedSemaphorePermit,
}

impl Running {
    /// What is to be written next, and whether anything may follow.
    async fn next(&mut self) -> (String, bool) {
        let ended = async {
            match self.end {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.lifecycle.draining() => {
                let error = ApiError::unavailable("graph.part_away", "This part of the shop restarts.");
                (last_words(&error.retry_after(BACK_AFTER)), false)
            }
            () = ended => (last_words(&invalid_token()), false),
            answer = self.answers.next() => match answer {
                Some(answer) => (next(&answer), true),
                None => (sse::write("complete", ""), false),
            },
            _ = self.beat.tick() => (sse::HEARTBEAT.to_owned(), true),
        }
    }
}

fn next(answer: &Answer) -> String {
    match serde_json::to_string(answer) {
        Ok(text) => sse::write("next", &text),
        Err(error) => last_words(&ApiError::internal(error)),
    }
}

fn last_words(error: &ApiError) -> String {
    let entry = ServerError {
        locations: Vec::new(),
        ..error.as_graphql().into_server_error(Pos::default())
    };
    let body = json!({ "data": null, "errors": [entry] }).to_string();
    sse::write("next", &body) + &sse::write("complete", "")
}

fn written(events: impl stream::Stream<Item = String> + Send + 'static) -> Response {
    let bytes = events.map(|text| Ok::<_, std::convert::Infallible>(Bytes::from(text)));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(sse::MEDIA_TYPE)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, Body::from_stream(bytes)).into_response()
}
