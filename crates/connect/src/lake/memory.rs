//! A lake in memory: the twin of the real stores for tests, which fails on cue.
//!
//! Promises: the same answers as a real store, and, when told so, an error before or after the deed, or a deed that
//! arrives late. Deliberately keeps nothing once the last handle is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{Create, DirEntry, LakeError, Rename, Stat, outcome::Fault, path as names};

/// The operations that can be told to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `create_new`
    Create,
    /// `read`, `read_durable`, `checksum`
    Read,
    /// `stat`
    Stat,
    /// `list`, `list_recursive`
    List,
    /// `rename` (matched by its source)
    Rename,
    /// `delete`, `delete_dir`
    Delete,
    /// `put`
    Put,
    /// opening or writing of a `LakeWriter`
    Write,
    /// closing of a `LakeWriter`
    Close,
    /// `recover_leases`
    Recover,
}

/// How it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cue {
    /// Nothing happens; the answer is a certain failure by lack of room. A rename has no certain failure but absence:
    /// it answers Unknown.
    Full,
    /// Nothing happens, and the caller cannot know that.
    LostRequest,
    /// It happens, and the caller cannot know that.
    LostAnswer,
    /// It happens only when [`Memory::deliver_late`] is called, and the caller cannot know that.
    Late,
}

/// The controls of a memory lake. Clones share one store.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    files: BTreeMap<String, Bytes>,
    writing: BTreeSet<String>,
    cues: Vec<(Operation, String, Cue)>,
    late: Vec<Deed>,
    clock_us: i64,
    modified: BTreeMap<String, i64>,
}

#[derive(Debug)]
enum Deed {
    Create(String, Bytes),
    Rename(String, String),
    Put(String, Bytes),
    Delete(String),
}

impl Memory {
    /// The next `operation` on a path that contains `part` goes as `cue` says; several cues are taken in order.
    pub fn fail_next(&self, operation: Operation, part: &str, cue: Cue) {
        self.lock().cues.push((operation, part.to_owned(), cue));
    }

    /// Carries out what was held back by [`Cue::Late`], each as the store would then, and returns how many took effect.
    pub fn deliver_late(&self) -> usize {
        let mut inner = self.lock();
        let late = std::mem::take(&mut inner.late);
        late.into_iter().filter(|deed| inner.carry_out(deed)).count()
    }

    /// Number of cues that nothing has met yet.
    #[must_use]
    pub fn cues_left(&self) -> usize {
        self.lock().cues.len()
    }

    /// Overwrites a file behind everybody's back, as a fault of the medium would.
    pub fn corrupt(&self, path: &str, bytes: Bytes) {
        self.lock().files.insert(path.to_owned(), bytes);
    }

    pub(super) fn create_new(&self, path: &str, bytes: Bytes) -> Create {
        let mut inner = self.lock();
        let cue = inner.cue(Operation::Create, path);
        let deed = Deed::Create(path.to_owned(), bytes);
        match cue {
            Some(Cue::Full) => return Create::Failed(error(Cue::Full, path)),
            Some(Cue::Late) => inner.late.push(deed),
            Some(Cue::LostRequest) => {}
            Some(Cue::LostAnswer) => drop(inner.carry_out(&deed)),
            None => return if inner.carry_out(&deed) { Create::Created } else { Create::Exists },
        }
        Create::Unknown(error(Cue::LostAnswer, path))
    }

    pub(super) fn read(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let mut inner = self.lock();
        inner.certain(Operation::Read, path)?;
        Ok(inner.files.get(path).cloned())
    }

    pub(super) fn stat(&self, path: &str) -> Result<Option<Stat>, LakeError> {
        let mut inner = self.lock();
        inner.certain(Operation::Stat, path)?;
        let modified_us = inner.modified.get(path).copied().unwrap_or(0);
        if let Some(bytes) = inner.files.get(path) {
            return Ok(Some(Stat { len: bytes.len() as u64, modified_us, is_dir: false }));
        }
        let folder = format!("{path}/");
        let is_dir = inner.files.keys().any(|name| name.starts_with(&folder));
        Ok(is_dir.then_some(Stat { len: 0, modified_us: 0, is_dir: true }))
    }

