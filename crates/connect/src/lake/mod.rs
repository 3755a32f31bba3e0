//! The lake's stores: a local folder, HDFS, and an in-memory twin for tests, behind one set of operations.
//!
//! Promises: put-if-absent and rename never overwrite (L1, F1); what is answered as created, done or closed is durable;
//! an answer that was lost is Unknown, never a guess (L3); no request waits for ever. Paths are below the root, with
//! `/` between components. Deliberately knows nothing of logs, layers or entries, retries nothing, and caches nothing
//! that it reads.

mod checksum;
mod hdfs;
mod hdfs_error;
mod local;
mod memory;
mod outcome;
mod path;
mod probe;
mod writer;

#[cfg(test)]
mod contract_tests;

use std::{path::Path, time::Duration};

use bytes::Bytes;

pub use self::{
    checksum::checksum_of,
    hdfs::HDFS_TIME_LIMIT,
    memory::{Cue, Memory, Operation, Script},
    outcome::{Closed, Create, DirEntry, Fault, LakeError, Rename, Stat},
    writer::LakeWriter,
};
use self::{hdfs::Hdfs, local::Local, writer::Target};
use crate::crash_point::Around;

/// A lake. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Lake(Store);

#[derive(Clone, Debug)]
enum Store {
    Local(Local),
    Hdfs(Hdfs),
    Memory(Memory),
}

impl Lake {
    /// Opens the lake at `url`: `file:///folder`, `hdfs://host:port/folder` or `hdfs://nameservice/folder`. Makes the
    /// root folder. `hadoop_conf` is the folder of core-site.xml and hdfs-site.xml; without it `HADOOP_CONF_DIR` counts.
    pub async fn open(url: &str, hadoop_conf: Option<&Path>) -> Result<Self, LakeError> {
        Self::open_within(url, hadoop_conf, HDFS_TIME_LIMIT).await
    }

    /// As [`Lake::open`], with a time limit of one's own for each request to HDFS.
    pub async fn open_within(url: &str, hadoop_conf: Option<&Path>, limit: Duration) -> Result<Self, LakeError> {
        if let Some(folder) = url.strip_prefix("file://").filter(|folder| folder.starts_with('/')) {
            let (folder, store) = (std::path::PathBuf::from(folder), url.trim_end_matches('/').to_owned());
            return blocking(url, "", move || Local::open(&folder, &store))
                .await
                .map(|local| Self(Store::Local(local)));
        }
        if url.starts_with("hdfs://") {
            let hdfs = Hdfs::connect(url, hadoop_conf, limit)?;
            hdfs.make_root().await?;
            return Ok(Self(Store::Hdfs(hdfs)));
        }
        Err(LakeError::other(url, "", "a lake's URL is file:///folder or hdfs://host:port/folder"))
    }

    /// As [`Lake::open`], but makes nothing: where no lake is, nothing is found in it.
    pub async fn open_to_look(url: &str, hadoop_conf: Option<&Path>) -> Result<Self, LakeError> {
        match url.strip_prefix("file://").filter(|folder| folder.starts_with('/')) {
            Some(folder) => Ok(Self(Store::Local(Local::at(Path::new(folder), url.trim_end_matches('/'))))),
            None if url.starts_with("hdfs://") => {
                Ok(Self(Store::Hdfs(Hdfs::connect(url, hadoop_conf, HDFS_TIME_LIMIT)?)))
            }
            None => Self::open(url, hadoop_conf).await,
        }
    }

    /// An empty lake in memory, and the handle that makes it fail on cue.
    #[must_use]
    pub fn memory() -> (Self, Memory) {
        let memory = Memory::default();
        (Self::of_memory(&memory), memory)
    }

    /// A lake in memory that there is already.
    #[must_use]
    pub fn of_memory(memory: &Memory) -> Self {
        Self(Store::Memory(memory.clone()))
    }

    /// The root's URL, as given.
    #[must_use]
    pub fn store(&self) -> &str {
        match &self.0 {
            Store::Local(local) => local.store(),
            Store::Hdfs(hdfs) => hdfs.store(),
            Store::Memory(_) => "memory",
        }
    }

    /// Puts `bytes` under `path` if nothing is there. Created means durable.
    pub async fn create_new(&self, path: &str, bytes: Bytes) -> Create {
        let _around = Around::lake(Operation::Create, path);
        if let Err(error) = path::check(self.store(), path) {
            return Create::Failed(error);
        }
        match &self.0 {
            Store::Local(local) => {
                let owned = path.to_owned();
                let work = self.off(local, path, move |local| Ok(local.create_new(&owned, &bytes))).await;
                work.unwrap_or_else(Create::Unknown)
            }
            Store::Hdfs(hdfs) => hdfs.create_new(path, bytes).await,
            Store::Memory(memory) => memory.create_new(path, bytes),
        }
    }

    /// The bytes under `path`; `None` if there is nothing.
    pub async fn read(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let _around = Around::lake(Operation::Read, path);
        path::check(self.store(), path)?;
        let owned = path.to_owned();
        match &self.0 {
            Store::Local(local) => self.off(local, path, move |local| local.read(&owned)).await,
            Store::Hdfs(hdfs) => hdfs.read(path).await,
            Store::Memory(memory) => memory.read(path),
        }
    }

