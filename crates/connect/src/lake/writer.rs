//! A new file of the lake being written: buffered, summed on the way, durable once closed.

use bytes::{Bytes, BytesMut};

use super::{
    Closed, LakeError, Operation, blocking, checksum::Checksum, hdfs::HdfsFile, local::LocalFile, memory::MemoryFile,
};
use crate::crash_point::Around;

/// Small writes are gathered up to this many bytes, so that lines of a small batch don't cost a request each.
const GATHER: usize = 1 << 20;

/// A file that nobody else writes. Dropping it leaves a partial file under its name; see [`LakeWriter::abort`].
pub struct LakeWriter {
    target: Target,
    store: String,
    path: String,
    gathered: BytesMut,
    length: u64,
    checksum: Checksum,
    failed: bool,
}

/// The open file of one kind of store; `Broken` after a failure, when only the name can still be removed.
pub(super) enum Target {
    Local(Box<LocalFile>),
    Hdfs(Box<HdfsFile>),
    Memory(MemoryFile),
    Broken,
}

impl LakeWriter {
    pub(super) fn new(target: Target, store: &str, path: &str) -> Self {
        Self {
            target,
            store: store.to_owned(),
            path: path.to_owned(),
            gathered: BytesMut::new(),
            length: 0,
            checksum: Checksum::new(),
            failed: false,
        }
    }

    /// Path below the lake's root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends `bytes`. After an error the file is useless: abort it.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), LakeError> {
        self.length += bytes.len() as u64;
        self.checksum.update(&bytes);
        if self.gathered.len() + bytes.len() < GATHER {
            self.gathered.extend_from_slice(&bytes);
            return Ok(());
        }
        self.flush().await?;
        if bytes.len() >= GATHER {
            return self.put(bytes).await;
        }
        self.gathered.extend_from_slice(&bytes);
        Ok(())
    }

    /// Ends the file; when this answers, bytes and name survive a power cut of the store.
    pub async fn close(mut self) -> Result<Closed, LakeError> {
        let _around = Around::lake(Operation::Close, &self.path);
        self.flush().await?;
        if self.failed {
            return Err(self.broken());
        }
        match std::mem::replace(&mut self.target, Target::Broken) {
            Target::Local(file) => blocking(&self.store, &self.path, move || file.close()).await?,
            Target::Hdfs(mut file) => file.finish().await?,
            Target::Memory(file) => file.close()?,
            Target::Broken => return Err(self.broken()),
        }
        Ok(Closed { length: self.length, checksum: self.checksum.hex() })
    }

    /// Gives the file up and removes what there is of it, as far as the store allows; the rest is garbage collection's.
    pub async fn abort(mut self) {
        match std::mem::replace(&mut self.target, Target::Broken) {
            Target::Local(file) => {
                let _ = blocking(&self.store, &self.path, move || {
                    file.abort();
                    Ok(())
                })
                .await;
            }
            Target::Hdfs(mut file) => file.abort().await,
            Target::Memory(_) | Target::Broken => {}
        }
    }

    async fn flush(&mut self) -> Result<(), LakeError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let bytes = self.gathered.split().freeze();
        self.put(bytes).await
    }

    async fn put(&mut self, bytes: Bytes) -> Result<(), LakeError> {
        // True while it runs as well: a caller that gives it up half-way leaves a file with a hole.
        if std::mem::replace(&mut self.failed, true) {
            return Err(self.broken());
        }
        let written = self.hand_on(bytes).await;
        self.failed = written.is_err();
        written
    }

    async fn hand_on(&mut self, bytes: Bytes) -> Result<(), LakeError> {
        match std::mem::replace(&mut self.target, Target::Broken) {
            Target::Local(mut file) => {
                let written = blocking(&self.store, &self.path, move || {
                    let result = file.write(&bytes);
                    Ok((file, result))
                });
                let (file, result) = written.await?;
                self.target = Target::Local(file);
                result
            }
            Target::Hdfs(mut file) => {
                let result = file.write(bytes).await;
                self.target = Target::Hdfs(file);
                result
            }
            Target::Memory(mut file) => {
                let result = file.write(&bytes);
                self.target = Target::Memory(file);
                result
            }
            Target::Broken => Err(self.broken()),
        }
    }

    fn broken(&self) -> LakeError {
        LakeError::other(&self.store, &self.path, "used after a write that failed or was given up")
    }
}
