//! Whether the topic is still the one whose records an epoch holds (H4). Asked once per epoch, behind its barriers.
//!
//! Kafka's ids of topics never come back, so a topic that has its id now has had it all the time: what was read before
//! the question was that topic's. librdkafka goes on at the old offset when a topic is deleted and made anew, so without
//! this a run that did not see it vanish would take the new records for the old topic's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use lakeward_connect::kafka::{Admin, KafkaError};

use crate::kit::Cause;
use crate::kit::metric::Metric;

/// The first and the longest pause between two questions that nobody answers.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// Asks Kafka for the topic's id; `None` where it keeps none.
pub type AskId = Arc<dyn Fn() -> BoxFuture<'static, Result<Option<String>, KafkaError>> + Send + Sync>;

/// The topic by its id.
#[derive(Clone)]
pub struct TopicIdentity {
    topic: String,
    known: Option<String>,
    ask: AskId,
}

impl TopicIdentity {
    /// `known`: the id that the log has; without one nothing is asked.
    #[must_use]
    pub fn new(topic: String, known: Option<String>, ask: AskId) -> Self {
        Self { topic, known, ask }
    }

    /// Asks by way of `admin`.
    #[must_use]
    pub fn of(admin: &Arc<Admin>, topic: &str, known: Option<String>) -> Self {
        let (admin, name) = (Arc::clone(admin), topic.to_owned());
        let ask = move || {
            let (admin, name) = (Arc::clone(&admin), name.clone());
            let question = tokio::task::spawn_blocking(move || admin.topic(&name).map(|facts| facts.id));
            let answer = async {
                question.await.unwrap_or_else(|error| {
                    Err(KafkaError::Client {
                        during: "asking for the topic's id".to_owned(),
                        reason: error.to_string(),
                    })
                })
            };
            Box::pin(answer) as BoxFuture<'static, _>
        };
        Self::new(topic.to_owned(), known, Arc::new(ask))
    }

    /// Returns when Kafka has said that the topic is still the one that the log and `entering` know. Waits for Kafka as
    /// long as it takes: an epoch of unknown origin can't be committed.
    ///
    /// # Errors
    /// It is another one, or gone: the next generation looks at the topic anew.
    pub async fn confirm(&self, pipeline: &str, entering: &BTreeSet<String>) -> Result<(), Cause> {
        let known: BTreeSet<&String> = self.known.iter().chain(entering).collect();
        if known.is_empty() {
            return Ok(());
        }
        let mut pause = PAUSE.0;
        loop {
            match (self.ask)().await {
                Ok(None) => return Ok(()),
                Ok(Some(now)) if known.iter().all(|id| **id == now) => return Ok(()),
                Ok(Some(_)) => {
                    return Err(Cause::Failed(format!("topic {} was deleted and made anew", self.topic)));
                }
                Err(error @ KafkaError::NoTopic { .. }) => return Err(Cause::Failed(error.to_string())),
                Err(error) => {
                    let labels = [("pipeline", pipeline.to_owned()), ("what", "topic_id".to_owned())];
                    metrics::counter!(Metric::RetriesTotal.name(), &labels).increment(1);
                    tracing::warn!(%error, "the epoch waits: kafka does not say whether the topic is still the same");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    type Answer = Result<Option<String>, KafkaError>;

    /// Asked with these answers in turn: what was confirmed, and how many answers are left.
    fn confirmed(known: Option<&str>, entering: &[&str], answers: Vec<Answer>) -> (bool, usize) {
        let left = Arc::new(Mutex::new(answers));
        let said = Arc::clone(&left);
        let ask: AskId = Arc::new(move || {
            let answer = said.lock().unwrap().remove(0);
            Box::pin(async move { answer })
        });
        let identity = TopicIdentity::new("t".to_owned(), known.map(str::to_owned), ask);
        let entering = entering.iter().map(|id| (*id).to_owned()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let same = runtime.block_on(identity.confirm("p", &entering)).is_ok();
        let left = left.lock().unwrap().len();
        (same, left)
    }

    fn id(text: &str) -> Answer {
        Ok(Some(text.to_owned()))
    }

    #[test]
    fn only_the_id_that_the_log_knows_confirms_an_epoch() {
        assert_eq!(confirmed(Some("a"), &[], vec![id("a")]), (true, 0));
        assert_eq!(confirmed(Some("a"), &[], vec![id("b")]), (false, 0));
        assert_eq!(confirmed(Some("a"), &["a"], vec![id("a")]), (true, 0));
        assert_eq!(
            confirmed(Some("a"), &["b"], vec![id("b")]),
            (false, 0),
            "a new topic's partition among the old ones"
        );
        assert_eq!(confirmed(Some("a"), &[], vec![Ok(None)]), (true, 0), "brokers that keep no ids");
        assert_eq!(confirmed(None, &[], vec![id("b")]), (true, 1), "nothing to compare with: nothing is asked");
    }

    #[test]
    fn silence_is_waited_out_and_a_topic_that_is_gone_is_not() {
        let silence =
            || Err(KafkaError::Unreachable { brokers: String::new(), during: String::new(), reason: String::new() });
        assert_eq!(confirmed(Some("a"), &[], vec![silence(), silence(), id("a")]), (true, 0));
        assert_eq!(confirmed(Some("a"), &[], vec![silence(), id("b")]), (false, 0));
        let gone = Err(KafkaError::NoTopic { topic: "t".to_owned() });
        assert_eq!(confirmed(Some("a"), &[], vec![gone, id("a")]), (false, 1));
    }
}
