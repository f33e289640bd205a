//! Checking `scrape_configs`.

use tailwater_yaml::{Checker, KeyPath};

use super::{Notes, stages};
use crate::load::Host;
use crate::model::{Decompression, ScrapeConfig};
use crate::relabel::{self, BadRule, Rule};
use crate::targets::is_file_pattern;

/// What is done about a block that is not in this version.
const WAYS_OUT: &[(&str, &str)] = &[
    (
        "kubernetes_sd_configs",
        "name the files of the containers in its place: `static_configs: [{ labels: { job: pods, __path__: /var/log/pods/*/*/*.log } }]`",
    ),
    (
        "docker_sd_configs",
        "name the files of the containers in its place: `static_configs: [{ labels: { job: docker, __path__: /var/lib/docker/containers/*/*-json.log } }]` with the stage `docker: {}`",
    ),
    (
        "journal",
        "let journald hand its lines to a file (`ForwardToSyslog=yes` with rsyslog), and read that: `static_configs: [{ labels: { job: journal, __path__: /var/log/syslog } }]`",
    ),
    (
        "syslog",
        "let rsyslog or syslog-ng take the messages and write files, and read those with `static_configs`",
    ),
    (
        "loki_push_api",
        "let those who push here push to Loki itself; this agent reads files only",
    ),
    (
        "windows_events",
        "there are no Windows events on this system: remove the block",
    ),
];

const SD_WAY_OUT: &str =
    "write what it finds into files: `file_sd_configs: [{ files: [/etc/promtail/targets/*.yml] }]`";

const TARGET_WAY_OUT: &str = "keep a Promtail for this job, or let its lines be written to files and read those with `static_configs`";

/// Checks all jobs, and returns their rules of relabeling.
pub(super) fn check_all(
    checker: &mut Checker<'_>,
    notes: &mut Notes<'_>,
    jobs: &[ScrapeConfig],
    is_stdin: bool,
    host: &Host,
) -> Vec<Vec<Rule>> {
    let all = KeyPath::default().key("scrape_configs");
    let mut rules = Vec::new();
    for (index, job) in jobs.iter().enumerate() {
        let path = all.index(index);
        check_name(checker, &path, job, jobs.get(..index).unwrap_or_default());
        // With the standard input, targets are not looked at: what matters is the stages.
        if !is_stdin {
            check_kind(checker, notes, &path, job);
            check_globs(checker, &path, job, host);
        }
        check_files(checker, &path, job);
        stages::check(checker, &path.key("pipeline_stages"), &job.pipeline_stages);
        rules.push(check_rules(checker, &path.key("relabel_configs"), job));
    }
    rules
}

fn check_name(
    checker: &mut Checker<'_>,
    path: &KeyPath,
    job: &ScrapeConfig,
    earlier: &[ScrapeConfig],
) {
    let name = job.job_name.as_deref().unwrap_or_default();
    let at = path.key("job_name");
    if name.is_empty() {
        checker.fail_key(
            &at,
            "this scrape config has no job name",
            "name it: `job_name: system`",
        );
        return;
    }
    if earlier.iter().any(|other| other.job_name == job.job_name) {
        let name = checker.without_variables(name);
        let message = format!("found multiple scrape configs with job name \"{name}\"");
        checker.fail(
            &at,
            message,
            "rename one of them, or merge their `static_configs`",
        );
    }
}

fn check_kind(
    checker: &mut Checker<'_>,
    notes: &mut Notes<'_>,
    path: &KeyPath,
    job: &ScrapeConfig,
) {
    for block in job.foreign_discoveries() {
        foreign(checker, path, block, SD_WAY_OUT);
    }
    let others = job.foreign_targets();
    if job.has_files() {
        for block in others {
            let what =
                "Promtail does not use it beside targets that are files, and it is not used here";
            notes.add(&path.key(block), what);
        }
        return;
    }
    for block in &others {
        foreign(checker, path, block, TARGET_WAY_OUT);
    }
    if others.is_empty() && job.foreign_discoveries().is_empty() {
        let name = checker.without_variables(job.job_name.as_deref().unwrap_or_default());
        checker.fail_key(
            path,
            format!("no valid target scrape config defined for \"{name}\""),
            "say which files it reads: `static_configs: [{ labels: { __path__: /var/log/*.log } }]`",
        );
    }
}

fn foreign(checker: &mut Checker<'_>, path: &KeyPath, block: &str, way_out: &str) {
    let known = WAYS_OUT.iter().find(|(known, _)| *known == block);
    let help = known.map_or(way_out, |(_, help)| help);
    let message = format!("`{block}` is not in this version");
    checker.fail_key(&path.key(block), message, help);
}

