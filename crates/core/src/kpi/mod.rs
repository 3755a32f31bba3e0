//! Windowed KPIs: from rows to increments (`pre_aggregate`), from increments to live and final values (`windows`), from
//! values to the columns of Gold and the mart (`render`), and what is stored of them (`state`).
//!
//! A KPI's value is the merge of its slices, one per source partition. Nothing here depends on the order in which
//! partitions are heard (E2, E3, I6).

mod acc;
mod bounds;
mod codec;
mod column;
mod distinct;
mod float_sum;
mod from_gold;
mod increment;
mod key;
mod packed;
mod pre_aggregate;
mod render;
mod revise;
pub mod state;
mod value;
mod windows;

pub use acc::{Acc, AccSpec, Accs, Answer, ExactSum, MergeError};
pub use bounds::{window_end, window_start};
pub use codec::CodecError;
pub use column::TypedColumn;
pub use distinct::Distinct;
pub use float_sum::FloatSum;
pub use from_gold::{last_closed_window, mart_batch_from_gold, mart_window_values};
pub use increment::Increment;
pub use key::{MAX_KEY_BYTES, RowKeys, is_key_text, key_group, key_texts};
pub use pre_aggregate::{InputFailure, PreAggregate, Prepared};
pub use render::{KpiBatch, RenderError, gold_batch, mart_batch, render};
pub use revise::Revisions;
pub use value::{AccValue, Value};
pub use windows::{Closed, WindowRow, Windows, WindowsError};
