//! A lake in memory: the twin of the real stores for tests, which fails on cue.
//!
//! Promises: the same answers as a real store, and, when told so, an error before or after the deed, or a deed that
//! arrives late. Deliberately keeps nothing once the last handle is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;

use super::{Create, DirEntry, LakeError, Rename, Stat, outcome::Fault, path as names};

/// The operations that can be told to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `create_new`
    Create,
    /// `read`, `read_part`, `read_durable`, `checksum`
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// The process dies before the request leaves it.
    DieBefore,
    /// It happens, and the process dies before it hears of that.
    DieAfter,
}

/// Decides how an operation goes, by what it is and its path.
pub type Script = Box<dyn FnMut(Operation, &str) -> Option<Cue> + Send>;

/// The controls of a memory lake. Clones share one store and one life; see [`Memory::next_life`].
#[derive(Clone, Debug, Default)]
pub struct Memory {
    inner: Arc<Mutex<Inner>>,
    life: Arc<Life>,
}

/// One process's connection to the store.
#[derive(Default)]
struct Life {
    dead: AtomicBool,
    script: Mutex<Option<Script>>,
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("dead", &self.dead).finish_non_exhaustive()
    }
}

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
    DeleteDir(String),
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

    /// From now on `script` is asked before each operation of this life; where it says nothing, cues count.
    pub fn play(&self, script: Script) {
        *self.life.script.lock().unwrap_or_else(PoisonError::into_inner) = Some(script);
    }

    /// The same store as another process sees it. The present life goes on or has died, whatever it is.
    #[must_use]
    pub fn next_life(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), life: Arc::default() }
    }

    /// Ends this life: nothing that it asks for happens any more.
    pub fn die(&self) {
        self.life.dead.store(true, Ordering::Release);
    }

    /// A store of its own that holds the same files now.
    #[must_use]
    pub fn copy(&self) -> Self {
        let inner = self.lock();
        let copied = Inner { files: inner.files.clone(), modified: inner.modified.clone(), ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(copied)), life: Arc::default() }
    }

    /// The paths of all files, sorted, whatever life it is.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.lock().files.keys().cloned().collect()
    }

    /// A file's bytes behind everybody's back; none where there is no such file.
    #[must_use]
    pub fn bytes(&self, path: &str) -> Bytes {
        self.lock().files.get(path).cloned().unwrap_or_default()
    }

    /// Overwrites a file behind everybody's back, as a fault of the medium would.
    pub fn corrupt(&self, path: &str, bytes: Bytes) {
        self.lock().files.insert(path.to_owned(), bytes);
    }

    pub(super) fn create_new(&self, path: &str, bytes: Bytes) -> Create {
        let deed = Deed::Create(path.to_owned(), bytes);
        match self.effect(Operation::Create, path, deed) {
            Done::Yes => Create::Created,
            Done::InVain => Create::Exists,
            Done::Certainly(error) => Create::Failed(error),
            Done::Unknown(error) => Create::Unknown(error),
        }
    }

    pub(super) fn read(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let inner = self.asked(Operation::Read, path)?;
        Ok(inner.files.get(path).cloned())
    }

    pub(super) fn read_part(&self, path: &str, from: u64, most: usize) -> Result<Option<Bytes>, LakeError> {
        let part = |bytes: Bytes| {
            let from = usize::try_from(from).map_or(bytes.len(), |from| from.min(bytes.len()));
            bytes.slice(from..bytes.len().min(from.saturating_add(most)))
        };
        Ok(self.read(path)?.map(part))
    }

    pub(super) fn stat(&self, path: &str) -> Result<Option<Stat>, LakeError> {
        let inner = self.asked(Operation::Stat, path)?;
        let modified_us = inner.modified.get(path).copied().unwrap_or(0);
        if let Some(bytes) = inner.files.get(path) {
            return Ok(Some(Stat { len: bytes.len() as u64, modified_us, is_dir: false }));
        }
        let folder = format!("{path}/");
        let is_dir = inner.files.keys().any(|name| name.starts_with(&folder));
        Ok(is_dir.then_some(Stat { len: 0, modified_us: 0, is_dir: true }))
    }

    pub(super) fn list_recursive(&self, dir: &str) -> Result<Vec<DirEntry>, LakeError> {
        let inner = self.asked(Operation::List, dir)?;
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
        let present = |path: &str| self.lock().files.contains_key(path);
        let (source, target) = (present(from), present(to));
        match self.effect(Operation::Rename, from, Deed::Rename(from.to_owned(), to.to_owned())) {
            Done::Yes => Rename::Done,
            Done::InVain if !source => Rename::SourceMissing,
            Done::InVain if target => Rename::TargetExists,
            Done::InVain => Rename::Unknown(error(Cue::LostAnswer, from)),
            Done::Certainly(error) | Done::Unknown(error) => Rename::Unknown(error),
        }
    }

    pub(super) fn delete(&self, path: &str) -> Result<bool, LakeError> {
        self.effect(Operation::Delete, path, Deed::Delete(path.to_owned())).answered()
    }

    pub(super) fn delete_dir(&self, dir: &str) -> Result<bool, LakeError> {
        self.effect(Operation::Delete, dir, Deed::DeleteDir(dir.to_owned())).answered()
    }

    pub(super) fn put(&self, path: &str, bytes: Bytes) -> Result<(), LakeError> {
        self.effect(Operation::Put, path, Deed::Put(path.to_owned(), bytes)).answered().map(drop)
    }

    pub(super) fn create_file(&self, path: &str) -> Result<MemoryFile, LakeError> {
        let mut inner = self.asked(Operation::Write, path)?;
        if inner.files.contains_key(path) || !inner.writing.insert(path.to_owned()) {
            return Err(LakeError::other("memory", path, "create: it exists"));
        }
        Ok(MemoryFile { memory: self.clone(), path: path.to_owned(), bytes: Vec::new() })
    }

    /// As HDFS does it: a file that was open is closed by the time of the next call, as it is, and its writer is out.
    pub(super) fn recover_leases(&self, dir: &str) -> Result<bool, LakeError> {
        let mut inner = self.asked(Operation::Recover, dir)?;
        let (before, folder) = (inner.writing.len(), format!("{dir}/"));
        inner.writing.retain(|path| !path.starts_with(&folder));
        Ok(inner.writing.len() == before)
    }

    /// Does the deed as the cue says.
    fn effect(&self, operation: Operation, path: &str, deed: Deed) -> Done {
        let (mut inner, cue) = match self.entered(operation, path) {
            Ok(entered) => entered,
            Err(error) => return Done::Unknown(error),
        };
        match cue {
            None => return if inner.carry_out(&deed) { Done::Yes } else { Done::InVain },
            Some(Cue::Full) => return Done::Certainly(error(Cue::Full, path)),
            Some(Cue::LostRequest | Cue::DieBefore) => {}
            Some(Cue::LostAnswer | Cue::DieAfter) => drop(inner.carry_out(&deed)),
            Some(Cue::Late) => inner.late.push(deed),
        }
        Done::Unknown(error(Cue::LostAnswer, path))
    }

    /// For what changes nothing, or nothing that outlives the caller: any cue is a failure.
    fn asked(&self, operation: Operation, path: &str) -> Result<MutexGuard<'_, Inner>, LakeError> {
        match self.entered(operation, path)? {
            (inner, None) => Ok(inner),
            (_, Some(cue)) => Err(error(cue, path)),
        }
    }

    /// The store, and how the operation is to go. A life that ends here is over before anybody else comes in.
    fn entered(&self, operation: Operation, path: &str) -> Result<(MutexGuard<'_, Inner>, Option<Cue>), LakeError> {
        let mut inner = self.lock();
        if self.life.dead.load(Ordering::Acquire) {
            return Err(error(Cue::LostRequest, path));
        }
        let mut script = self.life.script.lock().unwrap_or_else(PoisonError::into_inner);
        let told = script.as_mut().and_then(|script| script(operation, path));
        let cue = told.or_else(|| inner.cue(operation, path));
        if let Some(Cue::DieBefore | Cue::DieAfter) = cue {
            self.die();
        }
        Ok((inner, cue))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a deed.
enum Done {
    Yes,
    /// It was carried out and changed nothing.
    InVain,
    Certainly(LakeError),
    Unknown(LakeError),
}

impl Done {
    /// Whether there was something to change.
    fn answered(self) -> Result<bool, LakeError> {
        match self {
            Self::Yes => Ok(true),
            Self::InVain => Ok(false),
            Self::Certainly(error) | Self::Unknown(error) => Err(error),
        }
    }
}

impl Inner {
    fn cue(&mut self, operation: Operation, path: &str) -> Option<Cue> {
        let at = self.cues.iter().position(|(o, part, _)| *o == operation && path.contains(part.as_str()))?;
        Some(self.cues.remove(at).2)
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
            Deed::DeleteDir(dir) => {
                let (before, folder) = (self.files.len(), format!("{dir}/"));
                self.files.retain(|path, _| !path.starts_with(&folder));
                self.files.len() < before
            }
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
        let inner = self.memory.asked(Operation::Write, &self.path)?;
        inner.holds_lease(&self.path)?;
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn close(mut self) -> Result<(), LakeError> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        self.memory.lock().holds_lease(&self.path)?;
        let done = self.memory.effect(Operation::Close, &self.path, Deed::Put(self.path.clone(), bytes));
        done.answered().map(drop)
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
