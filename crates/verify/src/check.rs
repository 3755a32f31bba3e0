//! The walk: the head taken once, then entry after entry, then what lies beside them.

use std::collections::HashMap;

use bytes::Bytes;
use lakeward_connect::lake::Lake;
use lakeward_connect::mart::MartSnapshot;
use lakeward_core::ids::Version;
use lakeward_core::log::Entry;
use lakeward_core::pipeline::{Holds, Layer, Pipeline};

use crate::VerifyError;
use crate::chain::Chain;
use crate::counts;
use crate::definition::Known;
use crate::files::{MEANWHILE, Shelf};
use crate::gold::{self, Gold, mart_row};
use crate::history::Live;
use crate::input::Input;
use crate::invariant::Invariant::{self, I3, I4, I6, I7, I8, I10, I11, I12, I13};
use crate::late_rows::{self, LateRows};
use crate::mart::MartCheck;
use crate::mart_rows::KeptRows;
use crate::replay::Replay;
use crate::replayed::Replayed;
use crate::report::Report;
use crate::rules::Rules;
use crate::silver::{Expected, Explain, Silver};

/// What can't be said where the input or the log is not whole.
const RECOMPUTED: [Invariant; 7] = [I3, I4, I6, I10, I11, I12, I13];

/// The walk through the entries.
pub struct Walk<'a> {
    pub pipeline: &'a Pipeline,
    pub shelf: Shelf<'a>,
    pub chain: &'a Chain,
    pub known: &'a HashMap<String, Known>,
    silver: Silver,
    replay: Replay<'a>,
    gold: HashMap<usize, Gold<'a>>,
    late: Vec<LateRows<'a>>,
    kept: KeptRows,
    replayed: Replayed,
    has_rows_table: bool,
    definition: Option<String>,
    /// Why nothing can be worked out any more.
    stopped: Option<String>,
}

impl<'a> Walk<'a> {
    /// Before the first entry. `deep`: every value of the mart's rows will be asked for.
    pub fn new(
        pipeline: &'a Pipeline,
        shelf: Shelf<'a>,
        chain: &'a Chain,
        known: &'a HashMap<String, Known>,
        deep: bool,
    ) -> Self {
        Self {
            pipeline,
            shelf,
            chain,
            known,
            silver: Silver::of(pipeline),
            replay: Replay::new(Rules::new(pipeline)),
            gold: gold::of_pipeline(pipeline),
            late: late_rows::of_pipeline(pipeline),
            kept: KeptRows::new(pipeline, deep),
            replayed: Replayed::by(&chain.entries),
            has_rows_table: pipeline.rows.is_some(),
            definition: None,
            stopped: None,
        }
    }

    /// Goes through all entries.
    pub async fn entries(&mut self, report: &mut Report) -> Result<(), VerifyError> {
        if !self.chain.intact {
            self.stopped = Some("the log itself is not whole".to_owned());
        } else if let Some(base) = &self.chain.base {
            let what = "were removed, so nothing can be worked out from the beginning";
            self.stopped = Some(format!("entries below {} {what}", base.version));
            self.files_of_base(base.version, report).await?;
        } else if self.input_was_removed() {
            self.stopped = Some("entries have taken files out, so the lake does not hold all input".to_owned());
        } else if let Some(gone) = self.input_that_is_gone() {
            let behind = "so nothing that came of those records or of later ones can be worked out";
            self.stopped = Some(format!("{gone}, {behind}; the entries' counters and what is left were looked at"));
        } else if !self.has_input() {
            self.stopped = Some("the pipeline keeps no layers of records and of rejects to work from".to_owned());
        }
        for entry in &self.chain.entries {
            self.entry(entry, report).await?;
        }
        self.kept.settle();
        if self.stopped.is_none() {
            let gone = &self.shelf.history.gone;
            self.gold.values_mut().for_each(|gold| gold.settle(gone, report));
        }
        if let Some(why) = &self.stopped {
            RECOMPUTED.iter().for_each(|invariant| report.undecided(*invariant, why.clone()));
        }
        Ok(())
    }

