use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn patterns(include: &[&str], exclude: &[&str]) -> Patterns {
    let owned = |globs: &[&str]| globs.iter().map(ToString::to_string).collect::<Vec<_>>();
    Patterns::new(&owned(include), &owned(exclude)).unwrap()
}

fn refusal(glob: &str) -> String {
    Patterns::new(&[glob.to_owned()], &[])
        .unwrap_err()
        .to_string()
}

#[test]
fn globs_match_what_they_say_and_nothing_else() {
    let table: &[(&str, &[&str], &[&str])] = &[
        (
            "/var/log/app.log",
            &["/var/log/app.log"],
            &["/var/log/app.log.1", "/var/log"],
        ),
        (
            "/var/log/*.log",
            &["/var/log/a.log", "/var/log/.log"],
            &["/var/log/x/a.log"],
        ),
        (
            "/var/log/?.log",
            &["/var/log/a.log"],
            &["/var/log/ab.log", "/var/log/.log"],
        ),
        (
            "/var/log/[ab].log",
            &["/var/log/a.log"],
            &["/var/log/c.log"],
        ),
        (
            "/var/log/[!ab].log",
            &["/var/log/c.log"],
            &["/var/log/a.log"],
        ),
        ("/var/log/a[!x]b", &["/var/log/a-b"], &["/var/log/a/b"]),
        ("/var/log/[]].log", &["/var/log/].log"], &["/var/log/a.log"]),
        (
            "/log/{a,b/c}/*.log",
            &["/log/a/x.log", "/log/b/c/x.log"],
            &["/log/b/x.log"],
        ),
        (
            "/log/app.log{,.1}",
            &["/log/app.log", "/log/app.log.1"],
            &["/log/app.log.2"],
        ),
        (
            "/log/{a{1,2},b}",
            &["/log/a1", "/log/a2", "/log/b"],
            &["/log/a", "/log/b1"],
        ),
        (
            "/log/**/*.log",
            &["/log/a.log", "/log/x/y/a.log"],
            &["/logs/a.log"],
        ),
        ("/log/**", &["/log/a", "/log/x/y"], &["/log", "/logs"]),
        ("/log/**/**/a", &["/log/a", "/log/x/y/a"], &["/log/b"]),
        (
            "/**/a/**/b",
            &["/a/b", "/x/a/b", "/a/x/a/y/b"],
            &["/b", "/a", "/b/a"],
        ),
        (
            "/**/a/b",
            &["/a/b", "/a/a/b", "/a/x/a/b"],
            &["/a/b/c", "/a/x/b"],
        ),
        (r"/log/\*\[\{.log", &["/log/*[{.log"], &["/log/a[{.log"]),
        ("/log/{**/,}x", &["/log/x", "/log/a/b/x"], &["/log/a"]),
        ("/log/a,*", &["/log/a,b"], &["/log/a"]),
        ("/log/a,b", &["/log/a,b"], &["/log/a"]),
        ("//log/./a//b", &["/log/a/b"], &["/log/b"]),
        ("/opt/../log/*", &["/opt/../log/a"], &["/log/a"]),
        (
            "/log/*",
            &["/log/new\nline", "/log/.hidden"],
            &["/log", "log/a"],
        ),
        ("/log/日*.log", &["/log/日誌.log"], &["/log/a.log"]),
    ];
    for (glob, matching, others) in table {
        let compiled = patterns(&[glob], &[]);
        for path in *matching {
            assert!(compiled.matches(Path::new(path)), "{glob} matches {path}");
        }
        for path in *others {
            assert!(
                !compiled.matches(Path::new(path)),
                "{glob} does not match {path}"
            );
        }
    }
}

#[test]
fn names_that_are_not_utf8_are_matched() {
    let path = Path::new(OsStr::from_bytes(b"/log/a\xff\n.log"));
    for glob in [
        "/log/*.log",
        "/log/a*",
        "/log/a??log",
        "/**",
        "/log/a[!b]?.log",
    ] {
        let expected = glob != "/log/a??log";
        assert_eq!(patterns(&[glob], &[]).matches(path), expected, "{glob}");
    }
}

#[test]
fn an_excluded_file_is_not_matched() {
    let compiled = patterns(&["/log/*", "/extra/x"], &["/**/*.gz", "/log/private*"]);
    assert!(compiled.matches(Path::new("/log/a.log")));
    assert!(compiled.matches(Path::new("/extra/x")));
    assert!(!compiled.matches(Path::new("/log/a.gz")));
    assert!(!compiled.matches(Path::new("/log/private.log")));
    assert_eq!(compiled.includes(), ["/log/*", "/extra/x"]);
}

