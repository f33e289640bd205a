//! Files that are compressed while they are followed, or while nobody looks, and the way back.

use std::fs::{File, FileTimes};
use std::time::Duration;

use tailwater_tailer::{Compression, Damage, WatchBackend};

use crate::archives::{OF_MEMBERS, lines_of, numbered, pack};
use crate::host::Host;

/// Archives are found whether or not they match.
const GLOBS: [&str; 2] = ["app.log", "app.log*"];

fn host(glob: &str) -> Host {
    Host::with(WatchBackend::Auto, &[glob], &[], |_| {})
}

/// Writes the archive of a file, with its time, as rotation does; the file stays.
fn pack_beside(host: &Host, compression: Compression, from: &str, to: &str) {
    let text = std::fs::read(host.path(from)).unwrap();
    let file = host.append(to, pack(compression, &text));
    copy_time(host, from, &file);
}

fn copy_time(host: &Host, from: &str, to: &File) {
    let modified = host.path(from).metadata().unwrap().modified().unwrap();
    to.set_times(FileTimes::new().set_modified(modified))
        .unwrap();
}

fn pack_file(host: &Host, compression: Compression, from: &str, to: &str) {
    pack_beside(host, compression, from, to);
    host.remove(from);
}

/// Each line is there once, in order.
fn assert_exact(host: &Host, text: &str, case: &str) {
    let (found, expected) = (host.lines(), lines_of(text));
    let same = found.iter().zip(&expected).take_while(|(a, b)| a == b);
    let same = same.count();
    assert_eq!(
        (same, found.len()),
        (expected.len(), expected.len()),
        "{case}"
    );
    assert_eq!((host.lost_bytes, host.missing), (0, 0), "{case}");
    assert_eq!(host.damages, [], "{case}");
}

#[test]
fn a_file_that_was_compressed_while_the_agent_was_down_goes_on_before_younger_ones() {
    for glob in GLOBS {
        for compression in OF_MEMBERS {
            let mut host = host(glob);
            let text = numbered(0..9000);
            let line_ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
            let (half, old, young) = (line_ends[2999], line_ends[5999], line_ends[8999]);
            host.append("app.log", &text.as_bytes()[..half]);
            host.settle();
            assert_eq!(host.lines().len(), 3000);
            host.stop();
            host.append("app.log", &text.as_bytes()[half..old]);
            host.rotate("app.log");
            // A generation that nobody has seen.
            host.append("app.log", &text.as_bytes()[old..line_ends[7999]]);
            host.rotate("app.log");
            let packed = format!("app.log.2{}", compression.ending());
            pack_file(&host, compression, "app.log.2", &packed);
            host.append("app.log", &text.as_bytes()[line_ends[7999]..young]);
            host.start();
            host.settle();
            assert_exact(&host, &text, &format!("{glob} {compression:?}"));
            // What was read of it is known by now under its new inode.
            for _ in 0..2 {
                host.stop();
                let renamed = format!("app.log.3{}", compression.ending());
                if host.path(&packed).exists() {
                    host.rename(&packed, &renamed);
                }
                host.start();
                host.settle();
            }
            assert_exact(&host, &text, &format!("{glob} {compression:?}, later"));
        }
    }
}

#[test]
fn generations_that_were_all_compressed_meanwhile_are_read_in_order() {
    for glob in GLOBS {
        let mut host = host(glob);
        let text = numbered(0..400);
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
        host.append("app.log", &text.as_bytes()[..ends[49]]);
        host.settle();
        host.stop();
        let mut from = ends[49];
        for to in [ends[99], ends[199], ends[299]] {
            host.append("app.log", &text.as_bytes()[from..to]);
            // As rotation does it: the oldest first.
            for number in (1..4).rev() {
                let name = |number: u32| format!("app.log.{number}.gz");
                if host.path(&name(number)).exists() {
                    host.rename(&name(number), &name(number + 1));
                }
            }
            host.rename("app.log", "app.log.1");
            pack_file(&host, Compression::Gzip, "app.log.1", "app.log.1.gz");
            from = to;
        }
        host.append("app.log", &text.as_bytes()[from..]);
        host.start();
        host.settle();
        assert_exact(&host, &text, glob);
        host.restart();
        host.settle();
        assert_exact(&host, &text, glob);
    }
}