    /// The files that entries below the base had added are looked at all the same.
    async fn files_of_base(&self, base: Version, report: &mut Report) -> Result<(), VerifyError> {
        let history = self.shelf.history;
        for live in history.live.values().flat_map(|layer| layer.values()).filter(|live| live.version <= base) {
            self.shelf.read(live, report).await?;
        }
        Ok(())
    }

    /// Files of Gold that revisions replace are no input.
    fn input_was_removed(&self) -> bool {
        let removed = &self.shelf.history.removed_from;
        let is_gold = |layer: &Layer| matches!(layer.holds, Holds::FinalWindows { .. });
        self.pipeline.layers.iter().any(|layer| !is_gold(layer) && removed.contains(&layer.name))
    }

    /// What retention has taken of records or rejects.
    fn input_that_is_gone(&self) -> Option<String> {
        let input = self.pipeline.layers.iter().filter(|layer| matches!(layer.holds, Holds::Records | Holds::Rejects));
        let mut gone = input.filter_map(|layer| Some(self.shelf.history.gone.get(&layer.name)?.told(&layer.name)));
        gone.next().map(|first| gone.fold(first, |all, more| format!("{all}; {more}")))
    }

    /// Whether retention has taken some of what an entry added to a layer that holds such things; notes it under `of`.
    fn is_gone(&self, entry: &Entry, holds: &dyn Fn(&Holds) -> bool, of: &[Invariant], report: &mut Report) -> bool {
        let layers = self.pipeline.layers.iter().filter(|layer| holds(&layer.holds));
        let mut found = false;
        for layer in layers {
            let (gone, change) = (self.shelf.history.gone.get(&layer.name), entry.layers.get(&layer.name));
            if let Some((gone, _)) = gone.zip(change).filter(|(gone, change)| gone.touches(change)) {
                let told = gone.told(&layer.name);
                of.iter().for_each(|i| report.undecided(*i, format!("{told}; what is left was compared")));
                found = true;
            }
        }
        found
    }

    /// A file's bytes. `there` becomes false where an entry above the head has taken it out since.
    async fn read(&self, live: &Live, there: &mut bool, report: &mut Report) -> Result<Option<Bytes>, VerifyError> {
        let bytes = self.shelf.read(live, report).await?;
        if bytes.is_none() && self.shelf.went_later(&live.file.path).await? {
            *there = false;
        }
        Ok(bytes)
    }

    fn has_input(&self) -> bool {
        let holds = |wanted: Holds| self.pipeline.layers.iter().any(|layer| layer.holds == wanted);
        holds(Holds::Records) && holds(Holds::Rejects)
    }

    async fn entry(&mut self, entry: &Entry, report: &mut Report) -> Result<(), VerifyError> {
        let mut input = Input::default();
        for live in self.added(entry, &|holds| matches!(holds, Holds::Records | Holds::Rejects)) {
            let mut there = true;
            let Some(bytes) = self.read(live, &mut there, report).await? else {
                if !there {
                    self.stopped.get_or_insert_with(|| MEANWHILE.to_owned());
                    continue;
                }
                report.broken(I4, || format!("entry {}: the records of {} are gone", entry.version, live.file.path));
                self.stopped
                    .get_or_insert_with(|| format!("{} is gone, which the recomputation works from", live.file.path));
                continue;
            };
            match self.is_rejects(live) {
                true => input.add_quarantine(live, &bytes, report),
                false => input.add_bronze(live, bytes, report),
            }
        }
        if self.stopped.is_some() {
            return self.look_only(entry, report).await;
        }
        input.settle(entry, report);
        self.replayed.hold(&input);
        self.take_definition(entry, report);
        let mut expected = Expected::new();
        let mut scratch = Vec::new();
        let without_silver = self.is_gone(entry, &|holds| matches!(holds, Holds::Rows { .. }), &[I3], report);
        self.kept.without_files = without_silver;
        let (silver, kept, has_rows_table) = (&self.silver, &mut self.kept, self.has_rows_table);
        let late = &mut self.late;
        self.replay.take(entry, &input, &self.replayed, report, |row| {
            expected.insert(row.line.identity, silver.expect(&row, &mut scratch));
            if has_rows_table {
                kept.keep(silver, &row, &mut scratch);
            }
            late.iter_mut().for_each(|late| late.take(entry.version, silver, &row, &mut scratch));
        });
        if !without_silver {
            self.compare_silver(entry, &input, expected, report).await?;
        }
        self.compare_late(entry, report).await?;
        self.compare_gold(entry, report).await
    }

