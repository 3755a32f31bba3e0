//! A lake on HDFS, through the pure Rust client.
//!
//! Promises: put-if-absent is a closed and hsynced temporary file renamed without overwrite, asked of the active
//! NameNode; every request ends within a time limit, and one that may still take effect answers Unknown. Every request
//! runs on a runtime of its own, so that callers may sit on a single-threaded one, and one that its caller gave up is
//! carried to its end. Deliberately retries nothing: the caller does.

use std::{
    future::Future,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hdfs_native::{
    Client, ClientBuilder, HdfsError, WriteOptions, client::FileStatus, file::FileReader, file::FileWriter,
};
use tokio::runtime::{Builder, Handle, Runtime};

use super::{
    Create, DirEntry, LakeError, Rename, Stat, checksum::Checksum, hdfs_error as meaning, outcome::Fault, path as names,
};

/// Time limit of one request (a metadata call, one chunk read, one write, one close). Longer than the client's own
/// walk over the NameNodes; short enough that a stopped DataNode is noticed within an epoch's age.
pub const HDFS_TIME_LIMIT: Duration = Duration::from_secs(30);

/// The client's own tries to reach a NameNode before it reports that none answers: about ten seconds. Its default (15
/// tries, up to 15 s apart) would outlive the time limit and hide the cause.
const FAILOVER: [(&str, &str); 3] = [
    ("dfs.client.failover.max.attempts", "8"),
    ("dfs.client.failover.sleep.base.millis", "200"),
    ("dfs.client.failover.sleep.max.millis", "2000"),
];

const CHUNK: usize = 4 << 20;
const FOLDER_MODE: u32 = 0o755;

#[derive(Clone, Debug)]
pub(super) struct Hdfs {
    client: Client,
    root: Arc<str>,
    store: Arc<str>,
    io: Handle,
    limit: Duration,
}

impl Hdfs {
    /// `url` is `hdfs://authority/path`; an authority without a port is looked up as a name service in `conf` or in
    /// `HADOOP_CONF_DIR`. Talks to nobody yet.
    pub(super) fn connect(url: &str, conf: Option<&Path>, limit: Duration) -> Result<Self, LakeError> {
        let bad = |detail: String| LakeError::other(url, "", detail);
        let rest = url.strip_prefix("hdfs://").ok_or_else(|| bad("not an hdfs:// URL".into()))?;
        let (authority, root) = rest.split_once('/').unwrap_or((rest, ""));
        let io = io_runtime().map_err(|e| bad(format!("start the I/O runtime: {e}")))?;
        let mut builder = ClientBuilder::new()
            .with_url(format!("hdfs://{authority}"))
            .with_config(FAILOVER)
            .with_io_runtime(io.clone());
        if let Some(conf) = conf {
            builder = builder.with_config_dir(conf.to_string_lossy());
        }
        let client = builder.build().map_err(|e| {
            bad(format!("{e} (without a port, `{authority}` must be a name service of hdfs-site.xml in hadoop_conf)"))
        })?;
        let root = root.trim_matches('/');
        let root = if root.is_empty() { String::new() } else { format!("/{root}") };
        Ok(Self { client, root: root.into(), store: url.trim_end_matches('/').into(), io, limit })
    }

    pub(super) fn store(&self) -> &str {
        &self.store
    }

    pub(super) async fn make_root(&self) -> Result<(), LakeError> {
        self.make_folder("").await
    }

    pub(super) async fn create_new(&self, path: &str, bytes: Bytes) -> Create {
        let (this, owned) = (self.clone(), path.to_owned());
        // Its requests are limited one by one; the task carries them to their end when the caller goes away.
        let work = self.io.spawn(async move { this.put_if_absent(&owned, bytes).await });
        work.await
            .unwrap_or_else(|e| Create::Unknown(LakeError::other(&self.store, path, format!("the task ended: {e}"))))
    }

    pub(super) async fn read(&self, path: &str) -> Result<Option<Bytes>, LakeError> {
        let mut all = BytesMut::new();
        let found = self.read_chunks(path, |chunk| all.extend_from_slice(&chunk)).await?;
        Ok(found.then(|| all.freeze()))
    }

    pub(super) async fn read_part(&self, path: &str, from: u64, most: usize) -> Result<Option<Bytes>, LakeError> {
        let (client, full) = (self.client.clone(), self.full(path));
        let part = async move {
            let reader = client.read(&full).await?;
            // It panics where a range leaves the file.
            match usize::try_from(from).ok().and_then(|from| Some((from, reader.file_length().checked_sub(from)?))) {
                Some((from, left)) if left > 0 => reader.read_range(from, most.min(left)).await,
                _ => Ok(Bytes::new()),
            }
        };
        match self.run(part).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(self.error(path, "read", e)),
        }
    }

    pub(super) async fn checksum(&self, path: &str) -> Result<Option<String>, LakeError> {
        let mut sum = Checksum::new();
        let found = self.read_chunks(path, |chunk| sum.update(&chunk)).await?;
        Ok(found.then(|| sum.hex()))
    }

    pub(super) async fn stat(&self, path: &str) -> Result<Option<Stat>, LakeError> {
        let (client, full) = (self.client.clone(), self.full(path));
        match self.run(async move { client.get_file_info(&full).await }).await {
            Ok(status) => Ok(Some(stat_of(&status))),
            Err(e) if is_missing(&e) => Ok(None),
            Err(e) => Err(self.error(path, "stat", e)),
        }
    }

    pub(super) async fn list(&self, dir: &str, recursive: bool) -> Result<Vec<DirEntry>, LakeError> {
        let (client, full) = (self.client.clone(), self.full(dir));
        let above = format!("{}/", full.trim_end_matches('/'));
        match self.run(async move { client.list_status(&full, recursive).await }).await {
            Ok(found) => Ok(found.iter().filter_map(|status| entry_of(status, &above)).collect()),
            Err(e) if is_missing(&e) => Ok(Vec::new()),
            Err(e) => Err(self.error(dir, "list", e)),
        }
    }

    pub(super) async fn rename(&self, from: &str, to: &str) -> Rename {
        match self.try_rename(from, to).await {
            Ok(()) => Rename::Done,
            Err(Answer::Hdfs(HdfsError::AlreadyExists(_))) => Rename::TargetExists,
            Err(e) if e.is_missing() => self.rename_into_new_folder(from, to).await,
            Err(e) => Rename::Unknown(self.error(from, &format!("rename to `{to}`"), e)),
        }
    }

    pub(super) async fn delete(&self, path: &str, recursive: bool) -> Result<bool, LakeError> {
        let (client, full) = (self.client.clone(), self.full(path));
        let deleted = self.run(async move { client.delete(&full, recursive).await }).await;
        match deleted {
            Err(e) if is_missing(&e) => Ok(false),
            other => other.map_err(|e| self.error(path, "delete", e)),
        }
    }

    pub(super) async fn put(&self, path: &str, bytes: Bytes) -> Result<(), LakeError> {
        let temp = names::temporary(path);
        self.write_whole(&temp, bytes).await?;
        let (client, from, to) = (self.client.clone(), self.full(&temp), self.full(path));
        let replaced = self.run(async move { client.rename(&from, &to, true).await }).await;
        if replaced.is_err() {
            let _ = self.delete(&temp, false).await;
        }
        replaced.map_err(|e| self.error(path, "replace", e))
    }

    pub(super) async fn create_file(&self, path: &str) -> Result<HdfsFile, LakeError> {
        let (client, full) = (self.client.clone(), self.full(path));
        let writer = self.run(async move { client.create(&full, WriteOptions::default()).await }).await;
        let writer = writer.map_err(|e| self.error(path, "create", e))?;
        Ok(HdfsFile { hdfs: self.clone(), path: path.to_owned(), writer: Some(writer) })
    }

    /// Also of files whose names are temporary: a dead writer leaves those open too.
    pub(super) async fn recover_leases(&self, dir: &str) -> Result<bool, LakeError> {
        let mut all_closed = true;
        for entry in self.list(dir, true).await?.into_iter().filter(|entry| !entry.is_dir) {
            let path = format!("{dir}/{}", entry.name);
            let (client, full) = (self.client.clone(), self.full(&path));
            all_closed &= match self.run(async move { client.recover_lease(&full).await }).await {
                Err(e) if is_missing(&e) => true,
                other => other.map_err(|e| self.error(&path, "recover the lease", e))?,
            };
        }
        Ok(all_closed)
    }

    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Create {
        let temp = names::temporary(path);
        if let Err(error) = self.write_whole(&temp, bytes).await {
            return Create::Failed(error);
        }
        match self.try_rename(&temp, path).await {
            Ok(()) => Create::Created,
            Err(Answer::Hdfs(HdfsError::AlreadyExists(_))) => {
                let _ = self.delete(&temp, false).await;
                Create::Exists
            }
            Err(e) => {
                let certain = e.is_answer();
                let error = self.error(path, "rename a temporary file", e);
                // Once the temporary file is deleted under its own name, a rename still on its way finds nothing.
                match self.delete(&temp, false).await {
                    Ok(true) => Create::Failed(error),
                    _ if certain => Create::Failed(error),
                    _ => Create::Unknown(error),
                }
            }
        }
    }

    async fn rename_into_new_folder(&self, from: &str, to: &str) -> Rename {
        match self.stat(from).await {
            Ok(None) => return Rename::SourceMissing,
            Ok(Some(_)) => {}
            Err(e) => return Rename::Unknown(e),
        }
        if let Err(e) = self.make_folder(names::parent(to)).await {
            return Rename::Unknown(e);
        }
        match self.try_rename(from, to).await {
            Ok(()) => Rename::Done,
            Err(Answer::Hdfs(HdfsError::AlreadyExists(_))) => Rename::TargetExists,
            Err(e) if e.is_missing() => Rename::SourceMissing,
            Err(e) => Rename::Unknown(self.error(from, &format!("rename to `{to}`"), e)),
        }
    }

    async fn try_rename(&self, from: &str, to: &str) -> Result<(), Answer> {
        let (client, from, to) = (self.client.clone(), self.full(from), self.full(to));
        self.run(async move { client.rename(&from, &to, false).await }).await
    }

    async fn write_whole(&self, path: &str, bytes: Bytes) -> Result<(), LakeError> {
        let mut file = self.create_file(path).await?;
        let written = match file.write(bytes).await {
            Ok(()) => file.finish().await,
            failed => failed,
        };
        if written.is_err() {
            // Not waited for: the NameNode may be silent too, and garbage collection knows the name's form.
            self.io.spawn(async move { file.abort().await });
        }
        written
    }

    async fn make_folder(&self, path: &str) -> Result<(), LakeError> {
        let (client, full) = (self.client.clone(), self.full(path));
        let made = self.run(async move { client.mkdirs(&full, FOLDER_MODE, true).await }).await;
        made.map_err(|e| self.error(path, "make the folder", e))
    }

    async fn read_chunks(&self, path: &str, mut take: impl FnMut(Bytes)) -> Result<bool, LakeError> {
        let (client, full) = (self.client.clone(), self.full(path));
        let mut reader = match self.run(async move { client.read(&full).await }).await {
            Err(e) if is_missing(&e) => return Ok(false),
            other => other.map_err(|e| self.error(path, "open", e))?,
        };
        while reader.remaining() > 0 {
            let chunk;
            (reader, chunk) = self.run(next_chunk(reader)).await.map_err(|e| self.error(path, "read", e))?;
            take(chunk);
        }
        Ok(true)
    }

    /// Runs one request on the I/O runtime, within the time limit.
    async fn run<T, F>(&self, request: F) -> Result<T, Answer>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HdfsError>> + Send + 'static,
    {
        let limit = self.limit;
        let task = self.io.spawn(async move { tokio::time::timeout(limit, request).await });
        match task.await {
            Ok(Ok(result)) => result.map_err(Answer::Hdfs),
            Ok(Err(_)) => Err(Answer::Silence(limit)),
            Err(e) => Err(Answer::Broken(e.to_string())),
        }
    }

    fn full(&self, path: &str) -> String {
        if path.is_empty() && self.root.is_empty() {
            return "/".to_owned();
        }
        if path.is_empty() { self.root.to_string() } else { format!("{}/{path}", self.root) }
    }

    fn error(&self, path: &str, doing: &str, answer: Answer) -> LakeError {
        match answer {
            Answer::Hdfs(error) => meaning::sort(&self.store, path, doing, error),
            Answer::Silence(limit) => {
                let detail = format!("{doing}: no answer within {} s", limit.as_secs());
                LakeError::Unreachable(Fault::new(&self.store, path, detail))
            }
            Answer::Broken(detail) => LakeError::other(&self.store, path, format!("{doing}: the task ended: {detail}")),
        }
    }
}

