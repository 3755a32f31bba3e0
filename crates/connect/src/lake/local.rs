//! A lake on a local (or locally mounted) file system.
//!
//! Promises: put-if-absent and rename go by hard link, which no POSIX file system overwrites with; what is reported as
//! done survives a power cut (files and the folders that name them are synced, new parent folders too). Everything
//! here blocks; `Lake` calls it off the arbiters.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    num::NonZero,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use bytes::Bytes;
use rustix::fs::Advice;

use super::{Create, DirEntry, LakeError, Rename, Stat, checksum::Checksum, path as names};

const CHUNK: usize = 1 << 20;

/// A file being written is handed to the disk, and forgotten by the page cache, in steps of this many bytes; smaller
/// files stay cached for those who read them next.
const STEP: u64 = 8 << 20;

#[derive(Clone, Debug)]
pub(super) struct Local {
    root: Arc<Path>,
    store: Arc<str>,
    /// Folders whose own names this process has synced; a folder that another process made may not be durable yet.
    durable: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Local {
    /// The lake there, whether or not it is there yet.
    pub(super) fn at(root: &Path, store: &str) -> Self {
        Self { root: root.into(), store: store.into(), durable: Arc::default() }
    }

    pub(super) fn open(root: &Path, store: &str) -> Result<Self, LakeError> {
        let local = Self::at(root, store);
        local.make_folder(root).map_err(|e| local.error("", "make the root folder", &e))?;
        Ok(local)
    }

    pub(super) fn store(&self) -> &str {
        &self.store
    }

    pub(super) fn create_new(&self, path: &str, bytes: &[u8]) -> Create {
        let temp = names::temporary(path);
        if let Err(e) = self.write_synced(&temp, bytes) {
            let _ = fs::remove_file(self.full(&temp));
            return Create::Failed(self.error(path, "write a temporary file", &e));
        }
        let linked = fs::hard_link(self.full(&temp), self.full(path));
        let outcome = match linked {
            Ok(()) => match self.sync_folder(path) {
                Ok(()) => Create::Created,
                Err(e) => Create::Unknown(self.error(path, "sync the folder", &e)),
            },
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Create::Exists,
            Err(e) if surely_not_done(&e) => Create::Failed(self.error(path, "link", &e)),
            Err(e) => Create::Unknown(self.error(path, "link", &e)),
        };
        let _ = fs::remove_file(self.full(&temp));
        outcome
    }

    pub(super) fn read(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        absent(fs::read(self.full(path))).map(|o| o.map(Bytes::from)).map_err(|e| self.error(path, "read", &e))
    }

    pub(super) fn read_part(&self, path: &str, from: u64, most: usize) -> Result<Option<Bytes>, LakeError> {
        let part = || -> io::Result<Option<Bytes>> {
            let Some(mut file) = absent(File::open(self.full(path)))? else { return Ok(None) };
            file.seek(io::SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            file.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
            Ok(Some(bytes.into()))
        };
        part().map_err(|e| self.error(path, "read", &e))
    }

    pub(super) fn make_durable(&self, path: &str) -> Result<(), LakeError> {
        let folder = self.full(names::parent(path));
        self.make_folder(&folder)
            .and_then(|()| self.sync_folder(path))
            .map_err(|e| self.error(path, "sync the folder", &e))
    }

    pub(super) fn stat(&self, path: &str) -> Result<Option<Stat>, LakeError> {
        let meta = absent(fs::metadata(self.full(path))).map_err(|e| self.error(path, "stat", &e))?;
        Ok(meta.map(|m| Stat {
            len: if m.is_dir() { 0 } else { m.len() },
            modified_us: m
                .modified()
                .ok()
                .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
                .and_then(|d| i64::try_from(d.as_micros()).ok())
                .unwrap_or(0),
            is_dir: m.is_dir(),
        }))
    }

    pub(super) fn list(&self, dir: &str) -> Result<Vec<DirEntry>, LakeError> {
        self.entries(&self.full(dir)).map_err(|e| self.error(dir, "list", &e))
    }

    pub(super) fn list_recursive(&self, dir: &str) -> Result<Vec<DirEntry>, LakeError> {
        let mut found = Vec::new();
        let mut open = vec![String::new()];
        while let Some(folder) = open.pop() {
            let at = if folder.is_empty() { self.full(dir) } else { self.full(dir).join(&folder) };
            for entry in self.entries(&at).map_err(|e| self.error(dir, "list", &e))? {
                let name = names::join(&folder, &entry.name);
                if entry.is_dir {
                    open.push(name.clone());
                }
                found.push(DirEntry { name, ..entry });
            }
        }
        Ok(found)
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> Rename {
        match self.link_away(from, to) {
            Ok(outcome) => outcome,
            Err(e) => Rename::Unknown(self.error(to, &format!("rename from `{from}`"), &e)),
        }
    }

    pub(super) fn delete(&self, path: &str) -> Result<bool, LakeError> {
        let removed = absent(fs::remove_file(self.full(path))).map_err(|e| self.error(path, "delete", &e))?;
        if removed.is_some() {
            self.sync_folder(path).map_err(|e| self.error(path, "sync the folder", &e))?;
        }
        Ok(removed.is_some())
    }

    pub(super) fn delete_dir(&self, path: &str) -> Result<bool, LakeError> {
        self.durable().clear();
        let removed = absent(fs::remove_dir_all(self.full(path))).map_err(|e| self.error(path, "delete folder", &e))?;
        Ok(removed.is_some())
    }

    pub(super) fn put(&self, path: &str, bytes: &[u8]) -> Result<(), LakeError> {
        let temp = names::temporary(path);
        self.write_synced(&temp, bytes).and_then(|()| fs::rename(self.full(&temp), self.full(path))).map_err(|e| {
            let _ = fs::remove_file(self.full(&temp));
            self.error(path, "replace", &e)
        })
    }

    pub(super) fn create_file(&self, path: &str) -> Result<LocalFile, LakeError> {
        let file = self.make_folder(&self.full(names::parent(path))).and_then(|()| new_file(&self.full(path)));
        let file = file.map_err(|e| self.error(path, "create", &e))?;
        Ok(LocalFile { local: self.clone(), path: path.to_owned(), file, written: 0, handed_on: 0 })
    }

    pub(super) fn checksum(&self, path: &str) -> Result<Option<String>, LakeError> {
        let Some(mut file) = absent(File::open(self.full(path))).map_err(|e| self.error(path, "open", &e))? else {
            return Ok(None);
        };
        let (mut sum, mut chunk) = (Checksum::new(), vec![0; CHUNK]);
        loop {
            match file.read(&mut chunk) {
                Ok(0) => return Ok(Some(sum.hex())),
                Ok(n) => sum.update(chunk.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error(path, "read", &e)),
            }
        }
    }

    pub(super) fn device(&self, path: &str) -> Result<u64, LakeError> {
        use std::os::unix::fs::MetadataExt;
        let full = self.full(path);
        for folder in full.ancestors() {
            match absent(fs::metadata(folder)) {
                Ok(Some(meta)) => return Ok(meta.dev()),
                Ok(None) => {}
                Err(e) => return Err(self.error(path, "stat", &e)),
            }
        }
        Err(LakeError::other(&self.store, path, "no folder above it exists"))
    }

    /// Bytes that this process may still write to the file system under the root.
    pub(super) fn free_bytes(&self) -> Result<u64, LakeError> {
        let disk = rustix::fs::statvfs(&*self.root).map_err(|e| self.error("", "ask for free space", &e.into()))?;
        Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn link_away(&self, from: &str, to: &str) -> io::Result<Rename> {
        let (source, target) = (self.full(from), self.full(to));
        if absent(fs::symlink_metadata(&source))?.is_none() {
            return Ok(Rename::SourceMissing);
        }
        self.make_folder(&self.full(names::parent(to)))?;
        match fs::hard_link(&source, &target) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(Rename::TargetExists),
            Err(e) if e.kind() == io::ErrorKind::NotFound && absent(fs::symlink_metadata(&source))?.is_none() => {
                return Ok(Rename::SourceMissing);
            }
            Err(e) => return Err(e),
        }
        self.sync_folder(to)?;
        absent(fs::remove_file(&source))?;
        self.sync_folder(from)?;
        Ok(Rename::Done)
    }

    fn write_synced(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.make_folder(&self.full(names::parent(path)))?;
        let mut file = new_file(&self.full(path))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    /// Makes `folder` and its parents, each synced into the folder above it.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        if self.durable().contains(folder) && folder.is_dir() {
            return Ok(());
        }
        let mut missing: Vec<&Path> = folder.ancestors().take_while(|a| *a != &*self.root).collect();
        if missing.last().is_none_or(|top| top.parent() == Some(&*self.root)) {
            missing.push(&self.root);
        }
        if folder == &*self.root {
            fs::create_dir_all(folder.parent().unwrap_or(folder))?;
        }
        for step in missing.into_iter().rev() {
            let made = match fs::create_dir(step) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && step.is_dir() => false,
                done => done.map(|()| true)?,
            };
            // Who set the root up is responsible for it: the folder above it may not even be readable.
            if !made && (step == &*self.root || self.durable().contains(step)) {
                continue;
            }
            if let Some(above) = step.parent() {
                File::open(above)?.sync_all()?;
            }
            self.durable().insert(step.to_owned());
        }
        Ok(())
    }

    /// Syncs the folder that holds `path`, so that the name survives a power cut.
    fn sync_folder(&self, path: &str) -> io::Result<()> {
        File::open(self.full(names::parent(path)))?.sync_all()
    }

    fn entries(&self, folder: &Path) -> io::Result<Vec<DirEntry>> {
        let Some(entries) = absent(fs::read_dir(folder))? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            // A name that is not UTF-8 is not ours; it is shown with replacement characters so that it is not missed.
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(meta) = absent(entry.metadata())? {
                found.push(DirEntry { name, is_dir: meta.is_dir(), len: if meta.is_dir() { 0 } else { meta.len() } });
            }
        }
        Ok(found)
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn full(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.to_path_buf() } else { self.root.join(path) }
    }

