//! The demo's folder: made, recognised, removed only if it is one.

use std::path::{Path, PathBuf};

use crate::exit::Exit;

/// Names of the demo's files.
pub const CONFIG: &str = "lakeward.toml";
const PIPELINE: &str = "pipeline.toml";
const LOG: &str = "lakeward.log";

/// The folder, absolute.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
}

impl Folder {
    /// Makes the folder where it is missing; with `fresh` removes an earlier demo first.
    ///
    /// # Errors
    /// Something else is there, or the folder can't be made.
    pub fn open(dir: &Path, fresh: bool) -> Result<Self, Exit> {
        let failed = |doing: &str, e: std::io::Error| Exit::usage(format!("{}: cannot {doing}: {e}", dir.display()));
        let is_demo = dir.join(CONFIG).is_file() && dir.join(PIPELINE).is_file();
        let is_empty = dir.read_dir().map_or(true, |mut entries| entries.next().is_none());
        if !is_demo && !is_empty {
            let message = format!("{} holds something that is no demo; choose another --dir", dir.display());
            return Err(Exit::usage(message));
        }
        if fresh && is_demo {
            std::fs::remove_dir_all(dir).map_err(|e| failed("remove it", e))?;
        }
        std::fs::create_dir_all(dir).map_err(|e| failed("make it", e))?;
        let path = dir.canonicalize().map_err(|e| failed("find it", e))?;
        Ok(Self { path })
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// The pipeline's file.
    pub fn pipeline(&self) -> PathBuf {
        self.path.join(PIPELINE)
    }

    /// The program's log.
    pub fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Writes one of its files.
    pub fn write(path: &Path, text: &str) -> Result<(), Exit> {
        std::fs::write(path, text).map_err(|e| Exit::usage(format!("{}: cannot write it: {e}", path.display())))
    }
}
