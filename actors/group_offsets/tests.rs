#![allow(clippy::unwrap_used, clippy::panic)]

use lakeward_connect::kafka::{KafkaConfig, MockKafka};
use lakeward_core::log::Fold;

use super::*;
use crate::testing::{Bell, beside_a_database, ground, until};

const PATIENCE: Duration = Duration::from_secs(10);
const GROUP: &str = "lakeward-tested";

fn at(fold: &Fold, version: u64, to: i64) -> Head {
    let mut fold = fold.clone();
    fold.version.0 = version;
    fold.partitions.get_mut(&0).unwrap().to = to;
    Head { fold: Arc::new(fold), epochs: Arc::default() }
}

#[test]
fn the_group_is_told_the_heads_offsets_and_nothing_beyond() {
    beside_a_database(async {
        let mock = MockKafka::start(&[("t", 1)]).unwrap();
        let options = [("bootstrap.servers".to_owned(), mock.brokers().to_owned())];
        let config = KafkaConfig::new("tested", options.into()).unwrap();
        let admin = Arc::new(Admin::new(&config, PATIENCE).unwrap());
        let (board, mut bell) = (Board::default(), Bell::new());
        let fold = ground(&[0]).await.fold;
        let (head, heard) = watch::channel(at(&fold, 4, 70));
        GroupOffsets::new(
            Arc::clone(&admin),
            GROUP.to_owned(),
            "t".to_owned(),
            heard,
            board.clone(),
            bell.follower_sentinel(),
        )
        .start();
        let done = || board.followers().get(NAME).and_then(|follower| follower.done).map(|version| version.0);
        for (version, to) in [(4, 70), (9, 75)] {
            head.send_replace(at(&fold, version, to));
            until("the head is applied", || done() == Some(version)).await;
            let asked = Arc::clone(&admin);
            let committed = tokio::task::spawn_blocking(move || asked.committed_offsets(GROUP, "t")).await.unwrap();
            assert_eq!(committed.unwrap(), BTreeMap::from([(0, to)]));
        }
        drop(head);
        crate::testing::settle().await;
        assert_eq!(bell.cause(), None, "the end of the generation is no death");
    });
}
