//! The rules that can be left out. Only the model does that, where it uses production's functions.

use std::fmt;

/// One list makes the variants, all of them in a row, and what each says.
macro_rules! rules {
    ($($name:ident $says:literal,)+) => {
        /// A rule of `docs/PROTOCOL.md`, by its number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $says] $name,)+
        }

        impl Rule {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }

        impl fmt::Display for Rule {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => $says,)+
                })
            }
        }
    };
}

rules! {
    L1Absent "L1: an entry is created only if it is absent",
    L3ReadBack "L3: what became of a create is read back",
    L3SameBytes "L3: an absent entry is sent again as the same bytes",
    L3StepDown "L3: a greater claim there means stepping down",
    L4OneAtATime "L4: v + 1 is sent after v is committed",
    L5Checkpoint "L5: a create counts only if no checkpoint stands above it",
    L5Probe "L5: a start begins at the newest checkpoint, not at what a hint says",
    L5AnyAbove "L5: any checkpoint above counts, not only the next: one may be missing",
    E2Increments "E2: a barrier hands over what was added since the one before, never a total",
    E3AllPartitions "E3: G is the minimum over all partitions of the set",
    E3Barriers "E3: G comes of this epoch's barriers, not of the newest watermarks",
    E3Lateness "E3: the allowed lateness counts where windows are closed",
    T1OwnWatermark "T1: late is judged by the partition's own watermark",
    T2Floor "T2: idle partitions get a floor",
    T2NotIdle "T2: the floor is the minimum of those that are not idle",
    T2AllIdle "T2: all idle: the floor is the maximum",
    T2OneMessage "T2: floor and barrier are one message",
    T2NotAFlag "T2: idle raises the watermark; it doesn't take the partition out of G",
    T3Floor "T3: a new partition begins with G",
    T3AfterCommit "T3: it is read after the commit",
    O1ClaimFirst "O1: the claim is in the log before followers are claimed",
    O1NotBack "O1: a smaller claim doesn't take a follower back",
    O3NewClaim "O3: a generation that begins anew makes a claim of its own",
    F1Skip "F1: files that the log has removed are skipped",
    F1AlreadyThere "F1: a file that is there already counts",
    F2OwnClaim "F2: a transaction with rows moves the fence under its own claim only",
    F2Base "F2: it moves the fence from the offset that it expects",
    F2ClaimFirst "F2: a take-over moves the claim in the transaction that takes rows back",
    F2Delete "F2: a take-over deletes what was shown above the end",
    F2ReignEnd "F2: that end is where the fence's own claim stopped committing",
    F2Fill "F2: a mart that is behind is filled from the log's files",
    F2Min "F2: the fence comes to stand at the smaller of the two",
    F3OwnClaim "F3: live values are written behind the claim",
    F3ClosedTo "F3: live values of closed windows are dropped, and nothing overwrites a final row but another final one",
    F3Ghosts "F3: applying an entry removes the previews of the windows that it closes",
    F3HoldBack "F3: live values wait until what was shown before has been passed",
    F6Followers "F6: entries stay until every follower has passed them",
    H1Rolled "H1: files are rewritten only once they are in place",
    H2OwnStaging "H2: staging of an own epoch stays until it is committed",
    H2Pending "H2: staging stays until it is rolled forward",
    H3NeverTwice "H3: files go before those that replace them are shown",
}
