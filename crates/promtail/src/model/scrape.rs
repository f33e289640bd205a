//! `scrape_configs`.

use serde::Deserialize;
use serde::de::IgnoredAny;
use tailwater_stages::StageConfig;

use super::{Ignored, Pairs};
use crate::quantity::GoDuration;

/// A list of which only the presence of elements counts.
type IgnoredList = Vec<IgnoredAny>;

/// One job: targets of one kind, and what becomes of their lines.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ScrapeConfig {
    pub(crate) job_name: Option<String>,
    pub(crate) pipeline_stages: Vec<StageConfig>,
    pub(crate) relabel_configs: Vec<RelabelConfig>,
    pub(crate) encoding: Option<String>,
    pub(crate) decompression: Option<Decompression>,
    pub(crate) static_configs: Vec<StaticConfig>,
    pub(crate) file_sd_configs: Vec<FileSd>,
    pub(crate) kubernetes_sd_configs: IgnoredList,
    pub(crate) dns_sd_configs: IgnoredList,
    pub(crate) consul_sd_configs: IgnoredList,
    pub(crate) consulagent_sd_configs: IgnoredList,
    pub(crate) digitalocean_sd_configs: IgnoredList,
    pub(crate) docker_sd_configs: IgnoredList,
    pub(crate) dockerswarm_sd_configs: IgnoredList,
    pub(crate) serverset_sd_configs: IgnoredList,
    pub(crate) nerve_sd_configs: IgnoredList,
    pub(crate) marathon_sd_configs: IgnoredList,
    pub(crate) gce_sd_configs: IgnoredList,
    pub(crate) ec2_sd_configs: IgnoredList,
    pub(crate) openstack_sd_configs: IgnoredList,
    pub(crate) azure_sd_configs: IgnoredList,
    pub(crate) triton_sd_configs: IgnoredList,
    pub(crate) journal: Ignored,
    pub(crate) syslog: Ignored,
    pub(crate) gcplog: Ignored,
    pub(crate) loki_push_api: Ignored,
    pub(crate) windows_events: Ignored,
    pub(crate) kafka: Ignored,
    pub(crate) azure_event_hubs: Ignored,
    pub(crate) gelf: Ignored,
    pub(crate) cloudflare: Ignored,
    pub(crate) heroku_drain: Ignored,
}

impl ScrapeConfig {
    /// Returns the service discoveries that are asked for and not in this version.
    pub(crate) fn foreign_discoveries(&self) -> Vec<&'static str> {
        let lists = [
            ("kubernetes_sd_configs", &self.kubernetes_sd_configs),
            ("dns_sd_configs", &self.dns_sd_configs),
            ("consul_sd_configs", &self.consul_sd_configs),
            ("consulagent_sd_configs", &self.consulagent_sd_configs),
            ("digitalocean_sd_configs", &self.digitalocean_sd_configs),
            ("docker_sd_configs", &self.docker_sd_configs),
            ("dockerswarm_sd_configs", &self.dockerswarm_sd_configs),
            ("serverset_sd_configs", &self.serverset_sd_configs),
            ("nerve_sd_configs", &self.nerve_sd_configs),
            ("marathon_sd_configs", &self.marathon_sd_configs),
            ("gce_sd_configs", &self.gce_sd_configs),
            ("ec2_sd_configs", &self.ec2_sd_configs),
            ("openstack_sd_configs", &self.openstack_sd_configs),
            ("azure_sd_configs", &self.azure_sd_configs),
            ("triton_sd_configs", &self.triton_sd_configs),
        ];
        let given = lists.into_iter().filter(|(_, list)| !list.is_empty());
        given.map(|(name, _)| name).collect()
    }

    /// Returns the targets that are asked for and are no files.
    pub(crate) fn foreign_targets(&self) -> Vec<&'static str> {
        let blocks = [
            ("journal", &self.journal),
            ("syslog", &self.syslog),
            ("gcplog", &self.gcplog),
            ("loki_push_api", &self.loki_push_api),
            ("windows_events", &self.windows_events),
            ("kafka", &self.kafka),
            ("azure_event_hubs", &self.azure_event_hubs),
            ("gelf", &self.gelf),
            ("cloudflare", &self.cloudflare),
            ("heroku_drain", &self.heroku_drain),
        ];
        let given = blocks.into_iter().filter(|(_, block)| block.is_some());
        given.map(|(name, _)| name).collect()
    }

    /// Returns whether the job has files as targets.
    pub(crate) fn has_files(&self) -> bool {
        !self.static_configs.is_empty() || !self.file_sd_configs.is_empty()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StaticConfig {
    pub(crate) targets: Vec<String>,
    pub(crate) labels: Pairs,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FileSd {
    pub(crate) files: Vec<String>,
    pub(crate) refresh_interval: Option<GoDuration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RelabelConfig {
    pub(crate) source_labels: Vec<String>,
    pub(crate) separator: Option<String>,
    pub(crate) regex: Option<String>,
    pub(crate) modulus: Option<u64>,
    pub(crate) target_label: Option<String>,
    pub(crate) replacement: Option<String>,
    pub(crate) action: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Decompression {
    pub(crate) enabled: Option<bool>,
    pub(crate) initial_delay: Option<GoDuration>,
    pub(crate) format: Option<String>,
}
