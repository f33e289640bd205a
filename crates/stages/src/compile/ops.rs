//! One stage without others in it: from its settings to an operation.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Compiler, Counted};
use crate::config::{
    DropConfig, EventLogMessageConfig, GeoIpConfig, JsonConfig, LevelConfig, LimitConfig,
    LogfmtConfig, MetricConfig, MultilineConfig, OutputConfig, PackConfig, RegexConfig,
    ReplaceConfig, SamplingConfig, Sources, TemplateConfig, TenantConfig, TimestampConfig,
    TruncateConfig,
};
use crate::error::{CompileError, Fault};
use crate::interner::is_label_name;
use crate::program::Op;
use crate::stage;
use crate::stage::labels::Rule;

/// Adds the place of a stage to a fault of one of its keys.
fn at<K: std::fmt::Display>(place: &str) -> impl Fn((K, Fault)) -> CompileError {
    move |(key, fault)| fault.at(format!("{place}.{key}"))
}

impl Compiler {
    pub(super) fn regex(&mut self, config: &RegexConfig, place: &str) -> Result<Op, CompileError> {
        check_source(config.source.as_ref(), place)?;
        let compiled = stage::regex::Regex::new(config, &mut self.names);
        let compiled = compiled.map_err(|fault| fault.at(format!("{place}.expression")))?;
        Ok(Op::Regex(compiled))
    }

    pub(super) fn json(&mut self, config: &JsonConfig, place: &str) -> Result<Op, CompileError> {
        check_source(config.source.as_ref(), place)?;
        check_not_empty(config.expressions.is_empty(), place, "expressions")?;
        let when_malformed = config
            .drop_malformed
            .then(|| self.reason(None, "json_malformed", Counted::No));
        let compiled = stage::json::Json::new(config, &mut self.names, when_malformed);
        let compiled =
            compiled.map_err(|(name, fault)| fault.at(format!("{place}.expressions.{name}")))?;
        Ok(Op::Json(Box::new(compiled)))
    }

    pub(super) fn timestamp(
        &mut self,
        config: &TimestampConfig,
        place: &str,
    ) -> Result<Op, CompileError> {
        check_source(Some(&config.source), place)?;
        check_not_empty(config.format.is_empty(), place, "format")?;
        let compiled = stage::timestamp::Timestamp::new(config, &mut self.names);
        Ok(Op::Timestamp(Box::new(compiled.map_err(at(place))?)))
    }

    pub(super) fn metrics(
        &mut self,
        metrics: &BTreeMap<String, MetricConfig>,
        place: &str,
    ) -> Result<Op, CompileError> {
        check_not_empty(metrics.is_empty(), place, "a metric")?;
        let mut compiled = stage::metrics::Metrics::new();
        for (name, config) in metrics {
            compiled
                .add(
                    name,
                    config,
                    &mut self.names,
                    &mut self.registry,
                    self.limits,
                )
                .map_err(at(&format!("{place}.{name}")))?;
        }
        Ok(Op::Metrics(compiled))
    }

    pub(super) fn logfmt(
        &mut self,
        config: &LogfmtConfig,
        place: &str,
    ) -> Result<Op, CompileError> {
        check_source(config.source.as_ref(), place)?;
        check_not_empty(config.mapping.is_empty(), place, "mapping")?;
        Ok(Op::Logfmt(stage::logfmt::Logfmt::new(
            config,
            &mut self.names,
        )))
    }

    pub(super) fn replace(
        &mut self,
        config: &ReplaceConfig,
        place: &str,
    ) -> Result<Op, CompileError> {
        check_source(config.source.as_ref(), place)?;
        let compiled = stage::replace::Replace::new(config, &mut self.names);
        Ok(Op::Replace(Box::new(compiled.map_err(at(place))?)))
    }

    pub(super) fn template(
        &mut self,
        config: &TemplateConfig,
        place: &str,
    ) -> Result<Op, CompileError> {
        check_source(Some(&config.source), place)?;
        let compiled = stage::template::Template::new(config, &mut self.names);
        let compiled = compiled.map_err(|fault| fault.at(format!("{place}.template")))?;
        Ok(Op::Template(compiled))
    }

    pub(super) fn output(
        &mut self,
        config: &OutputConfig,
        place: &str,
    ) -> Result<Op, CompileError> {
        check_source(Some(&config.source), place)?;
        Ok(Op::Output(self.names.slot(&config.source)))
    }

    pub(super) fn labels(&mut self, labels: &Sources, place: &str) -> Result<Op, CompileError> {
        check_label_names(labels, place)?;
        Ok(Op::Labels(stage::labels::Labels::new(
            labels,
            &mut self.names,
        )))
    }

    pub(super) fn structured_metadata(
        &mut self,
        pairs: &Sources,
        place: &str,
    ) -> Result<Op, CompileError> {
        check_label_names(pairs, place)?;
        let compiled = stage::labels::StructuredMetadata::new(pairs, &mut self.names);
        Ok(Op::StructuredMetadata(compiled))
    }

    pub(super) fn tenant(
        &mut self,
        config: &TenantConfig,
        place: &str,
    ) -> Result<Op, CompileError> {
        let tenant = stage::tenant::Tenant::new(config, &mut self.names);
        Ok(Op::Tenant(tenant.map_err(|fault| fault.at(place))?))
    }

    pub(super) fn multiline(
        &mut self,
        config: &MultilineConfig,
        place: &str,
    ) -> Result<Op, CompileError> {
        let compiled = stage::multiline::Multiline::new(config, self.limits);
        Ok(Op::Multiline(Box::new(compiled.map_err(at(place))?)))
    }

