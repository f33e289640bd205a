use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener;

use tempfile::TempDir;

use super::*;

fn file_in(dir: &TempDir, name: &str, contents: &str) -> PathBuf {
    use std::io::Write as _;
    let path = dir.path().join(name);
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap();
    file.write_all(contents.as_bytes()).unwrap();
    path
}

fn roots_of(dirs: &[&TempDir]) -> AllowedRoots {
    AllowedRoots::new(dirs.iter().map(|dir| dir.path()))
}

fn reason(path: &Path, roots: &AllowedRoots) -> &'static str {
    open_log(path, roots).map_or_else(|error| error.reason(), |_| "opened")
}

#[test]
fn a_regular_file_is_opened_with_what_is_known_of_it() {
    let dir = TempDir::new().unwrap();
    let path = file_in(&dir, "a.log", "first\n");
    let mut opened = open_log(&path, &roots_of(&[&dir])).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(
        (opened.device, opened.inode, opened.len),
        (metadata.dev(), metadata.ino(), 6)
    );
    let since_epoch = metadata
        .modified()
        .unwrap()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    assert_eq!(u128::from(opened.modified_ns), since_epoch.as_nanos());
    assert_eq!(opened.real_path, fs::canonicalize(&path).unwrap());
    assert!(!opened.through_symlink);
    let mut contents = String::new();
    opened.file.read_to_string(&mut contents).unwrap();
    assert_eq!(contents, "first\n");
}

#[test]
fn a_descriptor_is_read_only_and_closed_on_exec() {
    let dir = TempDir::new().unwrap();
    let opened = open_log(&file_in(&dir, "a.log", ""), &roots_of(&[&dir])).unwrap();
    let flags = rustix::fs::fcntl_getfl(&opened.file).unwrap();
    assert_eq!(
        flags & (OFlags::RDWR | OFlags::WRONLY | OFlags::PATH),
        OFlags::empty()
    );
    let fd_flags = rustix::io::fcntl_getfd(&opened.file).unwrap();
    assert!(fd_flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn only_regular_files_are_opened_and_none_is_waited_for() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mode = Mode::RUSR | Mode::WUSR;
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), fifo, mode, 0).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    fs::create_dir(at("directory")).unwrap();
    symlink("/dev/zero", at("device")).unwrap();
    symlink("fifo", at("linked-fifo")).unwrap();
    let table = [
        ("fifo", "FIFO"),
        ("socket", "socket"),
        ("directory", "directory"),
        ("device", "device"),
        ("linked-fifo", "FIFO"),
    ];
    for (name, expected) in table {
        let refused = open_log(&at(name), &roots_of(&[&dir])).unwrap_err();
        assert!(
            matches!(refused, OpenError::NotRegular { kind, .. } if kind == expected),
            "{refused}"
        );
        assert_eq!(refused.reason(), "not_regular");
    }
}

#[test]
fn a_link_is_followed_within_the_roots() {
    let dir = TempDir::new().unwrap();
    let path = file_in(&dir, "a.log", "");
    symlink("a.log", dir.path().join("current.log")).unwrap();
    let opened = open_log(&dir.path().join("current.log"), &roots_of(&[&dir])).unwrap();
    assert_eq!(opened.real_path, fs::canonicalize(path).unwrap());
    assert!(opened.through_symlink);
}

#[test]
fn a_link_out_of_the_roots_is_refused_with_where_it_leads() {
    let dir = TempDir::new().unwrap();
    let link = dir.path().join("a.log");
    symlink("/etc/passwd", &link).unwrap();
    let refused = open_log(&link, &roots_of(&[&dir])).unwrap_err();
    assert_eq!(refused.reason(), "outside_roots");
    assert!(
        refused.to_string().contains("leads to `/etc/passwd`"),
        "{refused}"
    );
}

#[test]
fn a_linked_directory_on_the_way_is_checked_like_a_linked_file() {
    let (dir, outside) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    file_in(&outside, "a.log", "");
    symlink(outside.path(), dir.path().join("app")).unwrap();
    let path = dir.path().join("app/a.log");
    assert_eq!(reason(&path, &roots_of(&[&dir])), "outside_roots");
    assert_eq!(reason(&path, &roots_of(&[&dir, &outside])), "opened");
    let climbing = dir.path().join("../../etc/passwd");
    assert_eq!(reason(&climbing, &roots_of(&[&dir])), "outside_roots");
}

