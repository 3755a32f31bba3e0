//! The lines of a file of JSON lines, read in pieces: memory holds one piece, or the longest line.

use bytes::Bytes;
use lakeward_core::log::LiveFile;

use crate::lake::{Lake, LakeError};

/// Bytes that are asked for at once.
const PIECE: usize = 4 << 20;

/// A file that is being read. It may be renamed into sight meanwhile (F1).
pub struct Lines<'f> {
    lake: Lake,
    file: &'f LiveFile,
    piece: usize,
    at: u64,
    begun: Vec<u8>,
}

impl<'f> Lines<'f> {
    /// Begins with the file's first line.
    #[must_use]
    pub fn of(lake: &Lake, file: &'f LiveFile) -> Self {
        Self { lake: lake.clone(), file, piece: PIECE, at: 0, begun: Vec::new() }
    }

    /// Some whole lines, each with its line feed; `None` behind the last one. `Damaged` where the file is gone or ends
    /// elsewhere than its entry says.
    pub async fn more(&mut self) -> Result<Option<Bytes>, LakeError> {
        let length = self.file.staged.length;
        while self.at < length {
            let left = usize::try_from(length - self.at).unwrap_or(usize::MAX);
            let part = self.part(left.min(self.piece)).await?;
            if part.is_empty() {
                return Err(self.damaged(format!("it ends at byte {}, its entry says {length}", self.at)));
            }
            self.at += part.len() as u64;
            self.begun.extend_from_slice(&part);
            if let Some(end) = self.begun.iter().rposition(|&byte| byte == b'\n') {
                let rest = self.begun.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.begun, rest).into()));
            }
        }
        if self.begun.is_empty() { Ok(None) } else { Err(self.damaged("it does not end with a line feed".to_owned())) }
    }

    /// The next bytes, from the final place or, while the file is not there yet, from staging; it may be renamed
    /// between the two looks.
    async fn part(&self, most: usize) -> Result<Bytes, LakeError> {
        let (last, first) = (&self.file.path, &self.file.staged.staged);
        for path in [last, first, last] {
            if let Some(part) = self.lake.read_part(path, self.at, most).await? {
                return Ok(part);
            }
        }
        Err(self.damaged("it is gone".to_owned()))
    }

    fn damaged(&self, detail: String) -> LakeError {
        LakeError::damaged(self.lake.store(), &self.file.path, detail)
    }
}

#[cfg(test)]
mod tests {
    use lakeward_core::log::StagedFile;

    use super::*;
    use crate::lake::{Cue, Operation};

    fn file(length: u64) -> LiveFile {
        let staged = StagedFile {
            leaf: String::new(),
            staged: "s/f.tmp".to_owned(),
            ext: "json".to_owned(),
            length,
            checksum: String::new(),
            rows: 0,
            event_times: None,
            offsets: Default::default(),
        };
        LiveFile { path: "l/f.json".to_owned(), staged, as_of: None }
    }

    async fn read(lake: &Lake, file: &LiveFile, piece: usize) -> Result<Vec<Bytes>, LakeError> {
        let mut lines = Lines { piece, ..Lines::of(lake, file) };
        let mut found = Vec::new();
        while let Some(some) = lines.more().await? {
            assert_eq!(some.last(), Some(&b'\n'));
            found.push(some);
        }
        Ok(found)
    }

    const TEXT: &str = "one\n\na line that is longer than a piece\nlast\n";

    #[tokio::test]
    async fn all_lines_come_once_and_whole_whatever_the_pieces() {
        let (lake, _) = Lake::memory();
        lake.put("l/f.json", TEXT.into()).await.unwrap();
        for piece in 1..=TEXT.len() + 1 {
            let found = read(&lake, &file(TEXT.len() as u64), piece).await.unwrap();
            assert_eq!(found.concat(), TEXT.as_bytes(), "pieces of {piece}");
            assert!(piece > 4 || found.len() > 2, "pieces of {piece} were gathered");
        }
        assert!(read(&lake, &file(0), 8).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_file_is_read_on_where_it_is_renamed_to() {
        let (lake, memory) = Lake::memory();
        lake.put("s/f.tmp", TEXT.into()).await.unwrap();
        let file = file(TEXT.len() as u64);
        let mut lines = Lines { piece: 6, ..Lines::of(&lake, &file) };
        let mut found = lines.more().await.unwrap().unwrap().to_vec();
        let _ = lake.rename("s/f.tmp", "l/f.json").await;
        while let Some(some) = lines.more().await.unwrap() {
            found.extend_from_slice(&some);
        }
        assert_eq!(found, TEXT.as_bytes());
        memory.fail_next(Operation::Read, "l/f.json", Cue::LostRequest);
        assert!(!matches!(read(&lake, &file, 6).await, Err(LakeError::Damaged(_)) | Ok(_)), "no answer is no damage");
    }

    #[tokio::test]
    async fn a_file_that_is_gone_short_or_torn_is_damage() {
        let (lake, _) = Lake::memory();
        let damaged = |found: Result<Vec<Bytes>, LakeError>| matches!(found, Err(LakeError::Damaged(_)));
        assert!(damaged(read(&lake, &file(3), 8).await));
        lake.put("l/f.json", TEXT.into()).await.unwrap();
        assert!(damaged(read(&lake, &file(TEXT.len() as u64 + 1), 8).await));
        assert!(damaged(read(&lake, &file(TEXT.len() as u64 - 1), 8).await));
    }
}