    /// At most `most` bytes of the file from byte `from` on, fewer only at its end; `None` if there is no file.
    pub async fn read_part(&self, path: &str, from: u64, most: usize) -> Result<Option<Bytes>, LakeError> {
        let _around = Around::lake(Operation::Read, path);
        path::check(self.store(), path)?;
        let owned = path.to_owned();
        match &self.0 {
            Store::Local(local) => self.off(local, path, move |local| local.read_part(&owned, from, most)).await,
            Store::Hdfs(hdfs) => hdfs.read_part(path, from, most).await,
            Store::Memory(memory) => memory.read_part(path, from, most),
        }
    }

    /// As [`Lake::read`], and the name is durable before it answers: what someone else created may not be yet (L1).
    pub async fn read_durable(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let found = self.read(path).await?;
        if found.is_some() {
            self.make_durable(path).await?;
        }
        Ok(found)
    }

    /// Makes the name of an existing file durable, whoever created it. Local: syncs its folder; others are already.
    pub async fn make_durable(&self, path: &str) -> Result<(), LakeError> {
        path::check(self.store(), path)?;
        let owned = path.to_owned();
        match &self.0 {
            Store::Local(local) => self.off(local, path, move |local| local.make_durable(&owned)).await,
            Store::Hdfs(_) | Store::Memory(_) => Ok(()),
        }
    }

    /// Length and time of change; `None` if there is nothing.
    pub async fn stat(&self, path: &str) -> Result<Option<Stat>, LakeError> {
        let _around = Around::lake(Operation::Stat, path);
        path::check(self.store(), path)?;
        let owned = path.to_owned();
        match &self.0 {
            Store::Local(local) => self.off(local, path, move |local| local.stat(&owned)).await,
            Store::Hdfs(hdfs) => hdfs.stat(path).await,
            Store::Memory(memory) => memory.stat(path),
        }
    }

    /// The names in `dir` (empty: the root), sorted; none if it is absent. Temporary files of other calls are left out.
    pub async fn list(&self, dir: &str) -> Result<Vec<DirEntry>, LakeError> {
        Ok(self.entries(dir, false).await?.into_iter().filter(|entry| !temporary(entry)).collect())
    }

    /// Files and folders at any depth below `dir`, sorted, named relative to it; as [`Lake::list`] otherwise.
    pub async fn list_recursive(&self, dir: &str) -> Result<Vec<DirEntry>, LakeError> {
        Ok(self.entries(dir, true).await?.into_iter().filter(|entry| !temporary(entry)).collect())
    }

    /// Temporary files of `create_new` and `put` in `dir`, for garbage collection: of calls that died, or of calls that
    /// are running right now.
    pub async fn list_temporary(&self, dir: &str) -> Result<Vec<DirEntry>, LakeError> {
        Ok(self.entries(dir, false).await?.into_iter().filter(temporary).collect())
    }

    /// Renames a file without overwriting; makes the parents of `to`. Done means durable.
    pub async fn rename(&self, from: &str, to: &str) -> Rename {
        let _around = Around::lake(Operation::Rename, from);
        if let Err(error) = path::check(self.store(), from).and_then(|()| path::check(self.store(), to)) {
            return Rename::Unknown(error);
        }
        match &self.0 {
            Store::Local(local) => {
                let (from, to, at) = (from.to_owned(), to.to_owned(), from);
                let work = self.off(local, at, move |local| Ok(local.rename(&from, &to))).await;
                work.unwrap_or_else(Rename::Unknown)
            }
            Store::Hdfs(hdfs) => hdfs.rename(from, to).await,
            Store::Memory(memory) => memory.rename(from, to),
        }
    }

    /// Removes a file; answers whether there was one.
    pub async fn delete(&self, path: &str) -> Result<bool, LakeError> {
        let _around = Around::lake(Operation::Delete, path);
        path::check(self.store(), path)?;
        let owned = path.to_owned();
        match &self.0 {
            Store::Local(local) => self.off(local, path, move |local| local.delete(&owned)).await,
            Store::Hdfs(hdfs) => hdfs.delete(path, false).await,
            Store::Memory(memory) => memory.delete(path),
        }
    }

    /// Removes a folder with all that it holds; answers whether there was one.
    pub async fn delete_dir(&self, path: &str) -> Result<bool, LakeError> {
        let _around = Around::lake(Operation::Delete, path);
        path::check(self.store(), path)?;
        let owned = path.to_owned();
        match &self.0 {
            Store::Local(local) => self.off(local, path, move |local| local.delete_dir(&owned)).await,
            Store::Hdfs(hdfs) => hdfs.delete(path, true).await,
            Store::Memory(memory) => memory.delete_dir(path),
        }
    }

