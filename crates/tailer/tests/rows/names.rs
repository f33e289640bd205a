//! What stands in a directory besides logs: rows F24, F33, F34, F87.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use tailwater_tailer::WatchBackend;

use crate::host::Host;

/// F24: names are bytes.
#[test]
fn odd_file_names_are_followed() {
    let mut host = Host::new();
    let long = format!("{}.log", "n".repeat(251));
    for name in [
        b"a\xFF.log".as_slice(),
        b"new\nline.log",
        b"\x1b[31m.log",
        long.as_bytes(),
    ] {
        let path = host.path("").join(OsStr::from_bytes(name));
        let mut file = std::fs::OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(path)
            .unwrap();
        std::io::Write::write_all(&mut file, b"x\n").unwrap();
    }
    host.settle();
    assert_eq!(host.read.len(), 4);
}

/// F33: nothing but regular files is opened, and nothing waits.
#[test]
fn fifos_sockets_devices_and_directories_are_passed_over() {
    let mut host = Host::new();
    std::fs::create_dir(host.path("dir.log")).unwrap();
    let fifo = host.path("fifo.log");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let _socket = std::os::unix::net::UnixListener::bind(host.path("socket.log")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", host.path("zero.log")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", host.path("passwd.log")).unwrap();
    host.append("a.log", "1\n");
    host.settle();
    assert_eq!(host.lines(), ["1"]);
    assert!(
        host.refused
            .iter()
            .any(|(path, _)| path.ends_with("passwd.log"))
    );
}

/// F34: links in a circle end, and a tree is read once.
#[test]
fn circles_of_links_end() {
    let mut host = Host::new();
    std::os::unix::fs::symlink(".", host.path("circle")).unwrap();
    std::os::unix::fs::symlink("loop.log", host.path("loop.log")).unwrap();
    host.append("a.log", "1\n");
    host.settle();
    assert_eq!(host.lines(), ["1"]);
}

/// 10 of the other list, and 33: directories that come later, four levels deep.
#[test]
fn directories_made_later_are_followed_to_any_depth() {
    let mut host = Host::new();
    host.turn();
    std::fs::create_dir_all(host.path("a/b/c/d")).unwrap();
    host.append("a/b/c/d/x.log", "1\n");
    host.turn();
    host.turn();
    assert_eq!(host.lines(), ["1"]);
    host.append("a/b/c/d/x.log", "2\n");
    host.append("a/b/y.log", "3\n");
    host.settle();
    assert_eq!(host.read.len(), 3);
}

/// 20: what is excluded is left, and what is beside it is not.
#[test]
fn excluded_files_and_own_files_are_never_read() {
    let mut host = Host::with(WatchBackend::Auto, &["**/*.log"], &["debug*.log"], |_| {});
    host.append("debug1.log", "no\n");
    host.append("a.log", "yes\n");
    host.settle();
    assert_eq!(host.lines(), ["yes"]);
}

/// 19: an absent root is followed once it is made.
#[test]
fn a_directory_that_is_absent_at_the_start_is_followed_when_it_is_made() {
    let mut host = Host::with(WatchBackend::Auto, &["later/*.log"], &[], |_| {});
    host.settle();
    std::fs::create_dir(host.path("later")).unwrap();
    host.append("later/a.log", "1\n");
    host.settle();
    assert_eq!(host.lines(), ["1"]);
}
