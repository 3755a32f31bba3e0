//! librdkafka's mock cluster, inside this process: Kafka for the demo and for tests.
//!
//! Promises: real sockets on loopback, so every client of ours works on it. It deliberately is no judge of
//! transactions, and keeps little: about 5 MB or 100 000 records per partition, the oldest go first.

use std::{
    sync::mpsc,
    thread::{Builder, JoinHandle},
};

use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};

use super::error::KafkaError;

/// The cluster, on its thread.
pub type Cluster = MockCluster<'static, DefaultProducerContext>;
type Command = Box<dyn FnOnce(&Cluster) + Send>;

/// A mock cluster; it goes when this is dropped.
pub struct MockKafka {
    brokers: String,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

impl MockKafka {
    /// Starts one broker with `topics`, pairs of name and number of partitions.
    ///
    /// # Errors
    /// librdkafka can't start it, or refuses a topic.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, KafkaError> {
        let topics: Vec<(String, i32)> = topics.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let (ready, started) = mpsc::sync_channel(1);
        let (commands, received) = mpsc::channel::<Command>();
        let thread = Builder::new()
            .name("kafka-mock".to_owned())
            .spawn(move || {
                // The cluster holds raw pointers, so it is born, used and dropped on this thread.
                let cluster = match open(&topics) {
                    Ok(cluster) => cluster,
                    Err(error) => {
                        ready.send(Err(error)).ok();
                        return;
                    }
                };
                ready.send(Ok(cluster.bootstrap_servers())).ok();
                for command in received {
                    command(&cluster);
                }
            })
            .map_err(|error| failed(error.to_string()))?;
        let brokers = started.recv().map_err(|error| failed(error.to_string()))??;
        Ok(Self { brokers, commands: Some(commands), thread: Some(thread) })
    }

    /// The bootstrap servers.
    #[must_use]
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Runs `command` on the cluster, such as taking a broker down, and waits for it.
    pub fn with(&self, command: impl FnOnce(&Cluster) + Send + 'static) {
        let (done, finished) = mpsc::sync_channel(1);
        let command: Command = Box::new(move |cluster| {
            command(cluster);
            done.send(()).ok();
        });
        if let Some(commands) = &self.commands
            && commands.send(command).is_ok()
        {
            finished.recv().ok();
        }
    }
}

impl Drop for MockKafka {
    fn drop(&mut self) {
        self.commands.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn open(topics: &[(String, i32)]) -> Result<Cluster, KafkaError> {
    let cluster = MockCluster::new(1).map_err(|error| failed(error.to_string()))?;
    for (name, partitions) in topics {
        cluster.create_topic(name, *partitions, 1).map_err(|error| failed(format!("topic `{name}`: {error}")))?;
    }
    Ok(cluster)
}

fn failed(reason: String) -> KafkaError {
    KafkaError::Client { during: "starting the mock cluster".to_owned(), reason }
}
