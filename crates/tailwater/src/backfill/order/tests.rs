use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;

fn file(path: &str, modified: u64) -> Found {
    Found {
        path: PathBuf::from(path),
        len: 0,
        modified: SystemTime::UNIX_EPOCH + Duration::from_secs(modified),
    }
}

/// Sorts names that were all written at the same time.
fn sorted(names: &[&str]) -> Vec<Vec<String>> {
    let files = names.iter().map(|name| file(&format!("/l/{name}"), 0));
    names_of(logs(files.collect()))
}

fn names_of(logs: Vec<Log>) -> Vec<Vec<String>> {
    let names = |log: Log| {
        let names = log.files.iter().filter_map(|file| file.path.file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    };
    logs.into_iter().map(names).collect()
}

fn place(name: &str) -> (String, Place) {
    let name = Name::of(OsStr::new(name));
    (String::from_utf8(name.live).unwrap(), name.place)
}

#[test]
fn names_say_which_log_they_belong_to_and_where_in_it() {
    let date = |numbers: &[u64]| Place::Date(numbers.to_vec());
    for (name, live, expected) in [
        ("app.log", "app.log", Place::Live),
        ("app.log.gz", "app.log", Place::Live),
        ("app.log.1", "app.log", Place::Rotation(1)),
        ("app.log.12.gz", "app.log", Place::Rotation(12)),
        ("syslog.2.xz", "syslog", Place::Rotation(2)),
        ("app.log-20261120.gz", "app.log", date(&[20_261_120])),
        ("app.log.2026-11-20.bz2", "app.log", date(&[20_261_120])),
        ("app.log_20261120", "app.log", date(&[20_261_120])),
        ("app.log-2026112013", "app.log", date(&[20_261_120, 13])),
        (
            "app.log-20261120-1795176000.zst",
            "app.log",
            date(&[20_261_120, 1_795_176_000]),
        ),
        ("app.log.2026-11-20-1.xz", "app.log", date(&[20_261_120, 1])),
        ("app.log.2026-11-20.10", "app.log", date(&[20_261_120, 10])),
        ("app.log.2026-11-20_05", "app.log", date(&[20_261_120, 5])),
        ("app-2026-11-20.log.gz", "app.log", date(&[20_261_120])),
        ("app.2026-11-20.log", "app.log", date(&[20_261_120])),
        ("app-2026-11-20.1.log", "app.log", date(&[20_261_120, 1])),
        (
            "app-2026-11-20T18-30-00.000.log.gz",
            "app.log",
            date(&[20_261_120, 18, 30, 0, 0]),
        ),
        ("2026-11-20.log", ".log", date(&[20_261_120])),
        (
            "0.log.20260101-120000.gz",
            "0.log",
            date(&[20_260_101, 120_000]),
        ),
        ("0.log", "0.log", Place::Live),
        ("app.log.old", "app.log", Place::Rotated),
        ("app.log~", "app.log", Place::Rotated),
        ("app-1234567.log", "app-1234567.log", Place::Live),
        (".gz", ".gz", Place::Live),
    ] {
        assert_eq!(place(name), (live.to_owned(), expected), "{name}");
    }
}

#[test]
fn the_highest_rotation_is_the_oldest_and_the_live_file_the_newest() {
    assert_eq!(
        sorted(&["app.log", "app.log.10.gz", "app.log.9.gz", "app.log.1"]),
        [["app.log.10.gz", "app.log.9.gz", "app.log.1", "app.log"]]
    );
}

#[test]
fn dates_rise_and_so_do_the_numbers_behind_them() {
    assert_eq!(
        sorted(&[
            "app.log",
            "app.log.2026-11-20-10.xz",
            "app.log.2026-11-20-2.xz",
            "app.log.2026-11-19-3.xz",
        ]),
        [[
            "app.log.2026-11-19-3.xz",
            "app.log.2026-11-20-2.xz",
            "app.log.2026-11-20-10.xz",
            "app.log",
        ]]
    );
}

#[test]
fn logs_come_in_natural_order_and_keep_to_themselves() {
    assert_eq!(
        sorted(&["web10.log", "web9.log.1", "web9.log", "web10.log.1"]),
        [["web9.log.1", "web9.log"], ["web10.log.1", "web10.log"]]
    );
}

#[test]
fn equal_names_in_two_directories_are_two_logs() {
    let files = ["/b/app.log", "/a/app.log", "/a/app.log.1"].map(|path| file(path, 0));
    let logs = logs(files.to_vec());
    let live: Vec<_> = logs.iter().map(|log| log.live.clone()).collect();
    assert_eq!(live, [Path::new("/a/app.log"), Path::new("/b/app.log")]);
}

/// `worker.1.log` and `worker.2.log` are two workers, unless there is a log that they are generations of.
#[test]
fn a_number_within_a_name_is_a_rotation_only_beside_its_log() {
    assert_eq!(
        sorted(&["worker.2.log", "worker.1.log"]),
        [["worker.1.log"], ["worker.2.log"]]
    );
    assert_eq!(
        sorted(&["app.2.log.gz", "app.1.log", "app.log"]),
        [["app.2.log.gz", "app.1.log", "app.log"]]
    );
}

#[test]
fn where_kinds_of_marks_are_mixed_the_time_of_modification_decides() {
    let files = vec![
        file("/l/app.log", 5),
        file("/l/app.log.old", 30),
        file("/l/app.log.1", 20),
        file("/l/app.log-20261120", 10),
    ];
    assert_eq!(
        names_of(logs(files)),
        [["app.log-20261120", "app.log.1", "app.log.old", "app.log"]]
    );
}

#[test]
fn names_that_are_not_utf8_are_names_too() {
    let name = Name::of(OsStr::from_bytes(b"app\xff.log.3.gz"));
    assert_eq!(name.live, b"app\xff.log");
    assert_eq!(name.place, Place::Rotation(3));
}

const ENDINGS: [&str; 5] = ["", ".gz", ".bz2", ".zst", ".xz"];

/// What one log looks like after so many rotations, the oldest generation first.
fn rotated(live: &str, kind: usize, generations: u64, endings: &[usize]) -> Vec<String> {
    let mut names: Vec<String> = (1..=generations)
        .rev()
        .zip(endings.iter().cycle())
        .map(|(age, ending)| {
            let ending = ENDINGS[*ending];
            // The n-th day before the first of December.
            let day = 30 - age;
            match kind {
                0 => format!("{live}.{age}{ending}"),
                1 => format!("{live}-202611{day:02}{ending}"),
                2 => format!("{live}.2026-11-{day:02}{ending}"),
                3 => format!("{live}-20261130-{}{ending}", 1_795_000_000 - age),
                4 => format!("{live}.2026-11-30-{}{ending}", 31 - age),
                _ => format!("{live}.202611{day:02}-120000{ending}"),
            }
        })
        .collect();
    names.push(live.to_owned());
    names
}

proptest! {
    #[test]
    fn what_was_rotated_in_one_way_comes_out_in_the_order_it_was_written(
        kind in 0_usize..6,
        generations in 0_u64..28,
        endings in prop::collection::vec(0_usize..5, 1..28),
        seed in any::<u64>(),
    ) {
        let expected = rotated("app.log", kind, generations, &endings);
        let mut files: Vec<Found> = expected
            .iter()
            // Times that say nothing.
            .map(|name| file(&format!("/l/{name}"), seed % (name.len() as u64 + 1)))
            .collect();
        shuffle(&mut files, seed);
        prop_assert_eq!(names_of(logs(files)), [expected]);
    }

    #[test]
    fn every_file_comes_out_once_in_an_order_that_its_listing_does_not_change(
        names in prop::collection::btree_set("[a-c0-2]{1,3}(\\.log)?([-.](20261120|2026-11-2[0-3]|[0-9]{1,2}|old))?([-.][0-9])?(\\.gz)?", 0..20),
        seed in any::<u64>(),
    ) {
        let files: Vec<Found> = names.iter().map(|name| file(&format!("/l/{name}"), seed % 3)).collect();
        let mut shuffled = files.clone();
        shuffle(&mut shuffled, seed);
        let once = logs(files.clone());
        prop_assert_eq!(&once, &logs(shuffled));
        let mut out: Vec<Found> = once.into_iter().flat_map(|log| log.files).collect();
        out.sort_by(|a, b| a.path.cmp(&b.path));
        prop_assert_eq!(out, files);
    }

    #[test]
    fn natural_order_is_an_order(a in "[a0-2]{0,4}", b in "[a0-2]{0,4}", c in "[a0-2]{0,4}") {
        let compare = |one: &str, other: &str| natural(one.as_bytes(), other.as_bytes());
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        prop_assert_eq!(compare(&a, &b) == Ordering::Equal, a == b);
        if compare(&a, &b) == Ordering::Less && compare(&b, &c) == Ordering::Less {
            prop_assert_eq!(compare(&a, &c), Ordering::Less);
        }
    }
}

fn shuffle(files: &mut [Found], mut seed: u64) {
    for last in (1..files.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        files.swap(
            last,
            usize::try_from((seed >> 33) % (last as u64 + 1)).unwrap(),
        );
    }
}
