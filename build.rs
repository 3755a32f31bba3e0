//! Embeds every file of `pipelines/`, so that no code names one.

use std::fmt::Write;
use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("pipelines");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files: Vec<PathBuf> = fs::read_dir(&root)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.sort();
    let mut out = String::from("&[\n");
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "toml")) {
        println!("cargo:rerun-if-changed={}", file.display());
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        writeln!(out, "    ({name:?}, include_str!({:?})),", file.display().to_string())?;
    }
    out.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("pipelines.rs"), out)?;
    Ok(())
}
