//! Which files a configuration names: static targets and those of files, after relabeling.

mod file_sd;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::load::Loaded;
use crate::model::{Pairs, ScrapeConfig, StaticConfig};
use crate::relabel::{self, Labels};

pub(crate) use file_sd::is_file_pattern;

/// How often the files of `file_sd_configs` are read again where the configuration does not say.
const REFRESH_INTERVAL: Duration = Duration::from_secs(300);

/// The address of a static target that names none.
const DEFAULT_ADDRESS: &str = "localhost";

/// Files to follow, and their labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The index of its job in `scrape_configs`.
    pub job: usize,
    /// The name of its job.
    pub job_name: String,
    /// The glob of its files: `__path__`.
    pub path: String,
    /// The glob of files that are left out: `__path_exclude__`; empty for none.
    pub exclude: String,
    /// The labels of its lines, by name, without those whose name begins with `__`.
    pub labels: Vec<(String, String)>,
}

/// Why a target is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// A rule of relabeling dropped it.
    Dropped,
    /// Its `__host__` is another machine.
    WrongHost,
    /// It has no `__path__`.
    NoPath,
    /// The job has it already.
    Exists,
}

impl DropReason {
    /// Returns the word that Promtail's metric has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::WrongHost => "wrong_host",
            Self::NoPath => "no_path",
            Self::Exists => "exists",
        }
    }
}

/// A target that is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The name of its job.
    pub job_name: String,
    /// Why.
    pub reason: DropReason,
    /// Its labels as they were discovered, by name.
    pub labels: Vec<(String, String)>,
}

/// All targets at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// What is followed, in the order of the configuration.
    pub targets: Vec<Target>,
    /// What is not.
    pub dropped: Vec<Dropped>,
    /// Files of targets that cannot be used, a sentence each. Their targets are missing: who has older
    /// targets keeps those, as Promtail does.
    pub unreadable: Vec<String>,
}

/// Files of targets that are to be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Globs of the files; a star stands in the last component only.
    pub files: Vec<String>,
    /// How often they are read at the latest.
    pub refresh_interval: Duration,
}

/// Targets that share labels.
#[derive(Debug)]
struct Group {
    labels: Pairs,
    addresses: Vec<String>,
}

impl Loaded {
    /// Reads the files of targets and resolves all targets now.
    pub fn targets(&self) -> Targets {
        let mut found = Targets::default();
        let jobs = self.config.scrape_configs.iter().zip(&self.rules);
        for (index, (job, rules)) in jobs.enumerate() {
            let mut resolver = Resolver {
                job: index,
                job_name: job.job_name.as_deref().unwrap_or_default(),
                rules,
                hostname: self.host.hostname(),
                known: BTreeSet::new(),
                found: &mut found,
            };
            resolver.resolve(job);
        }
        found
    }

    /// Returns which files [`Loaded::targets`] reads, and how often they are to be read again.
    pub fn watched(&self) -> Vec<Watched> {
        let jobs = self.config.scrape_configs.iter();
        let lists = jobs.flat_map(|job| &job.file_sd_configs);
        let watched = lists.map(|list| Watched {
            files: list.files.clone(),
            refresh_interval: list
                .refresh_interval
                .map_or(REFRESH_INTERVAL, |interval| interval.0),
        });
        watched.collect()
    }
}

/// What makes two targets of a job the same: path, labels and exclusion.
type Identity = (String, Vec<(String, String)>, String);

struct Resolver<'a> {
    job: usize,
    job_name: &'a str,
    rules: &'a [relabel::Rule],
    hostname: &'a str,
    /// Targets of this job.
    known: BTreeSet<Identity>,
    found: &'a mut Targets,
}

impl Resolver<'_> {
    fn resolve(&mut self, job: &ScrapeConfig) {
        for config in &job.static_configs {
            self.add_group(&static_group(config));
        }
        for list in &job.file_sd_configs {
            for pattern in &list.files {
                let groups = file_sd::read(pattern, &mut self.found.unreadable);
                groups.iter().for_each(|group| self.add_group(group));
            }
        }
    }

    fn add_group(&mut self, group: &Group) {
        for address in &group.addresses {
            let mut labels: Labels = group.labels.0.iter().cloned().collect();
            labels.insert("__address__".to_owned(), address.clone());
            self.add(labels);
        }
    }

    fn add(&mut self, discovered: Labels) {
        let Some(labels) = relabel::process(self.rules, discovered.clone()) else {
            return self.drop(DropReason::Dropped, discovered);
        };
        let get = |name: &str| labels.get(name).map(String::as_str);
        if get("__host__").is_some_and(|host| host != self.hostname) {
            return self.drop(DropReason::WrongHost, discovered);
        }
        let Some(path) = get("__path__").map(str::to_owned) else {
            return self.drop(DropReason::NoPath, discovered);
        };
        let exclude = get("__path_exclude__").unwrap_or_default().to_owned();
        let kept = labels
            .into_iter()
            .filter(|(name, _)| !name.starts_with("__"));
        let labels: Vec<(String, String)> = kept.collect();
        if !self
            .known
            .insert((path.clone(), labels.clone(), exclude.clone()))
        {
            return self.drop(DropReason::Exists, discovered);
        }
        self.found.targets.push(Target {
            job: self.job,
            job_name: self.job_name.to_owned(),
            path,
            exclude,
            labels,
        });
    }

    fn drop(&mut self, reason: DropReason, labels: Labels) {
        self.found.dropped.push(Dropped {
            job_name: self.job_name.to_owned(),
            reason,
            labels: labels.into_iter().collect(),
        });
    }
}

fn static_group(config: &StaticConfig) -> Group {
    let addresses = if config.targets.is_empty() {
        vec![DEFAULT_ADDRESS.to_owned()]
    } else {
        config.targets.clone()
    };
    Group {
        labels: config.labels.clone(),
        addresses,
    }
}
