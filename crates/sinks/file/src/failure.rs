//! Why a batch was not appended, and how the engine hears of it.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use tailwater_sink::DeliverError;

/// Why a batch was not appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// The system refused a step.
    #[error("cannot {step} {}", path.display())]
    System {
        step: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Another process, or the sink as it was before a reload, still writes the file.
    #[error("cannot lock {}: another writer holds it", path.display())]
    Locked { path: PathBuf },
    /// A directory, a FIFO or a socket.
    #[error("cannot append to {}: it is neither a regular file nor a device", path.display())]
    NotAFile { path: PathBuf },
    /// The file is not one that this sink has written.
    #[error(
        "cannot append to {}: no line ends within its last {searched_bytes} bytes",
        path.display()
    )]
    NoLines { path: PathBuf, searched_bytes: u64 },
    /// The thread that appends was lost.
    #[error("cannot append: the writing thread was stopped")]
    Stopped,
}

impl AppendError {
    /// Returns a metric label.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::System { source, .. } => reason_of(source.kind()),
            Self::Locked { .. } => "locked",
            Self::NotAFile { .. } | Self::NoLines { .. } | Self::Stopped => "io",
        }
    }
}

/// Every failure is one to wait out: room is made, a directory comes back, a reader is started.
impl From<AppendError> for DeliverError {
    fn from(error: AppendError) -> Self {
        let detail = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        Self::Retryable {
            reason: error.reason(),
            detail,
            status: None,
            retry_after: None,
        }
    }
}

fn reason_of(kind: ErrorKind) -> &'static str {
    const NO_ROOM: [ErrorKind; 3] = [
        ErrorKind::StorageFull,
        ErrorKind::QuotaExceeded,
        ErrorKind::FileTooLarge,
    ];
    if NO_ROOM.contains(&kind) {
        "disk_full"
    } else if kind == ErrorKind::ReadOnlyFilesystem {
        "read_only"
    } else if kind == ErrorKind::NotFound {
        "not_found"
    } else if kind == ErrorKind::BrokenPipe {
        "closed"
    } else {
        "io"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_of_the_system_has_a_reason() {
        let reason = |errno| reason_of(io::Error::from(errno).kind());
        assert_eq!(reason(rustix::io::Errno::NOSPC), "disk_full");
        assert_eq!(reason(rustix::io::Errno::DQUOT), "disk_full");
        assert_eq!(reason(rustix::io::Errno::FBIG), "disk_full");
        assert_eq!(reason(rustix::io::Errno::ROFS), "read_only");
        assert_eq!(reason(rustix::io::Errno::NOENT), "not_found");
        assert_eq!(reason(rustix::io::Errno::PIPE), "closed");
        assert_eq!(reason(rustix::io::Errno::IO), "io");
    }

    #[test]
    fn the_operator_is_told_the_path_and_the_cause() {
        let error = DeliverError::from(AppendError::System {
            step: "append to",
            path: "/var/log/out".into(),
            source: rustix::io::Errno::NOSPC.into(),
        });
        let shown = error.to_string();
        assert!(shown.contains("disk_full"), "{shown}");
        assert!(
            shown.contains("cannot append to /var/log/out: No space left"),
            "{shown}"
        );
    }
}
