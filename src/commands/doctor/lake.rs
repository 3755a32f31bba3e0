//! The lake: reached, ours to write, and never overwriting.

use bytes::Bytes;
use lakeward_actors::kit::Clock;
use lakeward_connect::lake::{Create, Lake, LakeError};
use lakeward_core::pipeline::Pipeline;

use super::{Finding, clock};
use crate::config::Config;

/// Less room than this is told, bytes.
const LITTLE: u64 = 5 << 30;

/// Looks at it, and hands it on where it answers.
pub async fn look(config: &Config, pipeline: &Pipeline) -> (Vec<Finding>, Option<Lake>) {
    const REACH: &str = "mend lake.url and lake.hadoop_conf, or start the store";
    let url = match config.lake_url() {
        Ok(url) => url.clone(),
        Err(error) => return (vec![Finding::bad("lake", error.to_string(), "set lake.url")], None),
    };
    let lake = match Lake::open(url.expose(), config.lake.hadoop_conf.as_deref()).await {
        Ok(lake) => lake,
        Err(error) => return (vec![Finding::bad("lake", error.to_string(), REACH)], None),
    };
    let mut findings = vec![match lake.self_test().await {
        Ok(()) => Finding::ok("lake", format!("{} can be written, and overwrites nothing", lake.store())),
        Err(error) if error.is_transient() => Finding::bad("lake", error.to_string(), REACH),
        Err(error) => {
            Finding::bad("lake", error.to_string(), "let this user write there; a store that overwrites can't be exact")
        }
    }];
    findings.extend(its_clock(&lake).await.unwrap_or_default());
    for layer in &pipeline.layers {
        if let Ok(false) = lake.same_file_system("_lakeward", &layer.path).await {
            let found = format!("{} of layer {} is on another file system than _lakeward", layer.path, layer.name);
            findings.push(Finding::bad("folders", found, "keep both on one, so that a file comes into sight at once"));
        }
    }
    if let Ok(Some(free)) = lake.free_bytes().await {
        let found = format!("{} GiB are free", free >> 30);
        findings.push(if free < LITTLE {
            Finding::note("room", found, "make room before it is full")
        } else {
            Finding::ok("room", found)
        });
    }
    (findings, Some(lake))
}

/// The store's clock, by a file's time of change.
async fn its_clock(lake: &Lake) -> Result<Vec<Finding>, LakeError> {
    let path = format!("_lakeward/.probe-clock-{:016x}", rand::random::<u64>());
    let before = Clock::system().wall_micros();
    if !matches!(lake.create_new(&path, Bytes::from_static(b"x")).await, Create::Created) {
        return Ok(Vec::new());
    }
    let stat = lake.stat(&path).await;
    let after = Clock::system().wall_micros();
    lake.delete(&path).await?;
    Ok(stat?.map(|stat| clock("lake's clock", stat.modified_us, before - 1_000, after)).into_iter().collect())
}