#[test]
fn a_refused_glob_is_named_with_advice() {
    let table = [
        ("logs/*.log", "relative"),
        ("*.gz", "/**/"),
        ("", "relative"),
        ("/", "names a directory"),
        ("/.", "names no file"),
        ("/var/log/", "names a directory"),
        ("/var/**.log", "`**` stands alone"),
        ("/var/***", "`**` stands alone"),
        ("/var/[a", "`[` is not closed"),
        ("/var/[a/b]", "cannot hold `/`"),
        ("/var/[é]", "matches one byte"),
        ("/var/[z-a]", "invalid range"),
        ("/var/{a,b", "`{` is not closed"),
        ("/var/a}", "closes nothing"),
        ("/var/a\\", "nothing follows"),
        ("/var/*/../x", "`..`"),
        (
            "/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}",
            "more than 1024",
        ),
    ];
    for (glob, reason) in table {
        let refused = refusal(glob);
        assert!(refused.contains(reason), "{refused}");
        assert!(refused.contains(&format!("`{glob}`")), "{refused}");
    }
}

#[test]
fn roots_are_the_literal_directories_and_how_deep_files_can_lie() {
    type Roots<'a> = &'a [(&'a str, Option<usize>)];
    let table: &[(&[&str], Roots<'_>)] = &[
        (&["/var/log/app.log"], &[("/var/log", Some(1))]),
        (&["/app.log"], &[("/", Some(1))]),
        (&["/var/log/*/x/*.log"], &[("/var/log", Some(3))]),
        (&["/var/log/**/*.log"], &[("/var/log", None)]),
        (
            &["/var/log/*.log", "/var/log/*/*.log"],
            &[("/var/log", Some(2))],
        ),
        (&["/var/log/*.log", "/var/log/**"], &[("/var/log", None)]),
        (
            &["/log/{a,b}/*"],
            &[("/log/a", Some(1)), ("/log/b", Some(1))],
        ),
        (&["/b/*", "/a/*"], &[("/a", Some(1)), ("/b", Some(1))]),
        (&[r"/log/a\*/*"], &[("/log/a*", Some(1))]),
        (&[], &[]),
    ];
    for (globs, expected) in table {
        let roots: Vec<_> = patterns(globs, &[])
            .roots()
            .iter()
            .map(|root| (root.dir.clone(), root.max_depth))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(dir, depth)| (PathBuf::from(dir), *depth))
            .collect();
        assert_eq!(roots, expected, "{globs:?}");
    }
}

#[test]
fn directories_are_entered_only_where_a_file_can_match() {
    let table: &[(&str, &[&str], &[&str])] = &[
        (
            "/var/log/*.log",
            &["/", "/var", "/var/log"],
            &["/var/log/x", "/opt", "/var/lib"],
        ),
        (
            "/log/*/app/*.log",
            &["/log", "/log/x", "/log/x/app"],
            &["/log/x/y", "/log/x/app/z"],
        ),
        (
            "/log/a*/**/x",
            &["/log", "/log/ab", "/log/ab/c/d"],
            &["/log/b"],
        ),
        ("/log/x", &["/log"], &["/log/x"]),
        ("/**/x", &["/", "/any/where"], &["relative"]),
    ];
    for (glob, entered, others) in table {
        let compiled = patterns(&[glob], &[]);
        for dir in *entered {
            assert!(compiled.may_descend(Path::new(dir)), "{glob} enters {dir}");
        }
        for dir in *others {
            assert!(
                !compiled.may_descend(Path::new(dir)),
                "{glob} does not enter {dir}"
            );
        }
    }
}

#[test]
fn a_tree_that_is_excluded_whole_is_not_entered() {
    let compiled = patterns(&["/log/**/*.log"], &["/log/private/**", "/log/old/*"]);
    assert!(!compiled.may_descend(Path::new("/log/private")));
    assert!(!compiled.may_descend(Path::new("/log/private/deep/er")));
    assert!(
        compiled.may_descend(Path::new("/log/old")),
        "its subdirectories are not excluded"
    );
    assert!(compiled.may_descend(Path::new("/log/private2")));
}

proptest! {
    /// What matches is found: every directory above a matching path may be entered.
    #[test]
    fn every_directory_above_a_match_may_be_entered(
        globs in prop::collection::vec("/(\\*\\*|[ab*?]{1,2})(/(\\*\\*|[ab*?])){0,3}", 1..3),
        exclude in prop::collection::vec("/(\\*\\*|[ab*])(/(\\*\\*|[ab*])){0,3}", 0..2),
        path in "/[ab]{1,2}(/[ab]{1,2}){0,4}",
    ) {
        let Ok(compiled) = Patterns::new(&globs, &exclude) else {
            return Ok(());
        };
        let path = Path::new(&path);
        if compiled.matches(path) {
            for dir in path.ancestors().skip(1) {
                prop_assert!(compiled.may_descend(dir), "{dir:?}");
            }
            let is_below_a_root = compiled.roots().iter().any(|root| {
                let levels = path.strip_prefix(&root.dir).map(|below| below.components().count());
                levels.is_ok_and(|levels| root.max_depth.is_none_or(|max| levels <= max))
            });
            prop_assert!(is_below_a_root);
        }
    }

    #[test]
    fn any_text_is_compiled_or_refused_without_a_panic(glob in "/?[a/*?{},!\\[\\]\\\\é.]{0,20}") {
        if let Ok(compiled) = Patterns::new(std::slice::from_ref(&glob), &[]) {
            prop_assert!(!compiled.roots().is_empty());
            compiled.matches(Path::new("/a/a/a"));
        }
    }
}

fn touch(dir: &TempDir, name: &str) {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
}

fn walk_below(
    dir: &TempDir,
    include: &[&str],
    exclude: &[&str],
    max_entries: usize,
) -> (Vec<String>, Vec<String>) {
    let absolute = |globs: &[&str]| -> Vec<String> {
        globs
            .iter()
            .map(|glob| format!("{}/{glob}", dir.path().display()))
            .collect()
    };
    let patterns = Patterns::new(&absolute(include), &absolute(exclude)).unwrap();
    let (found, errors) = walk(&patterns, max_entries);
    let name = |path: &Path| path.strip_prefix(dir.path()).unwrap().display().to_string();
    (
        found.iter().map(|found| name(&found.path)).collect(),
        errors
            .iter()
            .map(|error| format!("{}: {}", name(&error.path), error.reason))
            .collect(),
    )
}

#[test]
fn a_walk_lists_each_matching_file_once_sorted() {
    let dir = TempDir::new().unwrap();
    for name in [
        "b.log",
        "a.log",
        "x/c.log",
        "x/y/d.log",
        "x/skip.txt",
        "old/e.log",
    ] {
        touch(&dir, name);
    }
    let (found, errors) = walk_below(&dir, &["**/*.log", "x/*.log"], &["old/**"], 100);
    assert_eq!(found, ["a.log", "b.log", "x/c.log", "x/y/d.log"]);
    assert_eq!(errors, [""; 0]);
}

#[test]
fn a_walk_tells_the_length_and_age_of_a_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.log");
    touch(&dir, "a.log");
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1234)
        .unwrap();
    let glob = path.to_str().unwrap().to_owned();
    let (found, _) = walk(&Patterns::new(&[glob], &[]).unwrap(), 10);
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(
        found,
        [Found {
            path,
            len: 1234,
            modified
        }]
    );
}

