//! One result for everybody: computed when somebody asks, at most once in a while, and never twice at a time.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Bytes;
use futures::Stream;
use lakeward_actors::kit::Clock;
use serde_json::Value;
use tokio::sync::Mutex;

/// How long a result is good for.
const GOOD_FOR: Duration = Duration::from_millis(900);

/// How often listeners are told.
const TICK: Duration = Duration::from_secs(1);

/// Listeners hear something at least so often, in ticks: proxies close what is silent.
const SILENT: u32 = 15;

/// The newest result with the moment when it was made, and what is kept for the next.
type Held<S> = (Option<(Instant, Bytes)>, S);

/// A result, and `S`, what is kept from one to the next.
#[derive(Debug)]
pub struct Shared<S> {
    held: Arc<Mutex<Held<S>>>,
}

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self { held: Arc::clone(&self.held) }
    }
}

impl<S: Default> Default for Shared<S> {
    fn default() -> Self {
        Self { held: Arc::default() }
    }
}

impl<S: 'static> Shared<S> {
    /// The result as JSON; `make` is asked only if the last one is too old.
    pub async fn get(&self, clock: &Clock, make: impl AsyncFnOnce(&mut S) -> Value) -> Bytes {
        let (held, kept) = &mut *self.held.lock().await;
        let now = clock.steady();
        if let Some((_, text)) = held.as_ref().filter(|(at, _)| now.saturating_duration_since(*at) < GOOD_FOR) {
            return text.clone();
        }
        let text = Bytes::from(make(kept).await.to_string());
        *held = Some((now, text.clone()));
        text
    }
}

/// An answer that is JSON already.
pub fn json(text: Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").insert_header((header::CACHE_CONTROL, "no-store")).body(text)
}

/// Server-sent events called `name`: what `ask` gives, as often as it changes and at most once a tick.
pub fn events<F: Future<Output = Bytes> + 'static>(name: &'static str, ask: impl Fn() -> F + 'static) -> HttpResponse {
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let state = (tick, ask, Bytes::new(), 0);
    let stream = futures::stream::unfold(state, move |(mut tick, ask, mut last, mut silent)| async move {
        loop {
            tick.tick().await;
            let text = ask().await;
            silent += 1;
            let event = match text == last {
                false => format!("event: {name}\ndata: {}\n\n", String::from_utf8_lossy(&text)),
                true if silent >= SILENT => ": nothing new\n\n".to_owned(),
                true => continue,
            };
            (last, silent) = (text, 0);
            return Some((Ok::<_, actix_web::Error>(Bytes::from(event)), (tick, ask, last, silent)));
        }
    });
    event_stream(stream)
}

/// An answer of server-sent events, which nobody on the way may hold back.
pub fn event_stream<E: Into<Box<dyn std::error::Error>> + 'static>(
    events: impl Stream<Item = Result<Bytes, E>> + 'static,
) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events)
}
