use lakeward_core::log::{Author, Draft, EntryKind, Member, render, render_first};

use super::*;

fn author(claim: u64, attempt: &str) -> Author {
    let (member, definition) = (Member::default(), "d".to_owned());
    Author { claim: Version(claim), attempt: attempt.to_owned(), member, definition, now: 0 }
}

fn claim() -> Draft {
    Draft::empty(EntryKind::Claim { takes: "all".to_owned() })
}

async fn begun() -> (LogStore, Fold) {
    let (lake, _) = Lake::memory();
    let store = LogStore::open(&lake, "p", "one").await.unwrap();
    let entry = render_first(store.id(), &claim(), &author(0, "first"));
    assert!(matches!(created(&store, &entry).await, CreateOutcome::Committed(_)));
    let fold = store.load().await.unwrap().unwrap();
    (store, fold)
}

async fn created(store: &LogStore, entry: &Entry) -> CreateOutcome {
    store.create(entry, |_| {}).await.unwrap()
}

/// The checkpoint of a log that is said to be at `version`.
async fn checkpoint_at(store: &LogStore, fold: &Fold, version: u64) -> Fold {
    let fold = Fold { version: Version(version), ..fold.clone() };
    store.checkpoint(&fold).await.unwrap();
    fold
}

async fn remove_entry(store: &LogStore, version: u64) {
    assert!(store.lake().delete(&store.paths().entry(Version(version))).await.unwrap());
}

#[tokio::test]
async fn a_start_begins_at_the_newest_checkpoint_though_the_entries_below_it_are_gone() {
    let (store, fold) = begun().await;
    checkpoint_at(&store, &fold, 1000).await;
    let fold = checkpoint_at(&store, &fold, 2000).await;
    remove_entry(&store, 0).await;
    let next = render(&fold, &Draft::empty(EntryKind::Epoch), &author(0, "next"));
    assert!(matches!(created(&store, &next).await, CreateOutcome::Committed(_)));
    let loaded = store.load().await.unwrap().unwrap();
    assert_eq!((loaded.version, loaded.epochs), (Version(2001), 1));
    assert_eq!(store.checkpoints().await.unwrap(), [Version(1000), Version(2000)]);
}

#[tokio::test]
async fn who_knows_an_older_fold_comes_to_the_same_and_goes_by_the_checkpoint_where_entries_are_gone() {
    let (store, begun) = begun().await;
    let mut fold = begun.clone();
    // More than are asked for at the same time.
    for epoch in 0..20 {
        let entry = render(&fold, &Draft::empty(EntryKind::Epoch), &author(0, &epoch.to_string()));
        let CreateOutcome::Committed(hash) = created(&store, &entry).await else { panic!("not committed") };
        fold.apply(&entry, hash).unwrap();
    }
    for known in [None, Some(begun.clone()), Some(fold.clone())] {
        assert_eq!(store.catch_up(known).await.unwrap(), Some(fold.clone()));
    }
    checkpoint_at(&store, &fold, 1000).await;
    remove_entry(&store, 1).await;
    for known in [None, Some(begun), Some(fold)] {
        assert_eq!(store.catch_up(known).await.unwrap().unwrap().version, Version(1000));
    }
}

#[tokio::test]
async fn a_checkpoint_is_written_at_multiples_only() {
    let (store, fold) = begun().await;
    checkpoint_at(&store, &fold, 1001).await;
    assert_eq!(store.checkpoints().await.unwrap(), []);
}

#[tokio::test]
async fn a_create_that_arrives_where_entries_were_removed_does_not_count() {
    let (store, fold) = begun().await;
    let late = render(&fold, &Draft::empty(EntryKind::Epoch), &author(0, "late"));
    // Nobody has written the one at 1000.
    checkpoint_at(&store, &fold, 2000).await;
    let outcome = created(&store, &late).await;
    assert!(matches!(outcome, CreateOutcome::Other(Resolution::Stray)), "{outcome:?}");
}

#[tokio::test]
async fn who_opens_a_log_second_uses_the_id_of_the_first_and_a_later_log_counts_when_the_first_has_ended() {
    let (store, fold) = begun().await;
    let open = || LogStore::open(store.lake(), "p", "another");
    assert_eq!(open().await.unwrap().id(), "one");
    let next = Bytes::from_static(b"{\"log_id\":\"two\"}");
    store.lake().put(&PipelinePaths::new("p").log_id(1), next).await.unwrap();
    assert_eq!(open().await.unwrap().id(), "one", "log 1 is prepared, log 0 goes on");
    let ended = Draft::empty(EntryKind::Ended { next: "two".to_owned() });
    let ended = render(&fold, &ended, &author(0, "last"));
    assert!(matches!(created(&store, &ended).await, CreateOutcome::Committed(_)));
    assert_eq!(open().await.unwrap().id(), "two");
    let beyond = store.load().await.unwrap().unwrap();
    let beyond = render(&beyond, &Draft::empty(EntryKind::Epoch), &author(0, "beyond"));
    assert!(fold_of(&store).await.apply(&beyond, String::new()).unwrap_err().what.contains("had ended"));
}

async fn fold_of(store: &LogStore) -> Fold {
    store.load().await.unwrap().unwrap()
}

#[tokio::test]
async fn behind_the_end_nothing_counts_and_the_sleepers_create_does_not_though_its_entry_is_gone() {
    let (store, mut fold) = begun().await;
    let sleeper = fold.clone();
    assert_eq!(
        LogStore::standing(std::slice::from_ref(&store)).await.unwrap(),
        [LogStanding { begun: true, cleared: false }]
    );
    let next = store.fix_next("two").await.unwrap();
    for draft in [claim(), Draft::empty(EntryKind::Ended { next: next.id().to_owned() })] {
        let entry = render(&fold, &draft, &author(fold.claim.0, &fold.version.to_string()));
        let CreateOutcome::Committed(hash) = created(&store, &entry).await else { panic!("not committed") };
        fold.apply(&entry, hash).unwrap();
    }
    store.checkpoint(&fold).await.unwrap();
    remove_entry(&store, 0).await;
    remove_entry(&store, 1).await;
    let stray = render(&sleeper, &Draft::empty(EntryKind::Epoch), &author(0, "sleeper"));
    let outcome = created(&store, &stray).await;
    assert!(matches!(outcome, CreateOutcome::Other(Resolution::Stray)), "{outcome:?}");
    assert_eq!(store.load().await.unwrap().unwrap().ended.as_deref(), Some("two"));
    let behind = Entry { version: Version(3), ..stray };
    let _ = store.lake().create_new(&store.paths().entry(Version(3)), behind.to_bytes().unwrap().into()).await;
    assert_eq!(store.load().await.unwrap().unwrap().version, Version(2), "nothing is read behind the last entry");
    let logs = LogStore::all(store.lake(), "p").await.unwrap();
    assert_eq!(logs.iter().map(LogStore::id).collect::<Vec<_>>(), ["one", "two"]);
    store.mark_cleared().await.unwrap();
    let cleared = LogStanding { begun: true, cleared: true };
    assert_eq!(LogStore::standing(&logs).await.unwrap(), [cleared, LogStanding { begun: false, cleared: false }]);
}
