//! `server`: dskit's keys and Promtail's own.

use serde::Deserialize;

use super::Ignored;
use crate::quantity::GoDuration;

/// The HTTP server, and the gRPC server that nothing uses.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Server {
    pub(crate) http_listen_address: Option<String>,
    pub(crate) http_listen_port: Option<u16>,
    pub(crate) http_path_prefix: Option<String>,
    pub(crate) http_tls_config: HttpTls,
    pub(crate) graceful_shutdown_timeout: Option<GoDuration>,
    pub(crate) log_format: Option<String>,
    pub(crate) log_level: Option<String>,
    pub(crate) disable: Option<bool>,
    pub(crate) profiling_enabled: Option<bool>,
    pub(crate) enable_runtime_reload: Option<bool>,
    pub(crate) external_url: Option<String>,
    pub(crate) health_check_target: Option<bool>,
    pub(crate) register_instrumentation: Option<bool>,
    pub(crate) proxy_protocol_enabled: Option<bool>,
    // What follows says how an HTTP or gRPC server in Go is set up: known, and of no effect here.
    pub(crate) http_listen_network: Ignored,
    pub(crate) http_listen_conn_limit: Ignored,
    pub(crate) grpc_listen_network: Ignored,
    pub(crate) grpc_listen_address: Ignored,
    pub(crate) grpc_listen_port: Ignored,
    pub(crate) grpc_listen_conn_limit: Ignored,
    pub(crate) tls_cipher_suites: Ignored,
    pub(crate) tls_min_version: Ignored,
    pub(crate) grpc_tls_config: Ignored,
    pub(crate) report_grpc_codes_in_instrumentation_label_enabled: Ignored,
    pub(crate) http_server_read_timeout: Ignored,
    pub(crate) http_server_read_header_timeout: Ignored,
    pub(crate) http_server_write_timeout: Ignored,
    pub(crate) http_server_idle_timeout: Ignored,
    pub(crate) http_log_closed_connections_without_response_enabled: Ignored,
    pub(crate) grpc_server_max_recv_msg_size: Ignored,
    pub(crate) grpc_server_max_send_msg_size: Ignored,
    pub(crate) grpc_server_max_concurrent_streams: Ignored,
    pub(crate) grpc_server_max_connection_idle: Ignored,
    pub(crate) grpc_server_max_connection_age: Ignored,
    pub(crate) grpc_server_max_connection_age_grace: Ignored,
    pub(crate) grpc_server_keepalive_time: Ignored,
    pub(crate) grpc_server_keepalive_timeout: Ignored,
    pub(crate) grpc_server_min_time_between_pings: Ignored,
    pub(crate) grpc_server_ping_without_stream_allowed: Ignored,
    pub(crate) grpc_server_num_workers: Ignored,
    pub(crate) grpc_server_stats_tracking_enabled: Ignored,
    pub(crate) grpc_server_recv_buffer_pools_enabled: Ignored,
    pub(crate) grpc_collect_max_streams_by_connection: Ignored,
    pub(crate) log_source_ips_enabled: Ignored,
    pub(crate) log_source_ips_full: Ignored,
    pub(crate) log_source_ips_header: Ignored,
    pub(crate) log_source_ips_regex: Ignored,
    pub(crate) log_request_headers: Ignored,
    pub(crate) log_request_at_info_level_enabled: Ignored,
    pub(crate) log_request_exclude_headers_list: Ignored,
    pub(crate) cluster_validation: Ignored,
}

/// The names of fields, each with whether it is given.
macro_rules! presence {
    ($from:ident: $($key:ident)*) => { [$((stringify!($key), $from.$key.is_some())),*] };
}

impl Server {
    /// Returns the keys that are given and have no effect, but for the port of gRPC, which every
    /// configuration has.
    pub(crate) fn ignored_keys(&self) -> impl Iterator<Item = &'static str> {
        let keys = presence!(self:
            http_listen_network http_listen_conn_limit grpc_listen_network grpc_listen_address
            grpc_listen_conn_limit tls_cipher_suites tls_min_version grpc_tls_config
            report_grpc_codes_in_instrumentation_label_enabled http_server_read_timeout
            http_server_read_header_timeout http_server_write_timeout http_server_idle_timeout
            http_log_closed_connections_without_response_enabled grpc_server_max_recv_msg_size
            grpc_server_max_send_msg_size grpc_server_max_concurrent_streams
            grpc_server_max_connection_idle grpc_server_max_connection_age
            grpc_server_max_connection_age_grace grpc_server_keepalive_time
            grpc_server_keepalive_timeout grpc_server_min_time_between_pings
            grpc_server_ping_without_stream_allowed grpc_server_num_workers
            grpc_server_stats_tracking_enabled grpc_server_recv_buffer_pools_enabled
            grpc_collect_max_streams_by_connection log_source_ips_enabled log_source_ips_full
            log_source_ips_header log_source_ips_regex log_request_headers
            log_request_at_info_level_enabled log_request_exclude_headers_list cluster_validation
        );
        let given = keys.into_iter().filter(|(_, is_given)| *is_given);
        given.map(|(key, _)| key)
    }
}

/// TLS of the HTTP server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpTls {
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<super::client::Secret>,
    pub(crate) cert_file: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) client_auth_type: Option<String>,
    pub(crate) client_ca: Option<String>,
    pub(crate) client_ca_file: Option<String>,
}

impl HttpTls {
    /// Returns whether anything is set that would turn TLS on.
    pub(crate) fn is_on(&self) -> bool {
        let texts = [
            &self.cert,
            &self.cert_file,
            &self.key_file,
            &self.client_auth_type,
            &self.client_ca,
            &self.client_ca_file,
        ];
        let is_set = |text: &&Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        texts.iter().any(is_set) || self.key.is_some()
    }
}