    pub(super) fn pack(&mut self, config: Option<&PackConfig>) -> Op {
        let config = config.cloned().unwrap_or_default();
        Op::Pack(stage::pack::Pack::new(&config, &mut self.names))
    }

    pub(super) fn limit(&mut self, config: &LimitConfig, place: &str) -> Result<Op, CompileError> {
        let reason = self.reason(None, "ratelimit_drop_stage", Counted::Yes);
        let compiled = stage::limit::Limit::new(config, reason, Arc::default());
        Ok(Op::Limit(compiled.map_err(at(place))?))
    }

    pub(super) fn sampling(
        &mut self,
        config: &SamplingConfig,
        place: &str,
    ) -> Result<Op, CompileError> {
        let reason = config.drop_counter_reason.as_deref();
        let reason = self.reason(reason, "sampling_stage", Counted::Yes);
        let compiled = stage::sampling::Sampling::new(config, reason);
        let compiled = compiled.map_err(at(place))?;
        Ok(Op::Sampling(compiled))
    }

    pub(super) fn level(
        &mut self,
        config: Option<&LevelConfig>,
        place: &str,
    ) -> Result<Op, CompileError> {
        let config = config.cloned().unwrap_or_default();
        check_source(config.source.as_ref(), place)?;
        let compiled = stage::level::Level::new(&config, &mut self.names);
        Ok(Op::Level(compiled.map_err(at(place))?))
    }

    pub(super) fn geoip(&mut self, config: &GeoIpConfig, place: &str) -> Result<Op, CompileError> {
        let compiled = stage::geoip::GeoIp::new(config, &mut self.names);
        Ok(Op::GeoIp(compiled.map_err(at(place))?))
    }

    pub(super) fn drop(&mut self, config: &DropConfig, place: &str) -> Result<Op, CompileError> {
        let is_empty = config.source.is_none()
            && config.expression.is_none()
            && config.older_than.is_none()
            && config.longer_than.is_none()
            && config.value.is_none();
        let known = "one of `source`, `expression`, `older_than`, `longer_than`";
        check_not_empty(is_empty, place, known)?;
        let reason = config.drop_counter_reason.as_deref();
        let reason = self.reason(reason, "drop_stage", Counted::Yes);
        let compiled = stage::drop::Drop::new(config, &mut self.names, reason);
        Ok(Op::Drop(Box::new(compiled.map_err(at(place))?)))
    }

    pub(super) fn eventlogmessage(
        &mut self,
        config: Option<&EventLogMessageConfig>,
        place: &str,
    ) -> Result<Op, CompileError> {
        let config = config.cloned().unwrap_or_default();
        if let Some(source) = &config.source {
            check_label_name(source, &format!("{place}.source"))?;
        }
        let when_nil = self.reason(None, "eventlogmessage_stage", Counted::No);
        let names = &mut self.names;
        let compiled = stage::eventlogmessage::EventLogMessage::new(&config, names, when_nil);
        Ok(Op::EventLogMessage(compiled))
    }
}

pub(super) fn truncate(config: &TruncateConfig, place: &str) -> Result<Op, CompileError> {
    let compiled = stage::truncate::Truncate::new(config);
    let compiled = compiled.map_err(|fault| fault.at(format!("{place}.max_bytes")))?;
    Ok(Op::Truncate(compiled))
}

pub(super) fn decolorize(place: &str) -> Result<Op, CompileError> {
    let compiled = stage::decolorize::Decolorize::new();
    Ok(Op::Decolorize(compiled.map_err(|fault| fault.at(place))?))
}

/// What becomes of labels, whatever the line.
pub(super) fn relabel(rule: Rule) -> Op {
    Op::Relabel(stage::labels::Relabel::new(rule))
}

/// The labels that `labelallow` and `labeldrop` name.
pub(super) fn label_names(names: &[String], place: &str) -> Result<Vec<Box<str>>, CompileError> {
    check_not_empty(names.is_empty(), place, "the list")?;
    Ok(names.iter().map(|name| name.as_str().into()).collect())
}

/// Labels with fixed values; those without one are skipped.
pub(super) fn static_labels(labels: &Sources, place: &str) -> Result<Op, CompileError> {
    check_label_names(labels, place)?;
    let given = labels.iter().filter_map(|(name, value)| {
        let value = value.as_deref().filter(|value| !value.is_empty())?;
        Some((name.as_str().into(), value.into()))
    });
    Ok(relabel(Rule::Set(given.collect())))
}

fn check_source(source: Option<&String>, place: &str) -> Result<(), CompileError> {
    match source {
        Some(source) if source.is_empty() => Err(Fault::new(
            "the source is empty",
            "name an extracted value, or remove the key to take the line",
        )
        .at(format!("{place}.source"))),
        _ => Ok(()),
    }
}

fn check_not_empty(is_empty: bool, place: &str, what: &str) -> Result<(), CompileError> {
    if is_empty {
        let problem = format!("{what} is missing or empty");
        return Err(Fault::new(problem, "say at least one, or remove the stage").at(place));
    }
    Ok(())
}

fn check_label_name(name: &str, place: &str) -> Result<(), CompileError> {
    if is_label_name(name) {
        return Ok(());
    }
    let problem = format!("`{name}` is no name of a label");
    let hint = "use letters, digits and `_`, not starting with a digit";
    Err(Fault::new(problem, hint).at(place))
}

fn check_label_names(labels: &Sources, place: &str) -> Result<(), CompileError> {
    check_not_empty(labels.is_empty(), place, "a label")?;
    labels
        .keys()
        .try_for_each(|name| check_label_name(name, &format!("{place}.{name}")))
}
