//! Which files a configuration names: static targets and those of files, after relabeling.

mod file_sd;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::load::{Host, Loaded};
use crate::model::{Pairs, ScrapeConfig, StaticConfig};
use crate::relabel::{self, Labels};

pub(crate) use file_sd::is_file_pattern;

/// How often the files of `file_sd_configs` are read again where the configuration does not say.
const REFRESH_INTERVAL: Duration = Duration::from_secs(300);

/// What the standard input is called where a file has its path.
const STDIN_PATH: &str = "/dev/stdin";

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
    /// Its `__path__` or `__path_exclude__` is no glob that files can be found by.
    BadPath,
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
            Self::BadPath => "error",
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

impl Dropped {
    /// Returns the value of a label, as it was discovered.
    pub fn label(&self, name: &str) -> Option<&str> {
        let mut labels = self.labels.iter();
        let found = labels.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
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
    ///
    /// With [`Loaded::is_stdin`], the standard input is the only one.
    pub fn targets(&self) -> Targets {
        if self.is_stdin() {
            return Targets {
                targets: vec![self.stdin()],
                ..Targets::default()
            };
        }
        let mut found = Targets::default();
        let jobs = self.config.scrape_configs.iter().zip(&self.rules);
        for (index, (job, rules)) in jobs.enumerate() {
            let mut resolver = Resolver {
                job: index,
                job_name: job.job_name.as_deref().unwrap_or_default(),
                rules,
                host: &self.host,
                known: BTreeSet::new(),
                found: &mut found,
            };
            resolver.resolve(job);
        }
        found
    }

    /// Returns the standard input as a target: the first job's labels, all of its static targets together.
    fn stdin(&self) -> Target {
        let job = self.config.scrape_configs.first();
        let mut labels = Labels::new();
        for config in job.iter().flat_map(|job| &job.static_configs) {
            let own = config.labels.0.iter();
            labels.extend(own.filter(|(name, _)| !name.starts_with("__")).cloned());
        }
        if labels.is_empty() {
            labels.insert("job".to_owned(), "stdin".to_owned());
            labels.insert("hostname".to_owned(), self.host.hostname().to_owned());
        }
        let name = job.and_then(|job| job.job_name.clone());
        Target {
            job: 0,
            job_name: name.unwrap_or_else(|| "stdin".to_owned()),
            path: STDIN_PATH.to_owned(),
            exclude: String::new(),
            labels: labels.into_iter().collect(),
        }
    }

    /// Returns which files [`Loaded::targets`] reads, and how often they are to be read again.
    pub fn watched(&self) -> Vec<Watched> {
        if self.is_stdin() {
            return Vec::new();
        }
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
    host: &'a Host,
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
        if get("__host__").is_some_and(|host| host != self.host.hostname()) {
            return self.drop(DropReason::WrongHost, discovered);
        }
        let Some(path) = get("__path__").map(str::to_owned) else {
            return self.drop(DropReason::NoPath, discovered);
        };
        let exclude = get("__path_exclude__").unwrap_or_default().to_owned();
        let is_bad = |glob: &str| !glob.is_empty() && self.host.check_glob(glob).is_err();
        if is_bad(&path) || is_bad(&exclude) {
            return self.drop(DropReason::BadPath, discovered);
        }
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