/// The descriptor holds the file: it is read to its end, whatever stands beside it.
#[test]
fn a_file_that_is_compressed_while_it_is_read_is_not_read_twice() {
    for glob in GLOBS {
        for is_blocked in [false, true] {
            let case = format!("{glob} blocked={is_blocked}");
            let mut host = host(glob);
            let text = numbered(0..3000);
            let middle = text.len() / 2;
            host.append("app.log", &text.as_bytes()[..middle]);
            host.settle();
            if is_blocked {
                host.blocked = vec![0];
            }
            let writer = host.append("app.log", &text.as_bytes()[middle..text.len() - 100]);
            host.rotate("app.log");
            host.turn();
            pack_file(&host, Compression::Gzip, "app.log.1", "app.log.1.gz");
            host.turn();
            // The writer has the old file open, and what it writes is not in the archive.
            {
                use std::io::Write as _;
                (&writer)
                    .write_all(&text.as_bytes()[text.len() - 100..])
                    .unwrap();
            }
            host.append("app.log", "the next file\n");
            host.settle();
            host.rename("app.log.1.gz", "app.log.2.gz");
            host.settle();
            host.blocked.clear();
            for _ in 0..4 {
                host.settle();
            }
            let expected = text.clone() + "the next file\n";
            assert_exact(&host, &expected, &case);
            for _ in 0..2 {
                host.restart();
                host.settle();
            }
            assert_exact(&host, &expected, &case);
            host.rename("app.log.2.gz", "app.log.3.gz");
            host.settle();
            assert_exact(&host, &expected, &case);
            host.remove("app.log.3.gz");
            for _ in 0..4 {
                host.settle();
            }
            assert_exact(&host, &expected, &case);
        }
    }
}

/// Its descriptor was closed for want of anything to read, and then it was gone.
#[test]
fn a_file_that_was_closed_goes_on_as_its_archive() {
    for glob in GLOBS {
        let mut host = host(glob);
        let text = numbered(0..2000);
        host.append("app.log", &text);
        host.settle();
        host.advance(Duration::from_secs(400));
        host.settle();
        assert_eq!(host.tailer().open_files(), 0);
        host.rename("app.log", "app.log.1");
        host.append("app.log", "the next file\n");
        pack_file(&host, Compression::Gzip, "app.log.1", "app.log.1.gz");
        host.settle();
        let expected = text.clone() + "the next file\n";
        assert_exact(&host, &expected, glob);
        for _ in 0..2 {
            host.restart();
            host.settle();
        }
        assert_exact(&host, &expected, glob);
    }
}

#[test]
fn an_archive_that_grows_beside_its_file_is_never_read() {
    let mut host = host("app.log*");
    let text = numbered(0..200);
    host.append("app.log", &text);
    host.settle();
    host.rotate("app.log");
    host.append("app.log", "the next file\n");
    host.settle();
    for byte in pack(Compression::Gzip, text.as_bytes()).chunks(50) {
        host.append("app.log.1.gz", byte);
        host.turn();
    }
    host.settle();
    host.remove("app.log.1");
    for _ in 0..4 {
        host.settle();
    }
    let expected = text + "the next file\n";
    assert_exact(&host, &expected, "grown");
    // A copy of the live file, too.
    pack_beside(&host, Compression::Xz, "app.log", "app.log.xz");
    host.settle();
    host.restart();
    host.settle();
    assert_exact(&host, &expected, "copied");
}

#[test]
fn what_is_decompressed_again_is_not_read_twice() {
    for is_down in [false, true] {
        let mut host = host("app.log*");
        let text = numbered(0..300);
        host.append("app.log.2.gz", pack(Compression::Gzip, text.as_bytes()));
        host.settle();
        if is_down {
            host.stop();
        }
        if is_down {
            host.append("app.log.2", &text);
        } else {
            for piece in text.as_bytes().chunks(500) {
                host.append("app.log.2", piece);
                host.turn();
            }
            host.settle();
        }
        host.remove("app.log.2.gz");
        if is_down {
            host.start();
        }
        for _ in 0..4 {
            host.settle();
        }
        assert_exact(&host, &text, &format!("down={is_down}"));
        pack_file(&host, Compression::Zstd, "app.log.2", "app.log.3.zst");
        for _ in 0..4 {
            host.settle();
        }
        host.restart();
        host.settle();
        assert_exact(&host, &text, &format!("packed again, down={is_down}"));
    }
}