/// Rules of relabeling may make something else of a path: those are looked at with the targets.
fn check_globs(checker: &mut Checker<'_>, path: &KeyPath, job: &ScrapeConfig, host: &Host) {
    if !job.relabel_configs.is_empty() {
        return;
    }
    for (index, config) in job.static_configs.iter().enumerate() {
        let labels = path.key("static_configs").index(index).key("labels");
        for name in ["__path__", "__path_exclude__"] {
            let glob = config.labels.get(name).filter(|glob| !glob.is_empty());
            if let Some(Err(problem)) = glob.map(|glob| host.check_glob(glob)) {
                let message = checker.without_variables(&problem);
                let help = "write an absolute path, in which `*`, `?`, `[a-z]`, `{a,b}` and, as a whole part, `**` stand for names";
                checker.fail(&labels.key(name), message, help);
            }
        }
    }
}

fn check_files(checker: &mut Checker<'_>, path: &KeyPath, job: &ScrapeConfig) {
    for (index, config) in job.static_configs.iter().enumerate() {
        let labels = path.key("static_configs").index(index).key("labels");
        for (name, _) in &config.labels.0 {
            if !relabel::is_label_name(name) {
                let help = "use letters, digits and `_`, not starting with a digit";
                checker.fail_key(&labels.key(name), "this is not the name of a label", help);
            }
        }
    }
    for (index, list) in job.file_sd_configs.iter().enumerate() {
        let files = path.key("file_sd_configs").index(index).key("files");
        if list.files.is_empty() {
            let help = "name files that hold targets: `files: [/etc/promtail/targets/*.yml]`";
            checker.fail_key(&files, "this discovery names no files", help);
        }
        for (index, pattern) in list.files.iter().enumerate() {
            if !is_file_pattern(pattern) {
                let help =
                    "end it with `.json`, `.yml` or `.yaml`; `*` may stand in its last part only";
                checker.fail(
                    &files.index(index),
                    "this cannot be a file of targets",
                    help,
                );
            }
        }
    }
    if job
        .encoding
        .as_deref()
        .is_some_and(|name| encoding_of(name).is_none())
    {
        checker.fail(
            &path.key("encoding"),
            "this encoding is not in this version",
            "let the program write UTF-8 or UTF-16, or keep the key away and get its bytes as they are",
        );
    }
    if let Some(raw) = job
        .decompression
        .as_ref()
        .filter(|raw| raw.enabled == Some(true))
        && archive_of(raw).is_none()
    {
        let at = path.key("decompression").key("format");
        let message = "an archive needs a `format`: `gz`, `z` or `bz2`";
        checker.fail_word(&at, message, &["gz", "z", "bz2"]);
    }
}

/// Returns the native name of an encoding; `None` where there is none.
pub(crate) fn encoding_of(name: &str) -> Option<&'static str> {
    match name.trim().to_ascii_lowercase().replace('_', "-").as_str() {
        "" | "utf-8" | "utf8" | "csutf8" | "us-ascii" | "ascii" | "csascii" | "iso646-us" => {
            Some("utf-8")
        }
        "utf-16" | "utf16" | "csutf16" => Some("auto"),
        "utf-16le" | "utf16le" | "csutf16le" => Some("utf-16le"),
        "utf-16be" | "utf16be" | "csutf16be" => Some("utf-16be"),
        _ => None,
    }
}

/// How the files of a job are packed.
pub(crate) type Archive = &'static str;

/// Returns the native name of a format of archives.
pub(crate) fn archive_of(raw: &Decompression) -> Option<Archive> {
    match raw.format.as_deref()? {
        "gz" => Some("gzip"),
        "z" => Some("zlib"),
        "bz2" => Some("bzip2"),
        _ => None,
    }
}

fn check_rules(checker: &mut Checker<'_>, path: &KeyPath, job: &ScrapeConfig) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (index, raw) in job.relabel_configs.iter().enumerate() {
        match relabel::compile(raw) {
            Ok(rule) => rules.push(rule),
            Err(bad) => fail_rule(checker, &path.index(index).key(bad.key), &bad),
        }
    }
    rules
}

fn fail_rule(checker: &mut Checker<'_>, at: &KeyPath, bad: &BadRule) {
    let message = checker.without_variables(&bad.message);
    if bad.valid.is_empty() {
        checker.fail(at, message, bad.help);
    } else {
        checker.fail_word(at, message, &bad.valid);
    }
}
