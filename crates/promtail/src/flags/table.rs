//! All flags of Promtail, by the kind of their value.

/// What kind of value a flag has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Text,
    Duration,
    Size,
    Port,
    Count,
    Number,
    /// `k=v,k=v`.
    Pairs,
}

impl Kind {
    /// Returns how a value of this kind is written.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Bool => "true",
            Self::Text => "TEXT",
            Self::Duration => "10s",
            Self::Size => "256kb",
            Self::Port => "9080",
            Self::Count | Self::Number => "100",
            Self::Pairs => "host=web-1,env=prod",
        }
    }
}

/// Every flag, without its dashes.
pub(super) const KINDS: &[(Kind, &[&str])] = &[
    (
        Kind::Bool,
        &[
            "check-syntax",
            "client.drop-rate-limited-batches",
            "config.expand-env",
            "dry-run",
            "h",
            "help",
            "inspect",
            "limit.readline-rate-drop",
            "limit.readline-rate-enabled",
            "log-config-reverse-order",
            "max-line-size-truncate",
            "positions.ignore-invalid-yaml",
            "print-config-stderr",
            "server.disable",
            "server.enable-runtime-reload",
            "server.grpc.keepalive.ping-without-stream-allowed",
            "server.grpc.recv-buffer-pools-enabled",
            "server.grpc.stats-tracking-enabled",
            "server.health-check-target",
            "server.http-log-closed-connections-without-response-enabled",
            "server.log-request-at-info-level-enabled",
            "server.log-request-headers",
            "server.log-source-ips-enabled",
            "server.log-source-ips-full",
            "server.profiling_enabled",
            "server.proxy-protocol-enabled",
            "server.register-instrumentation",
            "server.report-grpc-codes-in-instrumentation-label-enabled",
            "stdin",
            "tracing.enabled",
            "version",
            "wal.enabled",
        ],
    ),
    (
        Kind::Text,
        &[
            "client.tenant-id",
            "client.url",
            "config.file",
            "log.format",
            "log.level",
            "positions.file",
            "server.external-url",
            "server.grpc-listen-address",
            "server.grpc-listen-network",
            "server.grpc-tls-ca-path",
            "server.grpc-tls-cert-path",
            "server.grpc-tls-client-auth",
            "server.grpc-tls-key-path",
            "server.http-listen-address",
            "server.http-listen-network",
            "server.http-tls-ca-path",
            "server.http-tls-cert-path",
            "server.http-tls-client-auth",
            "server.http-tls-key-path",
            "server.log-request-headers-exclude-list",
            "server.log-source-ips-header",
            "server.log-source-ips-regex",
            "server.path-prefix",
            "server.tls-cipher-suites",
            "server.tls-min-version",
            "wal.dir",
        ],
    ),
    (
        Kind::Duration,
        &[
            "client.batch-wait",
            "client.max-backoff",
            "client.min-backoff",
            "client.timeout",
            "file-watch.max_poll_frequency",
            "file-watch.min_poll_frequency",
            "positions.sync-period",
            "server.graceful-shutdown-timeout",
            "server.grpc.keepalive.max-connection-age",
            "server.grpc.keepalive.max-connection-age-grace",
            "server.grpc.keepalive.max-connection-idle",
            "server.grpc.keepalive.min-time-between-pings",
            "server.grpc.keepalive.time",
            "server.grpc.keepalive.timeout",
            "server.http-idle-timeout",
            "server.http-read-header-timeout",
            "server.http-read-timeout",
            "server.http-write-timeout",
            "target.sync-period",
            "wal.cleanup-segments-older-than",
        ],
    ),
    (Kind::Size, &["max-line-size"]),
    (
        Kind::Port,
        &["server.grpc-listen-port", "server.http-listen-port"],
    ),
    (
        Kind::Count,
        &[
            "client.batch-size-bytes",
            "client.max-retries",
            "limit.readline-burst",
            "max-streams",
            "server.grpc-conn-limit",
            "server.grpc-max-concurrent-streams",
            "server.grpc-max-recv-msg-size-bytes",
            "server.grpc-max-send-msg-size-bytes",
            "server.grpc.num-workers",
            "server.http-conn-limit",
        ],
    ),
    (Kind::Number, &["limit.readline-rate"]),
    (Kind::Pairs, &["client.external-labels"]),
];

/// Finds a flag by its name without dashes.
pub(super) fn find(name: &str) -> Option<(&'static str, Kind)> {
    KINDS.iter().find_map(|(kind, names)| {
        let found = names.iter().find(|known| **known == name)?;
        Some((*found, *kind))
    })
}