    pub(super) fn list_recursive(&self, dir: &str) -> Result<Vec<DirEntry>, LakeError> {
        let mut inner = self.lock();
        inner.certain(Operation::List, dir)?;
        let folder = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let mut found = BTreeSet::new();
        for (path, bytes) in &inner.files {
            let Some(name) = path.strip_prefix(&folder) else { continue };
            found.insert(DirEntry { name: name.to_owned(), is_dir: false, len: bytes.len() as u64 });
            let mut above = names::parent(name);
            while !above.is_empty() {
                found.insert(DirEntry { name: above.to_owned(), is_dir: true, len: 0 });
                above = names::parent(above);
            }
        }
        Ok(found.into_iter().collect())
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Rename {
        let mut inner = self.lock();
        let cue = inner.cue(Operation::Rename, from);
        let deed = Deed::Rename(from.to_owned(), to.to_owned());
        match cue {
            Some(Cue::Late) => inner.late.push(deed),
            Some(Cue::LostRequest | Cue::Full) => {}
            Some(Cue::LostAnswer) => drop(inner.carry_out(&deed)),
            None if !inner.files.contains_key(from) => return Rename::SourceMissing,
            None if inner.files.contains_key(to) => return Rename::TargetExists,
            None => {
                inner.carry_out(&deed);
                return Rename::Done;
            }
        }
        Rename::Unknown(error(cue.unwrap_or(Cue::LostAnswer), from))
    }

    pub(super) fn delete(&self, path: &str) -> Result<bool, LakeError> {
        let deed = Deed::Delete(path.to_owned());
        let existed = self.lock().files.contains_key(path);
        self.effect(Operation::Delete, path, deed).map(|()| existed)
    }

    pub(super) fn delete_dir(&self, dir: &str) -> Result<bool, LakeError> {
        let mut inner = self.lock();
        inner.certain(Operation::Delete, dir)?;
        let (before, folder) = (inner.files.len(), format!("{dir}/"));
        inner.files.retain(|path, _| !path.starts_with(&folder));
        Ok(inner.files.len() < before)
    }

    pub(super) fn put(&self, path: &str, bytes: Bytes) -> Result<(), LakeError> {
        self.effect(Operation::Put, path, Deed::Put(path.to_owned(), bytes))
    }

    pub(super) fn create_file(&self, path: &str) -> Result<MemoryFile, LakeError> {
        let mut inner = self.lock();
        inner.certain(Operation::Write, path)?;
        if inner.files.contains_key(path) || !inner.writing.insert(path.to_owned()) {
            return Err(LakeError::other("memory", path, "create: it exists"));
        }
        Ok(MemoryFile { memory: self.clone(), path: path.to_owned(), bytes: Vec::new() })
    }

    /// As HDFS does it: a file that was open is closed by the time of the next call, as it is, and its writer is out.
    pub(super) fn recover_leases(&self, dir: &str) -> Result<bool, LakeError> {
        let mut inner = self.lock();
        inner.certain(Operation::Recover, dir)?;
        let (before, folder) = (inner.writing.len(), format!("{dir}/"));
        inner.writing.retain(|path| !path.starts_with(&folder));
        Ok(inner.writing.len() == before)
    }

    fn effect(&self, operation: Operation, path: &str, deed: Deed) -> Result<(), LakeError> {
        let mut inner = self.lock();
        match inner.cue(operation, path) {
            None => {
                inner.carry_out(&deed);
                return Ok(());
            }
            Some(Cue::Full) => return Err(error(Cue::Full, path)),
            Some(Cue::LostRequest) => {}
            Some(Cue::LostAnswer) => drop(inner.carry_out(&deed)),
            Some(Cue::Late) => inner.late.push(deed),
        }
        Err(error(Cue::LostAnswer, path))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn cue(&mut self, operation: Operation, path: &str) -> Option<Cue> {
        let at = self.cues.iter().position(|(o, part, _)| *o == operation && path.contains(part.as_str()))?;
        Some(self.cues.remove(at).2)
    }

    fn certain(&mut self, operation: Operation, path: &str) -> Result<(), LakeError> {
        self.cue(operation, path).map_or(Ok(()), |cue| Err(error(cue, path)))
    }

    fn holds_lease(&self, path: &str) -> Result<(), LakeError> {
        let held = self.writing.contains(path);
        held.then_some(()).ok_or_else(|| LakeError::other("memory", path, "write: the lease was taken away"))
    }

    fn carry_out(&mut self, deed: &Deed) -> bool {
        self.clock_us += 1;
        match deed {
            Deed::Create(path, _) if self.files.contains_key(path) => false,
            Deed::Create(path, bytes) | Deed::Put(path, bytes) => self.store(path, bytes.clone()),
            Deed::Rename(_, to) if self.files.contains_key(to) => false,
            Deed::Rename(from, to) => self.files.remove(from).is_some_and(|bytes| self.store(to, bytes)),
            Deed::Delete(path) => self.files.remove(path).is_some(),
        }
    }

    fn store(&mut self, path: &str, bytes: Bytes) -> bool {
        self.modified.insert(path.to_owned(), self.clock_us);
        self.files.insert(path.to_owned(), bytes);
        true
    }
}

/// A new file being written; it is there for readers once closed.
#[derive(Debug)]
pub(super) struct MemoryFile {
    memory: Memory,
    path: String,
    bytes: Vec<u8>,
}

impl MemoryFile {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), LakeError> {
        let mut inner = self.memory.lock();
        inner.certain(Operation::Write, &self.path)?;
        inner.holds_lease(&self.path)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn close(mut self) -> Result<(), LakeError> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let mut inner = self.memory.lock();
        inner.holds_lease(&self.path)?;
        inner.writing.remove(&self.path);
        let cue = inner.cue(Operation::Close, &self.path);
        if !matches!(cue, Some(Cue::Full | Cue::LostRequest)) {
            inner.carry_out(&Deed::Put(self.path.clone(), bytes));
        }
        cue.map_or(Ok(()), |cue| Err(error(cue, &self.path)))
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        self.memory.lock().writing.remove(&self.path);
    }
}

fn error(cue: Cue, path: &str) -> LakeError {
    match cue {
        Cue::Full => LakeError::Full(Fault::new("memory", path, "no room, as told")),
        _ => LakeError::Unreachable(Fault::new("memory", path, "no answer, as told")),
    }
}