    /// Where nothing can be worked out, files are still read.
    async fn look_only(&self, entry: &Entry, report: &mut Report) -> Result<(), VerifyError> {
        for live in self.added(entry, &|holds| !matches!(holds, Holds::Records | Holds::Rejects)) {
            self.shelf.read(live, report).await?;
        }
        counts::compare(self.pipeline, entry, report);
        Ok(())
    }

    fn take_definition(&mut self, entry: &Entry, report: &mut Report) {
        if self.definition.as_ref() != Some(&entry.definition) {
            self.definition = Some(entry.definition.clone());
            let known = self.known.get(&entry.definition).cloned().unwrap_or_default();
            self.replay.decide_by(&known, entry, report);
        }
    }

    async fn compare_silver(
        &mut self,
        entry: &Entry,
        input: &Input,
        mut expected: Expected,
        report: &mut Report,
    ) -> Result<(), VerifyError> {
        if !self.pipeline.layers.iter().any(|layer| matches!(layer.holds, Holds::Rows { .. })) {
            return Ok(());
        }
        let known = self.known.get(&entry.definition);
        let explain = Explain { rules: &self.replay.rules, input };
        for live in self.added(entry, &|holds| matches!(holds, Holds::Rows { .. })) {
            let mut there = true;
            if let Some(bytes) = self.read(live, &mut there, report).await? {
                self.silver.compare(live, bytes, known, &mut expected, &explain, report);
            }
            if !there {
                return Ok(());
            }
        }
        let mut missing: Vec<_> = expected.into_keys().collect();
        missing.sort_unstable();
        for identity in missing {
            report.broken(I3, || format!("entry {}: Silver lacks {}", entry.version, crate::input::shown(identity)));
        }
        Ok(())
    }

    async fn compare_late(&mut self, entry: &Entry, report: &mut Report) -> Result<(), VerifyError> {
        let known = self.known.get(&entry.definition);
        let later = |name: &str| {
            let field = self.pipeline.fields.iter().any(|field| field.name == name);
            field && known.is_some_and(|known| !known.fields.contains_key(name))
        };
        for number in 0..self.late.len() {
            let mut files = Vec::new();
            let kpi = self.late.get(number).map(|late| late.number);
            let wanted = |holds: &Holds| kpi.is_some_and(|kpi| *holds == Holds::LateRows { kpi });
            let mut whole = !self.is_gone(entry, &wanted, &[I12], report);
            for live in self.added(entry, &wanted) {
                if let Some(bytes) = self.read(live, &mut whole, report).await? {
                    files.push((live, bytes));
                }
            }
            let (mut unheard, silver) = (Report::default(), &self.silver);
            if let Some(late) = self.late.get_mut(number) {
                late.compare(entry, silver, files, &later, if whole { report } else { &mut unheard });
            }
        }
        Ok(())
    }

