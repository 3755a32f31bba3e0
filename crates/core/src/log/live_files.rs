//! The live files of a layer, by the entry that added them.
//!
//! A fold is shared with every follower at each commit, so a copy must cost the same whether a layer holds ten files or
//! ten million: copies share what did not change. Two levels of maps over versions do that with std alone.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{LiveFile, version_of};
use crate::ids::Version;

/// Entries per block: a commit copies one block's pointers and those to all blocks, so about the square root of the
/// entries that a log may grow to.
const BLOCK: u64 = 1024;

/// Live files of one layer, by final path. Clones share what is equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveFiles {
    blocks: Arc<BTreeMap<u64, Arc<Block>>>,
    len: usize,
}

/// The files of up to `BLOCK` consecutive entries. None is empty.
type Block = BTreeMap<Version, Arc<BTreeMap<String, LiveFile>>>;

impl LiveFiles {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the path is live.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.get(path).is_some()
    }

    /// The file of that path, if it is live.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&LiveFile> {
        let version = added_by(path);
        self.blocks.get(&block_of(version))?.get(&version)?.get(path)
    }

    /// All files, in the order of the entries that added them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &LiveFile> {
        self.above(None)
    }

    /// The files that entries above `version` added (`None`: all), without a look at the others.
    pub fn above(&self, version: Option<Version>) -> impl DoubleEndedIterator<Item = &LiveFile> {
        let (block, entry) = match version {
            None => (0, Bound::Unbounded),
            Some(version) => (block_of(version), Bound::Excluded(version)),
        };
        let entries = self.blocks.range(block..).flat_map(move |(_, b)| b.range((entry, Bound::Unbounded)));
        entries.flat_map(|(_, files)| files.values())
    }

    /// Adds a file; `false`, and nothing is changed, if its path is live already.
    #[must_use]
    pub fn insert(&mut self, file: LiveFile) -> bool {
        if self.contains(&file.path) {
            return false;
        }
        let version = added_by(&file.path);
        let block = Arc::make_mut(Arc::make_mut(&mut self.blocks).entry(block_of(version)).or_default());
        Arc::make_mut(block.entry(version).or_default()).insert(file.path.clone(), file);
        self.len += 1;
        true
    }

    /// Takes a file out; `false` if its path is not live.
    #[must_use]
    pub fn remove(&mut self, path: &str) -> bool {
        if !self.contains(path) {
            return false;
        }
        let version = added_by(path);
        let blocks = Arc::make_mut(&mut self.blocks);
        let Some(block) = blocks.get_mut(&block_of(version)).map(Arc::make_mut) else { return false };
        let Some(files) = block.get_mut(&version).map(Arc::make_mut) else { return false };
        files.remove(path);
        if files.is_empty() {
            block.remove(&version);
        }
        if block.is_empty() {
            blocks.remove(&block_of(version));
        }
        self.len -= 1;
        true
    }
}

fn block_of(version: Version) -> u64 {
    version.0 / BLOCK
}

/// The entry that added a file, by its name.
fn added_by(path: &str) -> Version {
    version_of(path).unwrap_or_default()
}

impl FromIterator<LiveFile> for LiveFiles {
    fn from_iter<I: IntoIterator<Item = LiveFile>>(files: I) -> Self {
        let mut live = Self::default();
        for file in files {
            // A path twice is the same file twice.
            let _ = live.insert(file);
        }
        live
    }
}

/// As a map by path: the form that checkpoints have.
impl Serialize for LiveFiles {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|file| (&file.path, file)))
    }
}

impl<'de> Deserialize<'de> for LiveFiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<String, LiveFile>::deserialize(deserializer)?.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::log::{StagedFile, final_path};

    fn file(version: u64, number: usize) -> LiveFile {
        let staged = StagedFile {
            leaf: String::new(),
            staged: format!("s/{version}/{number}.tmp"),
            ext: "json".to_owned(),
            length: 1,
            checksum: "c".to_owned(),
            rows: 1,
            event_times: None,
            offsets: BTreeMap::new(),
        };
        let path = final_path("raw", &staged, Version(version), number, "00000000");
        LiveFile { path, staged, as_of: None }
    }

    fn versions<'a>(files: impl Iterator<Item = &'a LiveFile>) -> Vec<u64> {
        files.map(|file| version_of(&file.path).unwrap().0).collect()
    }

    #[test]
    fn files_come_and_go_by_path_and_once() {
        let mut live = LiveFiles::default();
        assert!(live.insert(file(5, 0)) && live.insert(file(5, 1)) && live.insert(file(BLOCK * 3, 0)));
        assert!(!live.insert(file(5, 1)));
        assert!(live.contains(&file(5, 1).path) && !live.contains(&file(6, 1).path));
        assert!(!live.remove(&file(6, 0).path));
        assert!(live.remove(&file(5, 1).path) && !live.remove(&file(5, 1).path));
        assert_eq!((live.len(), versions(live.iter())), (2, vec![5, BLOCK * 3]));
        let other: LiveFiles = [file(BLOCK * 3, 0), file(5, 0)].into_iter().collect();
        assert_eq!(live, other, "the way to it does not matter");
        assert!(live.remove(&file(5, 0).path) && live.remove(&file(BLOCK * 3, 0).path));
        assert_eq!(live, LiveFiles::default());
    }

    #[test]
    fn those_above_a_version_are_those_of_later_entries() {
        let live: LiveFiles = [1, 2, 3, BLOCK - 1, BLOCK, BLOCK * 2 + 1].map(|v| file(v, 0)).into_iter().collect();
        let above = |v| versions(live.above(v));
        assert_eq!(above(None).len(), 6);
        assert_eq!(above(Some(Version(2))), [3, BLOCK - 1, BLOCK, BLOCK * 2 + 1]);
        assert_eq!(above(Some(Version(BLOCK - 1))), [BLOCK, BLOCK * 2 + 1]);
        assert_eq!(above(Some(Version(BLOCK * 2 + 1))), [] as [u64; 0]);
    }

    #[test]
    fn a_copy_shares_everything_but_what_changes_afterwards() {
        let mut live: LiveFiles = (0..10 * BLOCK).map(|v| file(v, 0)).collect();
        let before = live.clone();
        assert!(live.insert(file(10 * BLOCK, 0)));
        assert_eq!((before.len(), live.len()), (10_240, 10_241));
        let shared = before.blocks.iter().filter(|(n, block)| Arc::ptr_eq(block, &live.blocks[n])).count();
        assert_eq!(shared, 10);
        assert!(live.insert(file(10 * BLOCK - 1, 1)));
        let (old, new) = (&before.blocks[&9], &live.blocks[&9]);
        let shared = old.iter().filter(|(version, files)| Arc::ptr_eq(files, &new[version])).count();
        assert_eq!(shared, 1023, "of a block that changes only the entry is copied");
    }

    #[test]
    fn its_json_is_a_map_by_path() {
        let live: LiveFiles = [file(1, 0), file(2, 0)].into_iter().collect();
        let json = serde_json::to_value(&live).unwrap();
        assert_eq!(json[&file(1, 0).path]["staged"]["rows"], 1);
        assert_eq!(serde_json::from_value::<LiveFiles>(json).unwrap(), live);
    }
}
