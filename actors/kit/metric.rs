//! The names of all metrics, once. Labels are the pipeline, the kind of actor and a numeric index; key values never
//! become labels. `docs/METRICS.md` says of each which question it answers.

/// A metric: `lakeward_<noun>_<unit>[_total]`. What every process has goes by the names that Prometheus' own clients give
/// it, without ours in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Messages waiting in front of an actor.
    ActorQueueDepth,
    /// Largest queue depth seen.
    ActorQueuePeak,
    /// Credits not in use on the edges into an actor.
    ActorCreditsFree,
    /// Credits on the edges into an actor.
    ActorCredits,
    /// Records in the messages waiting in front of an actor.
    ActorLagRecords,
    /// Seconds that the oldest message in front of an actor has waited.
    ActorLagSeconds,
    /// Messages handled by an actor.
    ActorMessagesTotal,
    /// Live actors by kind.
    Actors,
    /// Records between a partition's position and its end in Kafka.
    PartitionLagRecords,
    /// Seconds between now and the partition's newest event time, while it lags.
    PartitionLagSeconds,
    /// The watermark of a partition, seconds since 1970.
    PartitionWatermarkSeconds,
    /// The next offset that a partition reads.
    PartitionPosition,
    /// A partition's end in Kafka: the next offset that a producer gets.
    PartitionEnd,
    /// Records by what became of them: the ledger.
    RowsTotal,
    /// Quarantined records by reason.
    QuarantinedTotal,
    /// Late rows, per KPI.
    LateRowsTotal,
    /// Late rows that revise closed windows, per KPI.
    AmendedRowsTotal,
    /// Open windows of all KPIs.
    OpenWindows,
    /// Bytes of state in memory.
    StateBytes,
    /// Seconds from an epoch's cut to its commit.
    EpochDurationSeconds,
    /// Creates of entries by outcome.
    CommitOutcomesTotal,
    /// The newest committed version.
    LogHead,
    /// Rows or lines committed to a layer.
    LayerRowsTotal,
    /// Bytes committed to a layer.
    LayerBytesTotal,
    /// Files committed to a layer.
    LayerFilesTotal,
    /// Bytes free for us on the lake's file system, where that can be asked.
    LakeFreeBytes,
    /// How many versions a follower is behind the head.
    FollowerLagVersions,
    /// Seconds since the newest data visible in a sink.
    SinkFreshnessSeconds,
    /// Retries by what failed.
    RetriesTotal,
    /// 1 while a follower can't go on.
    FollowerTroubled,
    /// Followers that died and were started again.
    FollowerRestartsTotal,
    /// What nothing needed any more and was removed from the lake.
    RemovedTotal,
    /// Generations started.
    GenerationsTotal,
    /// 1 if this process owns the pipeline.
    Owner,
    /// 1, with the program's version.
    BuildInfo,
    /// When the process started, seconds since 1970.
    ProcessStartTimeSeconds,
    /// Processor time that the process has used.
    ProcessCpuSecondsTotal,
    /// Memory of the process that is in use.
    ProcessResidentMemoryBytes,
}

impl Metric {
    /// All of them, for registering and for the documentation.
    pub const ALL: [Self; 38] = [
        Self::ActorQueueDepth,
        Self::ActorQueuePeak,
        Self::ActorCreditsFree,
        Self::ActorCredits,
        Self::ActorLagRecords,
        Self::ActorLagSeconds,
        Self::ActorMessagesTotal,
        Self::Actors,
        Self::PartitionLagRecords,
        Self::PartitionLagSeconds,
        Self::PartitionWatermarkSeconds,
        Self::PartitionPosition,
        Self::PartitionEnd,
        Self::RowsTotal,
        Self::QuarantinedTotal,
        Self::LateRowsTotal,
        Self::AmendedRowsTotal,
        Self::OpenWindows,
        Self::StateBytes,
        Self::EpochDurationSeconds,
        Self::CommitOutcomesTotal,
        Self::LogHead,
        Self::LayerRowsTotal,
        Self::LayerBytesTotal,
        Self::LayerFilesTotal,
        Self::LakeFreeBytes,
        Self::FollowerLagVersions,
        Self::SinkFreshnessSeconds,
        Self::RetriesTotal,
        Self::FollowerTroubled,
        Self::FollowerRestartsTotal,
        Self::RemovedTotal,
        Self::GenerationsTotal,
        Self::Owner,
        Self::BuildInfo,
        Self::ProcessStartTimeSeconds,
        Self::ProcessCpuSecondsTotal,
        Self::ProcessResidentMemoryBytes,
    ];