#[test]
fn loops_of_links_end_and_linked_directories_are_listed_once() {
    let dir = TempDir::new().unwrap();
    let outside = TempDir::new().unwrap();
    touch(&dir, "a/x.log");
    touch(&outside, "y.log");
    symlink(".", dir.path().join("a/loop")).unwrap();
    symlink("a", dir.path().join("0-link-sorted-first")).unwrap();
    symlink(outside.path(), dir.path().join("out1")).unwrap();
    symlink(outside.path(), dir.path().join("out2")).unwrap();
    let (found, errors) = walk_below(&dir, &["**/*.log"], &[], 100);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0], "a/x.log");
    assert!(found[1].ends_with("/y.log"), "{found:?}");
    assert_eq!(errors, [""; 0]);
}

#[test]
fn what_a_walk_cannot_list_is_reported() {
    let dir = TempDir::new().unwrap();
    symlink("nowhere", dir.path().join("broken.log")).unwrap();
    symlink("self.log", dir.path().join("self.log")).unwrap();
    symlink("/dev/null", dir.path().join("null.log")).unwrap();
    let fifo = dir.path().join("fifo.log");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::fs::create_dir(dir.path().join("directory.log")).unwrap();
    let (found, errors) = walk_below(&dir, &["*.log", "missing/*.log"], &[], 100);
    assert_eq!(found, [""; 0]);
    assert_eq!(errors.len(), 5, "{errors:?}");
    assert!(
        errors[0].starts_with("broken.log: No such file"),
        "{errors:?}"
    );
    assert_eq!(errors[1], "fifo.log: it is a FIFO, not a regular file");
    assert_eq!(errors[2], "null.log: it is a device, not a regular file");
    assert!(errors[3].starts_with("self.log: "), "{errors:?}");
    assert!(errors[4].starts_with("missing: No such file"), "{errors:?}");
}

#[test]
fn a_walk_stops_at_its_limits_and_says_so() {
    let dir = TempDir::new().unwrap();
    for number in 0..5 {
        touch(&dir, &format!("{number}.log"));
    }
    let (found, errors) = walk_below(&dir, &["*.log"], &[], 5);
    assert_eq!((found.len(), errors.len()), (5, 0));
    let (found, errors) = walk_below(&dir, &["*.log"], &[], 4);
    assert_eq!(found.len(), 4);
    assert_eq!(errors, [": the limit of directory entries is reached"]);

    let deep = "d/".repeat(MAX_WALK_DEPTH);
    touch(&dir, &format!("{deep}kept.txt"));
    touch(&dir, &format!("{deep}d/lost.txt"));
    let (found, errors) = walk_below(&dir, &["**/*.txt"], &[], 1000);
    assert_eq!(found, [format!("{deep}kept.txt")]);
    assert_eq!(
        errors,
        [format!("{deep}d: it is more than 32 directories deep")]
    );
}