#[test]
fn a_directory_whose_name_begins_like_a_root_is_not_in_it() {
    let dir = TempDir::new().unwrap();
    let (root, other) = (dir.path().join("log"), dir.path().join("log-private"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&other).unwrap();
    file_in(&dir, "log-private/a.log", "");
    symlink(other.join("a.log"), root.join("a.log")).unwrap();
    assert_eq!(
        reason(&root.join("a.log"), &AllowedRoots::new([root.as_path()])),
        "outside_roots"
    );
}

#[test]
fn a_root_counts_by_its_real_path() {
    let dir = TempDir::new().unwrap();
    let real = dir.path().join("real");
    fs::create_dir(&real).unwrap();
    file_in(&dir, "real/a.log", "");
    let named = dir.path().join("named");
    symlink(&real, &named).unwrap();
    assert_eq!(
        reason(&named.join("a.log"), &AllowedRoots::new([named.as_path()])),
        "opened"
    );
}

#[test]
fn a_root_that_appears_later_counts_after_a_refresh_and_stays() {
    let dir = TempDir::new().unwrap();
    let extra = dir.path().join("extra");
    let link = dir.path().join("a.log");
    symlink(extra.join("a.log"), &link).unwrap();
    let mut roots = AllowedRoots::new([extra.as_path()]);
    assert_eq!(reason(&link, &roots), "not_found");
    fs::create_dir(&extra).unwrap();
    let path = file_in(&dir, "extra/a.log", "");
    assert_eq!(reason(&link, &roots), "outside_roots");
    roots.refresh();
    assert_eq!(reason(&link, &roots), "opened");
    fs::remove_dir_all(&extra).unwrap();
    roots.refresh();
    assert!(
        roots.contains(&fs::canonicalize(dir.path()).unwrap().join("extra/a.log")),
        "{path:?}"
    );
}

#[test]
fn a_circle_of_links_ends() {
    let dir = TempDir::new().unwrap();
    symlink("b.log", dir.path().join("a.log")).unwrap();
    symlink("a.log", dir.path().join("b.log")).unwrap();
    assert_eq!(
        reason(&dir.path().join("a.log"), &roots_of(&[&dir])),
        "symlink_loop"
    );
}

#[test]
fn what_is_not_there_is_not_found() {
    let dir = TempDir::new().unwrap();
    file_in(&dir, "a.log", "");
    symlink("nowhere", dir.path().join("broken.log")).unwrap();
    for name in ["missing.log", "broken.log", "a.log/below", "missing/a.log"] {
        assert_eq!(
            reason(&dir.path().join(name), &roots_of(&[&dir])),
            "not_found",
            "{name}"
        );
    }
}

#[test]
fn a_file_that_is_called_deleted_is_there() {
    let dir = TempDir::new().unwrap();
    let path = file_in(&dir, "a (deleted)", "");
    let opened = open_log(&path, &roots_of(&[&dir])).unwrap();
    assert_eq!(opened.real_path, fs::canonicalize(&path).unwrap());
}

#[test]
fn a_file_that_lost_its_name_after_it_was_resolved_is_not_found() {
    let dir = TempDir::new().unwrap();
    let path = file_in(&dir, "a.log", "");
    let handle = File::open(&path).unwrap();
    let found = handle.metadata().unwrap();
    fs::remove_file(&path).unwrap();
    let gone = real_path_of(&handle, &found, &path).unwrap_err();
    assert_eq!(gone.reason(), "not_found");
    file_in(&dir, "a.log (deleted)", "");
    let replaced = real_path_of(&handle, &found, &path).unwrap_err();
    assert_eq!(replaced.reason(), "not_found");
}

#[test]
fn without_proc_a_name_that_was_given_to_another_file_is_not_found() {
    let dir = TempDir::new().unwrap();
    let path = file_in(&dir, "a.log", "");
    let found = fs::metadata(&path).unwrap();
    assert!(open_named(&found, &path, &path).is_ok());
    let other = fs::metadata(file_in(&dir, "b.log", "")).unwrap();
    assert_eq!(
        open_named(&other, &path, &path).unwrap_err().reason(),
        "not_found"
    );
}

#[test]
fn a_second_name_of_ones_own_file_is_opened() {
    let dir = TempDir::new().unwrap();
    let path = file_in(&dir, "a.log", "");
    fs::hard_link(&path, dir.path().join("a.log.1")).unwrap();
    assert_eq!(reason(&path, &roots_of(&[&dir])), "opened");
}

#[test]
fn a_hard_link_where_anyone_can_write_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = file_in(&dir, "a.log", "");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    assert_eq!(
        reason(&path, &roots_of(&[&dir])),
        "opened",
        "it has one name"
    );
    fs::hard_link(&path, dir.path().join("b.log")).unwrap();
    assert_eq!(reason(&path, &roots_of(&[&dir])), "foreign_hard_link");
}

#[test]
fn a_hard_link_is_trusted_from_root_and_from_the_owner_of_the_file() {
    let dir = TempDir::new().unwrap();
    let own = fs::metadata(dir.path()).unwrap();
    assert!(is_trusted(&own, own.uid()));
    assert_eq!(is_trusted(&own, own.uid() + 1), own.uid() == ROOT_UID);
    let of_root = fs::metadata("/proc").unwrap();
    assert!(is_trusted(&of_root, 1000));

    // Only root can give files away; anyone else has seen the rule above.
    if own.uid() == ROOT_UID {
        let path = file_in(&dir, "a.log", "");
        let link = dir.path().join("b.log");
        fs::hard_link(&path, &link).unwrap();
        let check = |dir_owner, file_owner, expected| {
            chown(dir.path(), Some(dir_owner), None).unwrap();
            chown(&path, Some(file_owner), None).unwrap();
            assert_eq!(
                reason(&link, &roots_of(&[&dir])),
                expected,
                "{dir_owner} {file_owner}"
            );
        };
        check(1000, 0, "foreign_hard_link");
        check(1000, 1001, "foreign_hard_link");
        check(1000, 1000, "opened");
        check(0, 1000, "opened");
    }
}

#[test]
fn what_the_system_says_becomes_a_reason() {
    let table = [
        (Errno::NOENT, "not_found"),
        (Errno::NOTDIR, "not_found"),
        (Errno::ACCESS, "permission_denied"),
        (Errno::PERM, "permission_denied"),
        (Errno::LOOP, "symlink_loop"),
        (Errno::MFILE, "too_many_open_files"),
        (Errno::NFILE, "too_many_open_files"),
        (Errno::STALE, "unavailable"),
        (Errno::NOTCONN, "unavailable"),
        (Errno::NODEV, "unavailable"),
        (Errno::IO, "unavailable"),
        (Errno::NAMETOOLONG, "other"),
    ];
    for (errno, expected) in table {
        let error = OpenError::of(Path::new("/log/a.log"), errno.into());
        assert_eq!(error.reason(), expected, "{errno:?}");
        assert!(error.to_string().contains("`/log/a.log`"), "{error}");
    }
}
