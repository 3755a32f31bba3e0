//! LayerWriter: one per layer of the lake. Batches what arrives into the open epoch's files and, when every partition
//! has passed its barrier, closes, syncs and reports them.
//!
//! What it writes and how are values (`LayerSpec`); no code here says bronze, silver or gold. Two epochs' files may
//! be open at once. Encoding and syncing run off the arbiter, inside `lakeward_connect::layer`.

use std::collections::BTreeMap;

use actix::prelude::*;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use lakeward_connect::lake::Lake;
use lakeward_connect::layer::{AppendMeta, EpochFiles, LayerError, LayerSpec, LeafError};
use lakeward_core::ids::Epoch;

use crate::attempt::Attempts;
use crate::commit::CommitMsg;
use crate::kit::outbox::Credit;
use crate::kit::{Cause, Envelope, Inlet, Outbox, Sentinel, Weight, Work};

/// What a LayerWriter is told.
#[derive(Debug)]
pub enum LayerMsg {
    /// Finished lines.
    Lines {
        /// Epoch that they belong to.
        epoch: Epoch,
        /// Lines, each with its line feed.
        bytes: Bytes,
        /// Where they come from.
        meta: AppendMeta,
    },
    /// Typed rows.
    Rows {
        /// Epoch that they belong to.
        epoch: Epoch,
        /// The rows.
        rows: RecordBatch,
        /// Where they come from.
        meta: AppendMeta,
    },
    /// One sender has sent everything of the epoch.
    Barrier {
        /// The epoch.
        epoch: Epoch,
        /// How many senders take part.
        expected: u32,
    },
}

impl Weight for LayerMsg {
    fn records(&self) -> u64 {
        match self {
            Self::Lines { meta, .. } | Self::Rows { meta, .. } => meta.rows,
            Self::Barrier { .. } => 0,
        }
    }
}

/// The writer of one layer.
pub struct LayerWriter {
    name: String,
    lake: Lake,
    spec: LayerSpec,
    attempts: Attempts,
    commit: Outbox<CommitMsg>,
    open: BTreeMap<Epoch, OpenEpoch>,
    inlet: Inlet,
    sentinel: Sentinel,
}

struct OpenEpoch {
    files: EpochFiles,
    barriers: u32,
}

impl LayerWriter {
    /// A writer of the layer `name`, whose files have the form `spec`.
    #[must_use]
    pub fn new(
        name: String,
        lake: Lake,
        spec: LayerSpec,
        attempts: Attempts,
        commit: Outbox<CommitMsg>,
        sentinel: Sentinel,
    ) -> Self {
        Self { name, lake, spec, attempts, commit, open: BTreeMap::new(), inlet: Inlet::default(), sentinel }
    }

    fn take(&mut self, epoch: Epoch) -> Result<OpenEpoch, LayerError> {
        if let Some(open) = self.open.remove(&epoch) {
            return Ok(open);
        }
        let tag = self.name.replace('/', "-");
        let files = EpochFiles::new(self.lake.clone(), self.attempts.staging(epoch), tag, &self.spec)?;
        Ok(OpenEpoch { files, barriers: 0 })
    }

    /// Counts a barrier; the epoch's files come out when it was the last.
    fn barrier(&mut self, epoch: Epoch, expected: u32) -> Result<Option<EpochFiles>, LayerError> {
        let mut open = self.take(epoch)?;
        open.barriers += 1;
        if open.barriers >= expected {
            return Ok(Some(open.files));
        }
        self.open.insert(epoch, open);
        Ok(None)
    }

    /// Ends the generation, and this actor at once: an epoch that misses rows must never be closed and reported.
    fn fail(&mut self, error: &LayerError, ctx: &mut Context<Self>) {
        // Beginning again would find the same: a person has to choose another column.
        let cause = match error {
            LayerError::Leaf(LeafError::TooMany { .. }) => {
                Cause::Stop { code: "TOO_MANY_FOLDERS", message: format!("layer {}: {error}", self.name) }
            }
            _ => Cause::Failed(format!("layer {}: {error}", self.name)),
        };
        self.sentinel.fail(cause);
        ctx.stop();
    }
}

impl Actor for LayerWriter {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.sentinel.rest();
    }
}

impl Handler<Envelope<LayerMsg>> for LayerWriter {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, envelope: Envelope<LayerMsg>, ctx: &mut Self::Context) -> Self::Result {
        if let Err(gap) = self.inlet.admit(&envelope) {
            self.sentinel.fail(Cause::Failed(gap.to_string()));
            ctx.stop();
            return nothing();
        }
        match self.act(envelope.message, envelope.credit) {
            Ok(response) => response,
            Err(error) => {
                self.fail(&error, ctx);
                nothing()
            }
        }
    }
}

impl LayerWriter {
    fn act(&mut self, message: LayerMsg, credit: Credit) -> Result<AtomicResponse<Self, ()>, LayerError> {
        Ok(match message {
            LayerMsg::Barrier { epoch, expected } => match self.barrier(epoch, expected)? {
                None => nothing(),
                Some(files) => self.close(epoch, files, credit.work()),
            },
            LayerMsg::Lines { epoch, bytes, meta } => {
                let (mut open, work) = (self.take(epoch)?, credit.work());
                let write = async move {
                    let result = open.files.append_lines(bytes, meta).await;
                    drop((work, credit));
                    (open, result)
                };
                self.put_back(epoch, write)
            }
            LayerMsg::Rows { epoch, rows, meta } => {
                let (mut open, work) = (self.take(epoch)?, credit.work());
                let write = async move {
                    let result = open.files.append_rows(rows, meta).await;
                    drop((work, credit));
                    (open, result)
                };
                self.put_back(epoch, write)
            }
        })
    }

    fn put_back(
        &self,
        epoch: Epoch,
        write: impl Future<Output = (OpenEpoch, Result<(), LayerError>)> + 'static,
    ) -> AtomicResponse<Self, ()> {
        let back =
            move |(open, result): (OpenEpoch, Result<(), LayerError>), actor: &mut Self, ctx: &mut Context<Self>| {
                match result {
                    Ok(()) => drop(actor.open.insert(epoch, open)),
                    Err(error) => actor.fail(&error, ctx),
                }
            };
        AtomicResponse::new(Box::pin(write.into_actor(self).map(back)))
    }

    fn close(&self, epoch: Epoch, files: EpochFiles, work: Work) -> AtomicResponse<Self, ()> {
        let commit = self.commit.clone();
        let layer = self.name.clone();
        let close = async move {
            let files = files.close().await?;
            // A closed edge means that the CommitActor has rung the alarm already.
            let _ = work.handing_on(commit.send(CommitMsg::LayerClosed { epoch, layer, files })).await;
            Ok(())
        };
        let done = |result: Result<(), LayerError>, actor: &mut Self, ctx: &mut Context<Self>| {
            if let Err(error) = result {
                actor.fail(&error, ctx);
            }
        };
        AtomicResponse::new(Box::pin(close.into_actor(self).map(done)))
    }
}

fn nothing() -> AtomicResponse<LayerWriter, ()> {
    AtomicResponse::new(Box::pin(actix::fut::ready(())))
}

#[cfg(test)]
mod tests;
