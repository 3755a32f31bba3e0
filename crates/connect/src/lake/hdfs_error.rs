//! What an HDFS error means: who acts, and whether the request can still take effect.

use hdfs_native::HdfsError;

use super::{LakeError, outcome::Fault};

/// Sorts an answer of HDFS by who acts.
pub(super) fn sort(store: &str, path: &str, doing: &str, error: HdfsError) -> LakeError {
    let said = error.to_string();
    // The NameNode sends its stack along; what it means stands before it.
    let said = said.split("\n\tat ").next().unwrap_or(&said).trim_end();
    let fault = Fault::new(store, path, format!("{doing}: {said}"));
    match error {
        HdfsError::IOError(_)
        | HdfsError::DataTransferError(_)
        | HdfsError::BlocksNotFound(_)
        | HdfsError::OperationFailed(_)
        | HdfsError::InvalidRPCResponse(_) => LakeError::Unreachable(fault),
        HdfsError::FileNotFound(_) => LakeError::NotFound(fault),
        HdfsError::ChecksumError => LakeError::Damaged(fault),
        HdfsError::SASLError(_) | HdfsError::GSSAPIError(..) | HdfsError::NoSASLMechanism => LakeError::Refused(fault),
        HdfsError::RPCError(class, message) | HdfsError::FatalRPCError(class, message) => {
            sort_answer(&class, &message, fault)
        }
        _ => LakeError::Other(fault),
    }
}

/// Whether the NameNode answered, so that the request is over and had no effect.
pub(super) fn is_answer(error: &HdfsError) -> bool {
    matches!(
        error,
        HdfsError::RPCError(..)
            | HdfsError::AlreadyExists(_)
            | HdfsError::FileNotFound(_)
            | HdfsError::InvalidArgument(_)
            | HdfsError::InvalidPath(_)
            | HdfsError::IsADirectoryError(_)
    )
}

/// Whether the NameNode says that a file or folder is missing.
pub(super) fn is_missing(error: &HdfsError) -> bool {
    match error {
        HdfsError::FileNotFound(_) => true,
        HdfsError::RPCError(class, _) => class == "java.io.FileNotFoundException",
        _ => false,
    }
}

fn sort_answer(class: &str, message: &str, fault: Fault) -> LakeError {
    let name = class.rsplit(['.', '$']).next().unwrap_or(class);
    match name {
        "AccessControlException" | "AuthorizationException" | "SaslException" | "InvalidToken" => {
            LakeError::Refused(fault)
        }
        "QuotaExceededException"
        | "DSQuotaExceededException"
        | "NSQuotaExceededException"
        | "QuotaByStorageTypeExceededException" => LakeError::Full(fault),
        "FileNotFoundException" => LakeError::NotFound(fault),
        "SafeModeException"
        | "StandbyException"
        | "RetriableException"
        | "ObserverRetryOnActiveException"
        | "ServerTooBusyException"
        | "NotReplicatedYetException" => LakeError::Unreachable(fault),
        // No class of its own: too few DataNodes are alive, or they have no room.
        "IOException" if message.contains("could only be written to") => LakeError::Unreachable(fault),
        _ => LakeError::Other(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_name_node_are_sorted_by_who_acts() {
        let kind = |class: &str, message: &str| {
            let error = HdfsError::RPCError(class.into(), format!("{message}\n\tat org.Some.java(1)\n\tat x"));
            assert!(!sort("hdfs://n", "a", "write", error).to_string().contains("java(1)"));
            let error = HdfsError::RPCError(class.into(), message.into());
            format!("{:?}", sort("hdfs://n", "a", "write", error)).split('(').next().map(str::to_owned)
        };
        for (class, message, expected) in [
            ("org.apache.hadoop.security.AccessControlException", "", "Refused"),
            ("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", "", "Full"),
            ("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "", "Unreachable"),
            ("org.apache.hadoop.ipc.StandbyException", "", "Unreachable"),
            ("java.io.IOException", "File /x could only be written to 0 of the 1 minReplication nodes", "Unreachable"),
            ("java.io.IOException", "whatever", "Other"),
            ("java.io.FileNotFoundException", "", "NotFound"),
        ] {
            assert_eq!(kind(class, message).as_deref(), Some(expected), "{class}");
        }
    }
}