    async fn compare_gold(&mut self, entry: &Entry, report: &mut Report) -> Result<(), VerifyError> {
        for (i, kpi) in self.pipeline.kpis.iter().enumerate() {
            let closed = self.replay.windows.get_mut(i).map(|windows| windows.close(kpi, self.replay.g));
            let (mut files, mut unheard) = (Vec::new(), Report::default());
            let wanted = |holds: &Holds| *holds == Holds::FinalWindows { kpi: i };
            let (mut whole, mut there) = (!self.is_gone(entry, &wanted, &[I6, I11], report), true);
            for live in self.added(entry, &wanted) {
                if let Some(bytes) = self.read(live, &mut there, report).await? {
                    files.push((live, bytes));
                }
            }
            whole &= there;
            if let Some(gold) = self.gold.get_mut(&i) {
                if !there {
                    gold.miss();
                }
                gold.compare(entry, &closed.unwrap_or_default(), files, if whole { report } else { &mut unheard });
            }
        }
        Ok(())
    }

    /// Files that an entry added to layers that hold such things.
    fn added(&self, entry: &Entry, holds: &dyn Fn(&Holds) -> bool) -> Vec<&'a Live> {
        let layers = self.pipeline.layers.iter().filter(|layer| holds(&layer.holds));
        let history = self.shelf.history;
        let mut found = Vec::new();
        for layer in layers {
            let added = entry.layers.get(&layer.name).map_or(&[][..], |change| &change.added);
            let live = history.live.get(&layer.name);
            found.extend(added.iter().filter_map(|file| live?.get(&file.path)));
        }
        found
    }

    fn is_rejects(&self, live: &Live) -> bool {
        let rejects = self.pipeline.layers.iter().find(|layer| layer.holds == Holds::Rejects);
        rejects
            .and_then(|layer| self.shelf.history.live.get(&layer.name))
            .is_some_and(|l| l.contains_key(&live.file.path))
    }

    /// The mart's tables.
    pub async fn mart(&self, snapshot: &MartSnapshot, head: Version, report: &mut Report) -> Result<(), VerifyError> {
        if snapshot.fences().holder.is_none() {
            for invariant in [I6, I7, I8, I11] {
                report.undecided(invariant, "no owner has claimed the mart yet, so it holds nothing of the pipeline");
            }
            return Ok(());
        }
        let history = self.shelf.history;
        let check = MartCheck { snapshot, pipeline: self.pipeline, history, head, quiet: self.shelf.quiet };
        check.fences(report);
        if self.stopped.is_some() {
            report.undecided(I8, "the mart's tables could not be compared: what they must hold can't be worked out");
            return Ok(());
        }
        check.rows(&self.kept, report).await?;
        for late in &self.late {
            check.late(late, report).await?;
        }
        let row_columns = self.pipeline.row_columns();
        for (i, kpi) in self.pipeline.kpis.iter().enumerate() {
            let open = self.replay.windows.get(i).map(|windows| windows.still_open(kpi)).unwrap_or_default();
            let open: Vec<_> = open.iter().map(|row| mart_row(kpi, row.scope(kpi, &row_columns), false)).collect();
            let finals = self.gold.get(&i).map_or(&[][..], |gold| &gold.finals);
            check.kpi(kpi, finals, &open, report).await?;
        }
        Ok(())
    }

    /// What lies beside the entries: files that no entry names, and state.
    pub async fn beside(&self, deep: bool, report: &mut Report) -> Result<(), VerifyError> {
        self.shelf.strangers(self.pipeline, self.chain, report).await?;
        self.shelf.state(self.chain, deep, report).await?;
        Ok(())
    }
}

/// Whether the lease says that nobody works on the pipeline, asked before the head is taken.
pub async fn lease_given_up(lake: &Lake, chain: &lakeward_core::log::LogPaths) -> Result<Option<Version>, VerifyError> {
    let bytes = lake.read(&chain.lease()).await?;
    let lease = bytes.and_then(|bytes| serde_json::from_slice::<lakeward_core::log::Lease>(&bytes).ok());
    Ok(lease.filter(|lease| lease.given_up).map(|lease| lease.claim))
}
