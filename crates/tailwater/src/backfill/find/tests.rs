use std::fs::OpenOptions;
use std::os::unix::fs::symlink;

use super::*;

/// A directory with files, each of which holds its name.
fn directory(names: &[&str]) -> tempfile::TempDir {
    use std::io::Write as _;
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .unwrap();
        file.write_all(name.as_bytes()).unwrap();
    }
    directory
}

fn at(directory: &tempfile::TempDir, name: &str) -> String {
    directory.path().join(name).display().to_string()
}

fn names(directory: &tempfile::TempDir, found: &Selection) -> Vec<String> {
    let of = |file: &Found| {
        let path = file.path.strip_prefix(directory.path()).unwrap();
        path.display().to_string()
    };
    found.files.iter().map(of).collect()
}

#[test]
fn a_file_that_several_globs_match_is_found_once() {
    let directory = directory(&["app.log", "app.log.1", "other.txt"]);
    let globs = ["app*", "*.log", "app.log"].map(|glob| at(&directory, glob));
    let (found, _) = named(&globs).unwrap();
    assert_eq!(names(&directory, &found), ["app.log", "app.log.1"]);
    assert_eq!(found.unreadable, []);
}

#[test]
fn a_file_with_two_names_is_found_once() {
    let directory = directory(&["app.log"]);
    symlink(
        directory.path().join("app.log"),
        directory.path().join("current.log"),
    )
    .unwrap();
    fs::hard_link(
        directory.path().join("app.log"),
        directory.path().join("zz.log"),
    )
    .unwrap();
    let (found, _) = named(&[at(&directory, "*.log")]).unwrap();
    assert_eq!(names(&directory, &found), ["app.log"]);
}

#[test]
fn a_name_that_is_there_is_no_glob() {
    let directory = directory(&["app[1].log", "app1.log"]);
    let (found, patterns) = named(&[at(&directory, "app[1].log")]).unwrap();
    assert_eq!(names(&directory, &found), ["app[1].log"]);
    assert!(patterns.matches(&directory.path().join("app[1].log")));
}

#[test]
fn a_glob_that_matches_nothing_is_an_error_that_names_it() {
    let directory = directory(&["app.log"]);
    let globs = [at(&directory, "*.log"), at(&directory, "*.txt")];
    let error = named(&globs).unwrap_err();
    assert!(error.to_string().contains("no file matches"), "{error}");
    assert!(error.to_string().contains("*.txt"), "{error}");
    assert_eq!(error.code(), crate::exit::RUNTIME);
}

#[test]
fn directories_that_are_named_cannot_be_read_and_those_that_match_are_left_out() {
    let directory = directory(&["app.log", "logs/app.log"]);
    let (found, _) = named(&[at(&directory, "logs")]).unwrap();
    assert_eq!(found.files, []);
    assert_eq!(found.unreadable.len(), 1);
    assert!(found.unreadable[0].reason.contains("directory"));
    let (found, _) = named(&[at(&directory, "*")]).unwrap();
    assert_eq!(names(&directory, &found), ["app.log"]);
    assert_eq!(found.unreadable, []);
}

#[test]
fn a_fifo_is_unreadable() {
    let directory = directory(&["app.log"]);
    let made = std::process::Command::new("mkfifo")
        .arg(directory.path().join("pipe.log"))
        .status()
        .unwrap();
    assert!(made.success());
    let (found, _) = named(&[at(&directory, "*.log")]).unwrap();
    assert_eq!(names(&directory, &found), ["app.log"]);
    assert!(found.unreadable[0].reason.contains("FIFO"));
}

#[test]
fn a_source_s_files_come_with_all_that_was_rotated_from_them() {
    let directory = directory(&[
        "app.log",
        "app.log.1",
        "app.log.2.gz",
        "app.log-20261120.xz",
        "app.3.log",
        "application.log.1",
        "other.log.1",
        "deep/web.log",
        "deep/web.log.1.zst",
    ]);
    let include = ["app.log", "deep/*.log"].map(|glob| at(&directory, glob));
    let patterns = Patterns::new(&include, &[]).unwrap();
    let found = of_source(&patterns).unwrap();
    assert_eq!(
        names(&directory, &found),
        [
            "app.3.log",
            "app.log",
            "app.log-20261120.xz",
            "app.log.1",
            "app.log.2.gz",
            "deep/web.log",
            "deep/web.log.1.zst",
        ]
    );
}

#[test]
fn rotated_files_of_a_source_are_found_where_the_live_one_is_gone() {
    let directory = directory(&[
        "app.log",
        "gone.log.1",
        "gone.log.2.gz",
        "noise.log.1",
        "gone.txt.1",
        "daily-2026-11-19.txt.gz",
        "deep/er/web.log.1.zst",
        "deep/er/far/web.log.1",
        "deep/top.log.1",
    ]);
    let include = ["*.log", "daily-*.txt", "deep/{top,*/*}.log"].map(|glob| at(&directory, glob));
    let exclude = [at(&directory, "noise*")];
    let found = of_source(&Patterns::new(&include, &exclude).unwrap()).unwrap();
    assert_eq!(
        names(&directory, &found),
        [
            "app.log",
            "daily-2026-11-19.txt.gz",
            "deep/er/web.log.1.zst",
            "deep/top.log.1",
            "gone.log.1",
            "gone.log.2.gz",
        ]
    );
    let include = [at(&directory, "gone.log")];
    let found = of_source(&Patterns::new(&include, &[]).unwrap()).unwrap();
    assert_eq!(names(&directory, &found), ["gone.log.1", "gone.log.2.gz"]);
    let include = [at(&directory, "**/web.log")];
    let found = of_source(&Patterns::new(&include, &[]).unwrap()).unwrap();
    assert_eq!(
        names(&directory, &found),
        ["deep/er/far/web.log.1", "deep/er/web.log.1.zst"]
    );
}

#[test]
fn a_path_that_leads_up_is_found_by_the_name_that_it_has_from_everywhere() {
    let directory = directory(&["logs/app.log", "logs/app[1].log", "deep/er/x"]);
    // Wherever its temporary files are: without links.
    let real = directory.path().canonicalize().unwrap();
    symlink(real.join("deep/er"), real.join("link")).unwrap();
    for (glob, name) in [
        ("deep/../logs/app.log", "logs/app.log"),
        ("deep/er/../../logs/*p.log", "logs/app.log"),
        ("link/../../logs/app.lo?", "logs/app.log"),
        ("deep/../logs/app[1].log", "logs/app[1].log"),
    ] {
        let (found, patterns) = named(&[at(&directory, glob)]).unwrap();
        let paths: Vec<&PathBuf> = found.files.iter().map(|file| &file.path).collect();
        assert_eq!(paths, [&real.join(name)], "{glob}");
        assert!(patterns.matches(&real.join(name)), "{glob}");
    }
    assert_eq!(
        without_parents("../../a/*.log").unwrap().1,
        "/a/*.log",
        "from the current directory"
    );
    named(&[at(&directory, "*/../logs/app.log")]).unwrap_err();
}