    fn error(&self, path: &str, doing: &str, error: &io::Error) -> LakeError {
        LakeError::from_io(&self.store, path, doing, error)
    }
}

/// A new file being written.
#[derive(Debug)]
pub(super) struct LocalFile {
    local: Local,
    path: String,
    file: File,
    written: u64,
    /// Bytes that the disk has been told to begin with.
    handed_on: u64,
}

impl LocalFile {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), LakeError> {
        self.file.write_all(bytes).map_err(|e| self.local.error(&self.path, "write", &e))?;
        self.written += u64::try_from(bytes.len()).unwrap_or(0);
        if self.written - self.handed_on >= STEP {
            self.hand_on();
        }
        Ok(())
    }

    pub(super) fn close(mut self) -> Result<(), LakeError> {
        self.file
            .sync_all()
            .and_then(|()| self.local.sync_folder(&self.path))
            .map_err(|e| self.local.error(&self.path, "sync", &e))?;
        if self.handed_on > 0 {
            self.hand_on();
        }
        Ok(())
    }

    /// Has the disk begin with what was written since the last call, so that the sync at the end finds little left, and
    /// gives back the page cache of what it has finished by now: an endless stream would push everything else out of it.
    fn hand_on(&mut self) {
        let from = self.handed_on.saturating_sub(2 * STEP);
        // A hint: a file system that can't take it changes nothing.
        let _ = rustix::fs::fadvise(&self.file, from, NonZero::new(self.written - from), Advice::DontNeed);
        self.handed_on = self.written;
    }

    pub(super) fn abort(self) {
        let _ = fs::remove_file(self.local.full(&self.path));
    }
}

fn new_file(full: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(full)
}

/// Errors of a link that the file system gives before it changes anything; a network file system may lose the answer
/// of a link that was made, so anything else is unknown.
fn surely_not_done(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::PermissionDenied
            | K::ReadOnlyFilesystem
            | K::StorageFull
            | K::QuotaExceeded
            | K::NotFound
            | K::NotADirectory
            | K::CrossesDevices
            | K::TooManyLinks
            | K::Unsupported
            | K::InvalidFilename
    )
}

fn absent<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_cache_forgets_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Local::open(folder.path(), "local").unwrap();
        let pieces: Vec<Vec<u8>> = (0..40_u8).map(|piece| vec![piece; 700_001]).collect();
        let mut file = lake.create_file("a/b").unwrap();
        pieces.iter().for_each(|piece| file.write(piece).unwrap());
        assert_eq!((file.written, file.handed_on > 2 * STEP), (40 * 700_001, true));
        file.close().unwrap();
        assert!(lake.read("a/b").unwrap().unwrap() == pieces.concat());
    }
}
