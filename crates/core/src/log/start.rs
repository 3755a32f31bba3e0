//! What a start refuses (H4), and what it takes up: new partitions, a new incarnation of the topic.

use std::collections::BTreeMap;

use crate::log::{Fold, NewPartition};

/// Up to where a mart shows rows: the next offset by (incarnation, partition).
pub type Shown = BTreeMap<(i32, i32), i64>;

/// What the configuration accepts that is refused otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accept {
    /// A recreated topic, as a new incarnation.
    pub new_topic: bool,
    /// Going on without records that Kafka lost after a mart had shown them.
    pub lost_records: bool,
    /// However many records Quarantine takes.
    pub refused: bool,
}

/// What Kafka says of the topic, and what a mart has shown of it.
#[derive(Clone, Debug, Default)]
pub struct TopicFacts {
    /// Kafka's id of the topic, where it tells one.
    pub id: Option<String>,
    /// Per partition the oldest offset held and the end offset of the isolation level, `[low, high)`.
    pub offsets: BTreeMap<i32, (i64, i64)>,
    /// Where a partition that the log doesn't know begins, as the pipeline's start offset was resolved.
    pub starts: BTreeMap<i32, i64>,
    /// What a mart shows; empty where there is none, or none that answers.
    pub shown: Shown,
}

/// Why a pipeline can't go on exactly from its log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Kafka has deleted records that were never read.
    #[error(
        "GAP: partition {partition} of topic {topic}: the log is at offset {head}, Kafka holds only {low} and above; \
         {} records are lost to retention; restore them, or start a new lake root", low - head
    )]
    Gap {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// The log's next offset.
        head: i64,
        /// Kafka's oldest offset.
        low: i64,
    },
    /// Kafka holds less than what was already committed.
    #[error(
        "TRUNCATED: partition {partition} of topic {topic}: the log is at offset {head}, Kafka ends at {high}; \
         the topic lost records or was recreated; set kafka.accept_new_topic_id = true if it was recreated on purpose"
    )]
    Truncated {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// The log's next offset.
        head: i64,
        /// Kafka's end.
        high: i64,
    },
    /// Kafka holds what was committed, and less than what a mart has shown ahead of that.
    #[error(
        "TRUNCATED: partition {partition} of topic {topic}: the mart has shown records below offset {next}, Kafka ends \
         at {high}; it lost records that were not committed yet (all that is committed is whole); restore the topic, or \
         set kafka.accept_lost_records = true to go on without them"
    )]
    LostShown {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// The mart's next offset.
        next: i64,
        /// Kafka's end.
        high: i64,
    },
    /// The topic was deleted and created again.
    #[error(
        "TOPIC_CHANGED: topic {topic} has id {now}, the log knows {known}; it was deleted and created again; \
         set kafka.accept_new_topic_id = true to go on with it as a new incarnation"
    )]
    TopicChanged {
        /// Topic.
        topic: String,
        /// The id now.
        now: String,
        /// The id in the log.
        known: String,
    },
    /// The topic was created again with fewer partitions: those that are gone would hold G back for ever.
    #[error(
        "TOPIC_CHANGED: topic {topic} was deleted and created again without partition {partition}, which is in the \
         log; create it with at least as many partitions as before, or start a new lake root"
    )]
    FewerPartitions {
        /// Topic.
        topic: String,
        /// The first partition that is gone.
        partition: i32,
    },
    /// A partition of the log is not in the topic any more.
    #[error("TRUNCATED: partition {partition} of topic {topic} is in the log and not in Kafka any more")]
    PartitionGone {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
    },
}

impl Refusal {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "GAP",
            Self::Truncated { .. } | Self::LostShown { .. } | Self::PartitionGone { .. } => "TRUNCATED",
            Self::TopicChanged { .. } | Self::FewerPartitions { .. } => "TOPIC_CHANGED",
        }
    }
}

/// Compares the log with the topic. `Ok` holds the partitions that must enter the set: new ones, and all of them when
/// a recreated topic is accepted. `fold` is `None` before version 0.
pub fn check_topic(
    fold: Option<&Fold>,
    topic: &str,
    facts: &TopicFacts,
    accept: Accept,
) -> Result<BTreeMap<i32, NewPartition>, Vec<Refusal>> {
    let newest = |fold: &Fold| fold.partitions.values().map(|p| (p.incarnation, p.topic_id.clone())).max();
    let known = |fold: &Fold| newest(fold).and_then(|(_, id)| id);
    if let (Some(fold), Some(now)) = (fold, facts.id.as_ref())
        && let Some(known) = known(fold)
        && &known != now
    {
        if !accept.new_topic {
            return Err(vec![Refusal::TopicChanged { topic: topic.to_owned(), now: now.clone(), known }]);
        }
        let gone = fold.partitions.keys().find(|p| !facts.offsets.contains_key(p));
        return match gone {
            Some(&partition) => Err(vec![Refusal::FewerPartitions { topic: topic.to_owned(), partition }]),
            None => Ok(new_incarnation(fold, facts)),
        };
    }
    let mut refusals = Vec::new();
    for (&partition, held) in fold.into_iter().flat_map(|f| &f.partitions) {
        let topic = topic.to_owned();
        match facts.offsets.get(&partition) {
            None => refusals.push(Refusal::PartitionGone { topic, partition }),
            Some(&(low, _)) if low > held.to => {
                refusals.push(Refusal::Gap { topic, partition, head: held.to, low });
            }
            Some(&(_, high)) if high < held.to => {
                refusals.push(Refusal::Truncated { topic, partition, head: held.to, high });
            }
            Some(&(_, high)) => {
                let next = facts.shown.get(&(held.incarnation, partition)).copied().unwrap_or(high);
                if next > high && !accept.lost_records {
                    refusals.push(Refusal::LostShown { topic, partition, next, high });
                }
            }
        }
    }
    if refusals.is_empty() { Ok(missing(fold, facts)) } else { Err(refusals) }
}

