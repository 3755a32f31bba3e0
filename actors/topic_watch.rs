//! TopicWatch: asks Kafka where partitions end and which partitions there are, and tells the CommitActor which are
//! idle (T2), which are new (T3), and the sources which must wait (T7).

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use lakeward_connect::kafka::Admin;
use lakeward_core::idle::{IdleJudge, Progress, must_wait};
use lakeward_core::log::NewPartition;
use lakeward_core::pipeline::Time;

use crate::commit::CommitMsg;
use crate::kit::clock::span;
use crate::kit::{Board, Clock, Outbox, Sentinel};

/// Asked this many times in `idle_after` (T2).
const QUESTIONS: i64 = 4;

/// How often the list of partitions is asked, in questions for their ends.
const TOPIC_EVERY: u32 = 4;

/// The watcher of one topic.
pub struct TopicWatch {
    admin: Arc<Admin>,
    topic: String,
    time: Time,
    incarnation: i32,
    judges: BTreeMap<i32, IdleJudge>,
    commit: Outbox<CommitMsg>,
    board: Board,
    clock: Clock,
    asked: u32,
    asking: bool,
    sentinel: Sentinel,
}

/// What Kafka answered.
struct Answer {
    ends: BTreeMap<i32, Option<i64>>,
    partitions: Option<(Option<String>, Vec<i32>)>,
}

impl TopicWatch {
    /// A watcher of `topic`, whose present incarnation is given.
    #[must_use]
    #[allow(clippy::too_many_arguments, reason = "a constructor of plain parts")]
    pub fn new(
        admin: Arc<Admin>,
        topic: String,
        time: Time,
        incarnation: i32,
        commit: Outbox<CommitMsg>,
        board: Board,
        clock: Clock,
        sentinel: Sentinel,
    ) -> Self {
        let judges = BTreeMap::new();
        Self { admin, topic, time, incarnation, judges, commit, board, clock, asked: 0, asking: false, sentinel }
    }

    fn every(&self) -> Duration {
        span(self.time.idle_after / QUESTIONS).max(Duration::from_millis(100))
    }

    fn ask(&mut self, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.asking, true) {
            return;
        }
        let known: Vec<i32> = self.board.partitions().iter().map(|p| *p.key()).collect();
        let with_topic = self.asked.is_multiple_of(TOPIC_EVERY);
        self.asked = self.asked.wrapping_add(1);
        let (admin, topic) = (Arc::clone(&self.admin), self.topic.clone());
        let question = tokio::task::spawn_blocking(move || {
            let ends = known.iter().map(|&p| (p, admin.watermarks(&topic, p).ok().map(|(_, high)| high))).collect();
            let partitions = with_topic.then(|| admin.topic(&topic).ok().map(|facts| (facts.id, facts.partitions)));
            Answer { ends, partitions: partitions.flatten() }
        });
        let heard = |answer: Result<Answer, _>, actor: &mut Self, _: &mut Context<Self>| {
            actor.asking = false;
            if let Ok(answer) = answer {
                actor.hear(&answer);
            }
        };
        ctx.spawn(question.into_actor(self).map(heard));
    }

    fn hear(&mut self, answer: &Answer) {
        let mut idle = BTreeMap::new();
        for (&partition, &end) in &answer.ends {
            let Some(mut state) = self.board.partitions().get_mut(&partition) else { continue };
            state.end = end.unwrap_or(state.end);
            let judge = self.judges.entry(partition).or_default();
            judge.observe(end, state.position, false);
            state.idle = judge.is_idle(state.position);
            if state.idle {
                idle.insert(partition, state.position);
            }
        }
        self.judge_drift();
        let new = self.new_partitions(answer);
        // No credit: the CommitActor has not taken up the last answer yet; the next one says more.
        let _ = self.commit.try_send(CommitMsg::Topic { idle, new });
    }

    fn judge_drift(&self) {
        let now = u64::try_from(self.clock.wall_micros() / 1_000).unwrap_or(0);
        let idle_ms = u64::try_from(self.time.idle_after / 1_000).unwrap_or(0);
        let progress: BTreeMap<i32, Progress> = self
            .board
            .partitions()
            .iter()
            .map(|p| {
                let moving = now.saturating_sub(p.moved_at) < idle_ms;
                (*p.key(), Progress { watermark: p.watermark, lagging: p.end > p.position, moving })
            })
            .collect();
        for mut state in self.board.partitions().iter_mut() {
            let own = *state.key();
            let others = progress.iter().filter(|(p, _)| **p != own).map(|(_, progress)| *progress);
            state.drifting = must_wait(state.watermark, others, self.time.max_drift);
        }
    }

    fn new_partitions(&self, answer: &Answer) -> BTreeMap<i32, NewPartition> {
        let Some((id, partitions)) = &answer.partitions else { return BTreeMap::new() };
        let unknown = partitions.iter().filter(|p| !self.board.partitions().contains_key(p));
        let new = |&p| (p, NewPartition { incarnation: self.incarnation, topic_id: id.clone(), start: 0 });
        unknown.map(new).collect()
    }
}

impl Actor for TopicWatch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.ask(ctx);
        ctx.run_interval(self.every(), Self::ask);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.sentinel.rest();
    }
}