/// Files that all begin alike are told by what stands before the position.
#[test]
fn of_archives_that_begin_alike_the_one_with_the_position_goes_on() {
    let header = "# a long header of every file\n".repeat(50);
    let mut host = host("app.log");
    host.append("app.log", format!("{header}one\ntwo\n"));
    host.settle();
    host.stop();
    host.append("app.log", "three\n");
    host.rename("app.log", "app.log.1");
    let decoys = [
        ("app.log.3.gz", format!("{header}another one\ntwo\nnever\n")),
        // Shorter than the position.
        ("app.log.4.gz", header.clone()),
        ("other.gz", format!("{header}other\n")),
    ];
    for (name, text) in &decoys {
        let file = host.append(name, pack(Compression::Gzip, text.as_bytes()));
        copy_time(&host, "app.log.1", &file);
    }
    pack_file(&host, Compression::Gzip, "app.log.1", "app.log.2.gz");
    // Old ones, which were never meant.
    let long_ago = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    for (name, _) in &decoys {
        let file = host.append(name, "");
        file.set_times(FileTimes::new().set_modified(long_ago))
            .unwrap();
    }
    host.append("app.log", "four\n");
    host.start();
    host.settle();
    let expected = format!("{header}one\ntwo\nthree\nfour\n");
    assert_exact(&host, &expected, "alike");
}

#[test]
fn a_short_file_is_known_by_all_of_it() {
    for glob in GLOBS {
        let mut host = host(glob);
        host.append("app.log", "one\n");
        host.settle();
        host.stop();
        host.append("app.log", "two\n");
        host.rename("app.log", "app.log.1");
        pack_file(&host, Compression::Bzip2, "app.log.1", "app.log.1.bz2");
        host.append("app.log", "three\n");
        host.start();
        host.settle();
        host.restart();
        host.settle();
        assert_exact(&host, "one\ntwo\nthree\n", glob);
    }
}

#[test]
fn what_follows_damage_before_the_position_is_lost_and_told_of() {
    let mut host = host("app.log");
    let text = numbered(0..50_000);
    host.append("app.log", &text);
    host.settle();
    host.stop();
    host.append("app.log", "not delivered yet\n");
    host.rename("app.log", "app.log.1");
    pack_file(&host, Compression::Gzip, "app.log.1", "app.log.1.gz");
    let len = host.path("app.log.1.gz").metadata().unwrap().len();
    host.append("app.log.1.gz", "").set_len(len / 2).unwrap();
    host.append("app.log", "the next file\n");
    host.start();
    host.settle();
    assert_eq!(host.damages, [Damage::Truncated]);
    assert_eq!(host.lines().len(), 50_001);
    assert_eq!(host.lines()[50_000], "the next file");
    host.restart();
    host.settle();
    assert_eq!((host.damages.len(), host.lines().len()), (1, 50_001));
}

#[test]
fn damage_behind_the_position_costs_what_follows_it_alone() {
    let mut host = host("app.log");
    let text = numbered(0..50_000);
    let middle = text.match_indices('\n').nth(2999).unwrap().0 + 1;
    host.append("app.log", &text.as_bytes()[..middle]);
    host.settle();
    let before = host.lines().len();
    host.stop();
    host.append("app.log", &text.as_bytes()[middle..]);
    host.rename("app.log", "app.log.1");
    pack_file(&host, Compression::Gzip, "app.log.1", "app.log.1.gz");
    let len = host.path("app.log.1.gz").metadata().unwrap().len();
    host.append("app.log.1.gz", "").set_len(len / 2).unwrap();
    host.start();
    host.settle();
    assert_eq!(host.damages, [Damage::Truncated]);
    let found = host.lines();
    assert!(found.len() > before + 10_000, "{}", found.len());
    // The last one may be cut.
    let whole = found.len() - 1;
    assert_eq!(found[..whole], lines_of(&text)[..whole]);
}

