//! The follower of Kafka's group offsets: advice for lag tools, never read back (F4). Promises I23: what it commits
//! never passes the head.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use lakeward_connect::kafka::Admin;
use tokio::sync::watch;

use crate::commit::Head;
use crate::kit::{Board, Sentinel};

/// The follower's name, in entries and metrics.
pub const NAME: &str = "kafka-group";

/// Pause after a failure; the offsets are advice, so nothing is urgent.
const BACK_OFF: Duration = Duration::from_secs(5);

/// Commits the head's offsets to Kafka's group.
pub struct GroupOffsets {
    admin: Arc<Admin>,
    group: String,
    topic: String,
    head: watch::Receiver<Head>,
    board: Board,
    sentinel: Sentinel,
}

/// How a follower's work ends. One that died leaves its sentinel to ring.
enum Ended {
    OnPurpose,
    Died,
}

impl GroupOffsets {
    /// A follower that commits offsets of `topic` for `group`.
    #[must_use]
    pub fn new(
        admin: Arc<Admin>,
        group: String,
        topic: String,
        head: watch::Receiver<Head>,
        board: Board,
        sentinel: Sentinel,
    ) -> Self {
        Self { admin, group, topic, head, board, sentinel }
    }
}

impl Actor for GroupOffsets {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let (admin, group, topic) = (Arc::clone(&self.admin), self.group.clone(), self.topic.clone());
        let (mut head, board) = (self.head.clone(), self.board.clone());
        let follow = async move {
            loop {
                let fold = Arc::clone(&head.borrow_and_update().fold);
                let offsets: BTreeMap<i32, i64> = fold.partitions.iter().map(|(&p, held)| (p, held.to)).collect();
                let (admin, group, topic) = (Arc::clone(&admin), group.clone(), topic.clone());
                let commit = tokio::task::spawn_blocking(move || admin.commit_offsets(&group, &topic, &offsets)).await;
                match commit {
                    Ok(Ok(())) => board.follower_done(NAME, fold.version),
                    Ok(Err(error)) => {
                        board.follower_trouble(NAME, &error.to_string());
                        tokio::time::sleep(BACK_OFF).await;
                        if head.has_changed().is_err() {
                            return Ended::OnPurpose;
                        }
                        continue;
                    }
                    Err(_) => return Ended::Died,
                }
                if head.changed().await.is_err() {
                    return Ended::OnPurpose;
                }
            }
        };
        let ended = |ended, actor: &mut Self, ctx: &mut Context<Self>| {
            if let Ended::OnPurpose = ended {
                actor.sentinel.rest();
            }
            ctx.stop();
        };
        ctx.spawn(follow.into_actor(self).map(ended));
    }
}