    /// The exposed name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.described().0
    }

    /// What it means, for `# HELP`.
    #[must_use]
    pub fn help(self) -> &'static str {
        self.described().1
    }

    /// What Prometheus calls its type.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::EpochDurationSeconds => "histogram",
            _ if self.name().ends_with("_total") => "counter",
            _ => "gauge",
        }
    }

    fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::ActorQueueDepth => ("lakeward_actor_queue_depth", "messages waiting in front of the actor"),
            Self::ActorQueuePeak => ("lakeward_actor_queue_peak", "largest queue depth seen"),
            Self::ActorCreditsFree => ("lakeward_actor_credits_free", "credits not in use on the edges into the actor"),
            Self::ActorCredits => ("lakeward_actor_credits", "credits on the edges into the actor"),
            Self::ActorLagRecords => ("lakeward_actor_lag_records", "records in the messages waiting"),
            Self::ActorLagSeconds => ("lakeward_actor_lag_seconds", "age of the oldest waiting message"),
            Self::ActorMessagesTotal => ("lakeward_actor_messages_total", "messages handled by the actor"),
            Self::Actors => ("lakeward_actors", "live actors by kind"),
            Self::PartitionLagRecords => ("lakeward_partition_lag_records", "records not yet read from Kafka"),
            Self::PartitionLagSeconds => {
                ("lakeward_partition_lag_seconds", "age of the newest event read, while lagging")
            }
            Self::PartitionWatermarkSeconds => {
                ("lakeward_partition_watermark_seconds", "watermark, seconds since 1970")
            }
            Self::PartitionPosition => ("lakeward_partition_position", "next offset to read"),
            Self::PartitionEnd => ("lakeward_partition_end", "end offset in Kafka"),
            Self::RowsTotal => ("lakeward_rows_total", "records by what became of them"),
            Self::QuarantinedTotal => ("lakeward_quarantined_total", "quarantined records by reason"),
            Self::LateRowsTotal => ("lakeward_late_rows_total", "rows too late for their window, per KPI"),
            Self::AmendedRowsTotal => {
                ("lakeward_amended_rows_total", "late rows taken into windows that they revise, per KPI")
            }
            Self::OpenWindows => ("lakeward_open_windows", "open (window, key) pairs of all KPIs"),
            Self::StateBytes => ("lakeward_state_bytes", "estimated bytes of state in memory"),
            Self::EpochDurationSeconds => ("lakeward_epoch_duration_seconds", "seconds from cut to commit"),
            Self::CommitOutcomesTotal => ("lakeward_commit_outcomes_total", "creates of entries by outcome"),
            Self::LogHead => ("lakeward_log_head", "newest committed version"),
            Self::LayerRowsTotal => ("lakeward_layer_rows_total", "rows or lines committed to a layer"),
            Self::LayerBytesTotal => ("lakeward_layer_bytes_total", "bytes of files committed to a layer"),
            Self::LayerFilesTotal => ("lakeward_layer_files_total", "files committed to a layer"),
            Self::LakeFreeBytes => ("lakeward_lake_free_bytes", "bytes free on the lake's disk; local lakes only"),
            Self::FollowerLagVersions => ("lakeward_follower_lag_versions", "versions behind the head"),
            Self::SinkFreshnessSeconds => ("lakeward_sink_freshness_seconds", "age of the newest data in the sink"),
            Self::RetriesTotal => ("lakeward_retries_total", "retries by what failed"),
            Self::FollowerTroubled => ("lakeward_follower_troubled", "1 while the follower can't go on"),
            Self::FollowerRestartsTotal => {
                ("lakeward_follower_restarts_total", "followers that died and were started again")
            }
            Self::RemovedTotal => {
                ("lakeward_removed_total", "things removed from the lake that nothing needed any more")
            }
            Self::GenerationsTotal => ("lakeward_generations_total", "generations started"),
            Self::Owner => ("lakeward_owner", "1 if this process owns the pipeline"),
            Self::BuildInfo => ("lakeward_build_info", "1, with the program's version"),
            Self::ProcessStartTimeSeconds => ("process_start_time_seconds", "start of the process, seconds since 1970"),
            Self::ProcessCpuSecondsTotal => ("process_cpu_seconds_total", "processor time used, whole seconds"),
            Self::ProcessResidentMemoryBytes => ("process_resident_memory_bytes", "resident memory"),
        }
    }
}