    /// Puts `bytes` under `path`, whatever was there. For hints only, such as the lease: readers see the old or the new
    /// bytes, never a mix, but a power cut may bring the old ones back.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<(), LakeError> {
        let _around = Around::lake(Operation::Put, path);
        path::check(self.store(), path)?;
        let owned = path.to_owned();
        match &self.0 {
            Store::Local(local) => self.off(local, path, move |local| local.put(&owned, &bytes)).await,
            Store::Hdfs(hdfs) => hdfs.put(path, bytes).await,
            Store::Memory(memory) => memory.put(path, bytes),
        }
    }

    /// Opens a new file for writing; makes its parents. An error if the name is taken.
    pub async fn writer(&self, path: &str) -> Result<LakeWriter, LakeError> {
        let _around = Around::lake(Operation::Write, path);
        path::check(self.store(), path)?;
        let owned = path.to_owned();
        let target = match &self.0 {
            Store::Local(local) => {
                let file = self.off(local, path, move |local| local.create_file(&owned)).await?;
                Target::Local(Box::new(file))
            }
            Store::Hdfs(hdfs) => Target::Hdfs(Box::new(hdfs.create_file(path).await?)),
            Store::Memory(memory) => Target::Memory(memory.create_file(path)?),
        };
        Ok(LakeWriter::new(target, self.store(), path))
    }

    /// XXH3-128 of the file's bytes as 32 hex digits, read in pieces; `None` if there is nothing.
    pub async fn checksum(&self, path: &str) -> Result<Option<String>, LakeError> {
        let _around = Around::lake(Operation::Read, path);
        path::check(self.store(), path)?;
        let owned = path.to_owned();
        match &self.0 {
            Store::Local(local) => self.off(local, path, move |local| local.checksum(&owned)).await,
            Store::Hdfs(hdfs) => hdfs.checksum(path).await,
            Store::Memory(memory) => Ok(memory.read(path)?.map(|bytes| checksum_of(&bytes))),
        }
    }

    /// Takes all files below `dir` away from whoever has them open (HDFS), for good; answers whether all are closed by
    /// now. HDFS needs some seconds for a file with bytes in it: ask again. A local disk has no leases.
    pub async fn recover_leases(&self, dir: &str) -> Result<bool, LakeError> {
        let _around = Around::lake(Operation::Recover, dir);
        path::check(self.store(), dir)?;
        match &self.0 {
            Store::Hdfs(hdfs) => hdfs.recover_leases(dir).await,
            Store::Memory(memory) => memory.recover_leases(dir),
            Store::Local(_) => Ok(true),
        }
    }

    /// Proves that creates and renames don't overwrite and that the process may write (H4). Leaves nothing behind.
    pub async fn self_test(&self) -> Result<(), LakeError> {
        probe::run(self).await
    }

    /// Whether a file can be renamed from folder `a` to folder `b` (H4); folders that are missing count as the nearest
    /// one above them. HDFS answers yes: one name system is one file system, and encryption zones can't be compared
    /// without administrator's rights; a rename across zones fails with a message that says so.
    pub async fn same_file_system(&self, a: &str, b: &str) -> Result<bool, LakeError> {
        path::check(self.store(), a)?;
        path::check(self.store(), b)?;
        let (at, a, b) = (a, a.to_owned(), b.to_owned());
        match &self.0 {
            Store::Local(local) => self.off(local, at, move |local| Ok(local.device(&a)? == local.device(&b)?)).await,
            Store::Hdfs(_) | Store::Memory(_) => Ok(true),
        }
    }

    /// Bytes that may still be written to the lake's disk; `None` for a store that isn't one: HDFS tells its NameNode's
    /// watchers.
    pub async fn free_bytes(&self) -> Result<Option<u64>, LakeError> {
        match &self.0 {
            Store::Local(local) => self.off(local, "", Local::free_bytes).await.map(Some),
            Store::Hdfs(_) | Store::Memory(_) => Ok(None),
        }
    }

    async fn entries(&self, dir: &str, recursive: bool) -> Result<Vec<DirEntry>, LakeError> {
        let _around = Around::lake(Operation::List, dir);
        if !dir.is_empty() {
            path::check(self.store(), dir)?;
        }
        let owned = dir.to_owned();
        let mut found = match &self.0 {
            Store::Local(local) if recursive => self.off(local, dir, move |local| local.list_recursive(&owned)).await?,
            Store::Local(local) => self.off(local, dir, move |local| local.list(&owned)).await?,
            Store::Hdfs(hdfs) => hdfs.list(dir, recursive).await?,
            Store::Memory(memory) => memory.list_recursive(dir)?,
        };
        found.retain(|entry| recursive || !entry.name.contains('/'));
        found.sort();
        Ok(found)
    }

    async fn off<T: Send + 'static>(
        &self,
        local: &Local,
        path: &str,
        work: impl FnOnce(&Local) -> Result<T, LakeError> + Send + 'static,
    ) -> Result<T, LakeError> {
        let local = local.clone();
        blocking(self.store(), path, move || work(&local)).await
    }
}

fn temporary(entry: &DirEntry) -> bool {
    path::is_temporary(path::file_name(&entry.name))
}

/// Runs what blocks off the caller's thread, which may be an actor's.
pub(crate) async fn blocking<T: Send + 'static>(
    store: &str,
    path: &str,
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Result<T, LakeError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|e| Err(LakeError::other(store, path, format!("the task ended: {e}"))))
}