/// Why a request gave no result.
enum Answer {
    Hdfs(HdfsError),
    Silence(Duration),
    Broken(String),
}

impl Answer {
    fn is_missing(&self) -> bool {
        is_missing(self)
    }

    fn is_answer(&self) -> bool {
        matches!(self, Self::Hdfs(e) if meaning::is_answer(e))
    }
}

fn is_missing(answer: &Answer) -> bool {
    matches!(answer, Answer::Hdfs(e) if meaning::is_missing(e))
}

/// A new file being written. A failed or timed-out request leaves it broken: abort is all that is left.
pub(super) struct HdfsFile {
    hdfs: Hdfs,
    path: String,
    writer: Option<FileWriter>,
}

impl HdfsFile {
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), LakeError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut writer = self.take()?;
        let written = async move { writer.write_bytes(bytes).await.map(|_| writer) };
        let writer = self.hdfs.run(written).await.map_err(|e| self.hdfs.error(&self.path, "write", e))?;
        self.writer = Some(writer);
        Ok(())
    }

    /// Syncs and closes.
    pub(super) async fn finish(&mut self) -> Result<(), LakeError> {
        let mut writer = self.take()?;
        let closed = async move {
            writer.hsync().await?;
            writer.close().await
        };
        self.hdfs.run(closed).await.map_err(|e| self.hdfs.error(&self.path, "sync and close", e))
    }

    pub(super) async fn abort(&mut self) {
        self.writer = None;
        let _ = self.hdfs.delete(&self.path, false).await;
    }

    fn take(&mut self) -> Result<FileWriter, LakeError> {
        self.writer
            .take()
            .ok_or_else(|| LakeError::other(&self.hdfs.store, &self.path, "written to after a failure or the end"))
    }
}

