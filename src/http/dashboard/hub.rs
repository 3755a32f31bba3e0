//! Server-sent events: for each selection that somebody looks at, figures are computed once and sent to all who do.
//!
//! Computed when the marts have changed, at most once a second, and so that computing takes a tenth of the time at most,
//! however many selections there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use lakeward_actors::kit::Board;
use tokio::sync::watch;
use tokio::time::Instant;

use super::super::shared::event_stream;
use super::request::Asked;
use super::{Refusal, Seen};

/// Shortest time between two computations of one selection.
const PACE: Duration = Duration::from_secs(1);
/// How many times its own length a computation waits for the next, times the selections that are looked at.
const REST: u32 = 9;
/// How often it is looked whether the marts have changed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longest time without a computation: a selection up to now moves, and another process may be writing.
const AT_LEAST: Duration = Duration::from_secs(10);
/// The same for a process that doesn't own the pipeline and hears nothing of changes.
const STANDBY: Duration = Duration::from_secs(2);
/// How soon a fault is tried again.
const AFTER_FAULT: Duration = Duration::from_secs(2);
/// A comment is sent this often, so that a reader that has gone is noticed.
const BREATH: Duration = Duration::from_secs(15);
/// Different selections, and readers of one, at once.
const MOST_SELECTIONS: usize = 64;
const MOST_READERS: usize = 500;

/// What was last sent for a selection; `None` before the first.
type Frame = Option<web::Bytes>;

/// The selections of one board that somebody looks at.
#[derive(Default)]
pub struct Hub {
    watched: Mutex<BTreeMap<Asked, watch::Sender<Frame>>>,
}

/// Opens a stream of a selection's figures.
pub fn listen(seen: Seen, asked: Asked) -> Result<HttpResponse, Refusal> {
    let frames = subscribe(seen, asked)?;
    let stream = futures::stream::unfold((frames, true), |(mut frames, first)| async move {
        if first && frames.borrow_and_update().is_none() {
            // The head of the answer goes out at once.
            return Some((web::Bytes::from_static(b"retry: 1000\n\n"), (frames, false)));
        }
        if first {
            let frame = frames.borrow().clone().unwrap_or_default();
            return Some((frame, (frames, false)));
        }
        match tokio::time::timeout(BREATH, frames.changed()).await {
            Err(_) => Some((web::Bytes::from_static(b": still here\n\n"), (frames, false))),
            Ok(Err(_)) => None,
            Ok(Ok(())) => {
                let frame = frames.borrow_and_update().clone().unwrap_or_default();
                Some((frame, (frames, false)))
            }
        }
    });
    Ok(event_stream(futures::StreamExt::map(stream, Ok::<_, std::convert::Infallible>)))
}

fn subscribe(seen: Seen, asked: Asked) -> Result<watch::Receiver<Frame>, Refusal> {
    let full = |message: &str| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", message);
    let hub = Arc::clone(&seen.source.hub);
    let mut watched = hub.watched.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = watched.get(&asked) {
        if sender.receiver_count() >= MOST_READERS {
            return Err(full("too many look at this selection already"));
        }
        return Ok(sender.subscribe());
    }
    if watched.len() >= MOST_SELECTIONS {
        return Err(full("too many different selections are looked at already"));
    }
    let (sender, receiver) = watch::channel(None);
    watched.insert(asked.clone(), sender);
    actix_web::rt::spawn(keep_up(seen, asked));
    Ok(receiver)
}

/// Computes and sends until nobody looks any more.
async fn keep_up(seen: Seen, asked: Asked) {
    let mut sent: Frame = None;
    loop {
        let (begun, signs) = (Instant::now(), signs(&seen.shown.board));
        let (frame, fault) = match seen.figures(&asked).await {
            Ok(figures) => (event("data", &figures), false),
            Err(refusal) => (event("fault", &refusal.body()["error"]), true),
        };
        let took = begun.elapsed();
        let Some(selections) = send(&seen, &asked, &mut sent, frame) else { return };
        let pause = if fault { AFTER_FAULT } else { PACE.max(took * REST * selections) };
        tokio::time::sleep_until(begun + pause).await;
        let longest = if seen.shown.board.is_owner() { AT_LEAST } else { STANDBY };
        let until = begun + longest.max(pause);
        while !fault && signs == self::signs(&seen.shown.board) && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// How many selections are looked at; `None` if nobody looks at this one. Figures that are as before are not sent again.
fn send(seen: &Seen, asked: &Asked, sent: &mut Frame, frame: web::Bytes) -> Option<u32> {
    let mut watched = seen.source.hub.watched.lock().unwrap_or_else(PoisonError::into_inner);
    let sender = watched.get(asked)?;
    if sender.receiver_count() == 0 {
        watched.remove(asked);
        return None;
    }
    if sent.as_ref() != Some(&frame) {
        sender.send_replace(Some(frame.clone()));
        *sent = Some(frame);
    }
    Some(u32::try_from(watched.len()).unwrap_or(u32::MAX))
}

fn event(name: &str, body: &serde_json::Value) -> web::Bytes {
    web::Bytes::from(format!("event: {name}\ndata: {body}\n\n"))
}

/// Of a follower: when it last showed something, what it has applied, whether it is in trouble.
type Signs = (i64, Option<u64>, bool);

/// What changes when a mart shows something else: whose the pipeline is, and the followers' signs.
fn signs(board: &Board) -> (bool, BTreeMap<String, Signs>) {
    let followers = board.followers().iter().map(|follower| {
        let signs = (follower.fresh_at, follower.done.map(|version| version.0), follower.trouble.is_some());
        (follower.key().clone(), signs)
    });
    (board.is_owner(), followers.collect())
}