fn new_incarnation(fold: &Fold, facts: &TopicFacts) -> BTreeMap<i32, NewPartition> {
    let incarnation = fold.partitions.values().map(|p| p.incarnation).max().unwrap_or(-1) + 1;
    let entry = |(&p, &start): (&i32, &i64)| (p, NewPartition { incarnation, topic_id: facts.id.clone(), start });
    facts.starts.iter().map(entry).collect()
}

fn missing(fold: Option<&Fold>, facts: &TopicFacts) -> BTreeMap<i32, NewPartition> {
    let incarnation = fold.and_then(|f| f.partitions.values().map(|p| p.incarnation).max()).unwrap_or(0);
    let unknown = |p: &i32| fold.is_none_or(|f| !f.partitions.contains_key(p));
    let entry = |(&p, &start): (&i32, &i64)| (p, NewPartition { incarnation, topic_id: facts.id.clone(), start });
    facts.starts.iter().filter(|(p, _)| unknown(p)).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Author, Draft, EntryKind, Member, render_first};

    fn fold() -> Fold {
        let mut draft = Draft::empty(EntryKind::Claim { takes: "all".to_owned() });
        let new = NewPartition { incarnation: 0, topic_id: Some("one".to_owned()), start: 10 };
        draft.new_partitions.insert(0, new);
        let author = Author {
            claim: Default::default(),
            attempt: "a".to_owned(),
            member: Member::default(),
            definition: "d".to_owned(),
            now: 0,
        };
        Fold::first(&render_first("log", &draft, &author), "h".to_owned()).unwrap()
    }

    fn facts(id: &str, low: i64, high: i64) -> TopicFacts {
        TopicFacts {
            id: Some(id.to_owned()),
            offsets: BTreeMap::from([(0, (low, high)), (1, (0, 5))]),
            starts: BTreeMap::from([(0, low), (1, 0)]),
            shown: Shown::new(),
        }
    }

    const NEW_TOPIC: Accept = Accept { new_topic: true, lost_records: false, refused: false };

    fn code(facts: &TopicFacts, accept: Accept) -> &'static str {
        match check_topic(Some(&fold()), "t", facts, accept) {
            Ok(_) => "ok",
            Err(refusals) => refusals[0].code(),
        }
    }

    #[test]
    fn a_start_is_refused_where_it_could_not_be_exact() {
        let none = Accept::default();
        assert_eq!(code(&facts("one", 0, 10), none), "ok");
        assert_eq!(code(&facts("one", 11, 20), none), "GAP");
        assert_eq!(code(&facts("one", 0, 9), none), "TRUNCATED");
        assert_eq!(code(&facts("two", 0, 20), none), "TOPIC_CHANGED");
        assert_eq!(code(&facts("two", 0, 20), NEW_TOPIC), "ok");
        for (id, accept, refused) in [("one", none, "TRUNCATED"), ("two", NEW_TOPIC, "TOPIC_CHANGED")] {
            let mut gone = facts(id, 0, 10);
            gone.offsets.remove(&0);
            assert_eq!(code(&gone, accept), refused);
        }
    }

    #[test]
    fn records_that_a_mart_had_shown_and_kafka_lost_are_refused_unless_accepted() {
        let shown =
            |incarnation, next| TopicFacts { shown: Shown::from([((incarnation, 0), next)]), ..facts("one", 0, 15) };
        let lost_records = Accept { lost_records: true, ..Accept::default() };
        assert_eq!(code(&shown(0, 15), Accept::default()), "ok", "ahead of the log, as previews are");
        assert_eq!(code(&shown(0, 16), Accept::default()), "TRUNCATED");
        assert_eq!(code(&shown(0, 16), NEW_TOPIC), "TRUNCATED", "that is another matter");
        assert_eq!(code(&shown(0, 16), lost_records), "ok");
        assert_eq!(code(&shown(1, 16), Accept::default()), "ok", "of another incarnation");
    }

    #[test]
    fn unknown_partitions_enter_and_an_accepted_topic_is_a_new_incarnation() {
        let entering = check_topic(Some(&fold()), "t", &facts("one", 0, 10), Accept::default()).unwrap();
        assert_eq!(entering.keys().copied().collect::<Vec<_>>(), [1]);
        let entering = check_topic(Some(&fold()), "t", &facts("two", 0, 20), NEW_TOPIC).unwrap();
        assert_eq!(entering[&0], NewPartition { incarnation: 1, topic_id: Some("two".to_owned()), start: 0 });
    }
}
