//! Whether a table can be filled from the lake as from the beginning: what retention has taken is never passed over in
//! silence (H1).

use lakeward_connect::mart::{KpiFence, REPLAYED_FENCE};
use lakeward_core::ids::Version;
use lakeward_core::log::{Fold, Incomplete, kpi_is_whole, rows_are_whole};

use super::{LinkError, MartLink};

impl MartLink {
    /// The same link, which fills tables with what is left where that is accepted.
    #[must_use]
    pub fn accepting_incomplete(mut self, accept: bool) -> Self {
        self.accept_incomplete = accept;
        self
    }

    /// Before the table of rows is filled.
    pub(super) async fn check_rows(&self, fold: &Fold) -> Result<(), LinkError> {
        let held = self.connected().await?;
        let replayed = held.kpis.get(REPLAYED_FENCE).and_then(|fence: &KpiFence| fence.version);
        let next = |incarnation, partition| self.fence(incarnation, partition);
        self.accepted(rows_are_whole(fold, self.pipeline(), next, replayed))
    }

    /// Before entries above `applied` are applied to a KPI's table, or to that of its late rows.
    pub(super) fn check_kpi(
        &self,
        kpi: usize,
        late: bool,
        applied: Option<Version>,
        fold: &Fold,
    ) -> Result<(), LinkError> {
        self.accepted(kpi_is_whole(fold, self.pipeline(), kpi, late, applied))
    }

    fn accepted(&self, whole: Result<(), Incomplete>) -> Result<(), LinkError> {
        match whole {
            Err(incomplete) if self.accept_incomplete => {
                tracing::warn!(
                    table = incomplete.table,
                    rows = incomplete.rows,
                    "the table is filled without what retention took"
                );
                Ok(())
            }
            whole => Ok(whole?),
        }
    }
}