async fn next_chunk(mut reader: FileReader) -> Result<(FileReader, Bytes), HdfsError> {
    let chunk = reader.read_bytes(CHUNK).await?;
    Ok((reader, chunk))
}

fn stat_of(status: &FileStatus) -> Stat {
    Stat {
        len: if status.isdir { 0 } else { status.length as u64 },
        modified_us: i64::try_from(status.modification_time).unwrap_or(0).saturating_mul(1000),
        is_dir: status.isdir,
    }
}

fn entry_of(status: &FileStatus, above: &str) -> Option<DirEntry> {
    let name = status.path.strip_prefix(above)?;
    let len = if status.isdir { 0 } else { status.length as u64 };
    (!name.is_empty()).then(|| DirEntry { name: name.to_owned(), is_dir: status.isdir, len })
}

/// The runtime of all HDFS requests of the process. It lives as long as the process: dropping a runtime from within
/// another one is not allowed.
fn io_runtime() -> std::io::Result<Handle> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle().clone());
    }
    let made = Builder::new_multi_thread().worker_threads(2).thread_name("hdfs-io").enable_all().build()?;
    match RUNTIME.set(made) {
        Ok(()) => {}
        Err(lost_race) => lost_race.shutdown_background(),
    }
    RUNTIME.get().map(|r| r.handle().clone()).ok_or_else(|| std::io::Error::other("the runtime did not start"))
}