/// The archive of another file of the directory is not what has become of one that is gone.
#[test]
fn a_file_that_is_gone_takes_no_others_archive() {
    let mut host = host("app.log*");
    let text = numbered(0..100);
    host.append("app.log", &text);
    host.settle();
    host.stop();
    host.remove("app.log");
    host.append("app.log.1.gz", pack(Compression::Gzip, b"of another day\n"));
    host.start();
    host.settle();
    assert_eq!(host.missing, 1);
    assert_eq!(host.lines().len(), 101);
    assert_eq!(host.lines()[100], "of another day");
    host.restart();
    host.settle();
    assert_eq!(host.lines().len(), 101);
}

/// What rotation has made of the files of one name, the youngest first.
struct Rotation {
    names: Vec<String>,
    next_line: u64,
    random: u64,
}

impl Rotation {
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn write(&mut self, host: &Host) {
        let lines = self.below(60) + 1;
        host.append("app.log", numbered(self.next_line..self.next_line + lines));
        self.next_line += lines;
    }

    fn rotate(&mut self, host: &Host) {
        // The oldest first, so that no name is taken twice.
        for (index, name) in self.names.iter_mut().enumerate().rev() {
            let format = Compression::detect(&std::fs::read(host.path(name)).unwrap());
            let ending = format.map_or("", Compression::ending);
            let renamed = format!("app.log.{}{ending}", index + 2);
            host.rename(name, &renamed);
            *name = renamed;
        }
        if host.path("app.log").exists() {
            host.rename("app.log", "app.log.1");
            self.names.insert(0, "app.log.1".into());
        }
        if self.below(2) == 0 {
            host.append("app.log", "");
        }
    }

    fn compress(&mut self, host: &mut Host, is_up: bool) {
        if self.names.is_empty() {
            return;
        }
        let count = self.names.len() as u64;
        let index = usize::try_from(self.below(count)).unwrap();
        let name = self.names.remove(index);
        let format = OF_MEMBERS
            .into_iter()
            .nth(usize::try_from(self.below(4)).unwrap())
            .unwrap();
        let bytes = std::fs::read(host.path(&name)).unwrap();
        if bytes.is_empty() || Compression::detect(&bytes).is_some() {
            self.names.insert(index, name);
            return;
        }
        let packed = format!("{name}{}", format.ending());
        pack_beside(host, format, &name, &packed);
        if is_up && self.below(2) == 0 {
            host.turn();
        }
        host.remove(&name);
        self.names.insert(index, packed);
    }
}

/// Whatever order things happen in: what the agent sees while it runs, and everything while it does not.
#[test]
fn rotations_compressions_and_restarts_of_any_order_lose_and_repeat_nothing() {
    for seed in 1..40_u64 {
        let mut host = host(if seed % 2 == 0 { "app.log" } else { "app.log*" });
        let mut rotation = Rotation {
            names: Vec::new(),
            next_line: 0,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15),
        };
        let mut is_up = true;
        // Nothing is promised of files that no run has seen.
        rotation.write(&host);
        host.settle();
        for _ in 0..60 {
            match rotation.below(14) {
                0..=4 => rotation.write(&host),
                5..=6 => rotation.rotate(&host),
                7..=8 => rotation.compress(&mut host, is_up),
                9 if is_up => host.advance(Duration::from_secs(rotation.below(500))),
                10 if is_up => host.settle(),
                12 => {
                    host.blocked = if host.blocked.is_empty() {
                        vec![0]
                    } else {
                        Vec::new()
                    };
                }
                _ => {
                    if is_up {
                        host.stop();
                    } else {
                        host.start();
                    }
                    is_up = !is_up;
                }
            }
            if is_up {
                host.turn();
            }
        }
        if !is_up {
            host.start();
        }
        host.blocked.clear();
        for _ in 0..4 {
            host.settle();
        }
        let expected = numbered(0..rotation.next_line);
        host.restart();
        host.settle();
        // Those that were empty all the time are nobody's.
        host.missing = 0;
        assert_exact(&host, &expected, &format!("seed {seed}"));
    }
}
