//! The power is cut: the disk holds what was synced, and some of what was not.
//!
//! A copy of a mounted image is what its disk holds at that moment: mounting the copy replays the file
//! system's journal, as after a power cut. Logs, positions, intents and spill stand on it together. What
//! is to be delivered is what the copy still has of the logs. The disk's own cache is not modelled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tailwater_testkit::fault_sink::{Mode, SinkState};
use tailwater_testkit::line::parse_line;
use tailwater_testkit::writer::{LogWriter, WriterOptions, Written};

use crate::mount::{Mount, ext4_image, privileged};
use crate::rig::{DEADLINE, Rig, stop, wait_settled};

/// Moments at which the power is cut; the sink is down through every other one.
const CUTS: u64 = 8;

/// A rig whose logs and data directory stand on an image.
struct DiskRig {
    rig: Rig,
    image: PathBuf,
    disk: PathBuf,
}

impl DiskRig {
    fn new() -> Self {
        let mut rig = Rig::new("", "");
        let directory = rig.directory.path();
        let (image, disk) = (directory.join("disk.img"), directory.join("disk"));
        ext4_image(&image, 64 << 20);
        let logs = directory.join("logs").display().to_string();
        let on_disk = disk.join("logs").display().to_string();
        rig.config = rig
            .config
            .replace(&logs, &on_disk)
            .replace("data_dir: data", "data_dir: disk/data");
        rig.config.insert_str(0, "checkpoint_interval: 50ms\n");
        // A small queue: a sink that is down has most of it spilled.
        rig.config.push_str(
            "    queue: { max_bytes: 128KiB }\n    when_full: spill\n    spill: { max_bytes: 32MiB }\n",
        );
        Self { rig, image, disk }
    }

    /// Takes what the disk holds now, and puts it in the place of the disk.
    fn cut_power(&self, mut mounted: Mount, kill: impl FnOnce()) -> Mount {
        let copy = self.image.with_extension("copy");
        let cp = |from: &Path, to: &Path| {
            privileged(Command::new("cp").arg("--sparse=never").arg(from).arg(to));
        };
        cp(&self.image, &copy);
        kill();
        mounted.detach();
        let after = self.image.with_extension("after");
        cp(&copy, &after);
        Mount::image(&after, &self.disk)
    }
}

/// Counts the whole lines of a log that are those which were written, from the first one on.
fn surviving(path: &Path, file: u32) -> Written {
    let bytes = fs::read(path).unwrap_or_default();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let whole = lines.zip(0..).take_while(|(line, seq)| {
        let line = line.strip_suffix(b"\n");
        let id = line.and_then(|line| parse_line(line).ok());
        id.is_some_and(|id| id.file == file && id.seq == *seq)
    });
    let count = whole.count() as u64;
    Written {
        file,
        acked: count,
        attempted: u64::MAX,
    }
}

#[test]
fn what_survives_a_power_cut_is_delivered_and_the_agent_always_starts() {
    for cut in 0..CUTS {
        let on_disk = DiskRig::new();
        let rig = &on_disk.rig;
        let mounted = Mount::image(&on_disk.image, &on_disk.disk);
        let logs = on_disk.disk.join("logs");
        fs::create_dir(&logs).unwrap();
        let paths: Vec<PathBuf> = (0..3)
            .map(|file| logs.join(format!("{file}.log")))
            .collect();
        let mut writers: Vec<LogWriter> = (0..)
            .zip(&paths)
            .map(|(file, path)| LogWriter::open(path, file, WriterOptions::default()).unwrap())
            .collect();
        if cut % 2 == 1 {
            rig.sink.set_fallback(Mode::status(503));
        }
        let mut agent = rig.start();
        for round in 0..=cut {
            for writer in &mut writers {
                writer.write_lines(1500).unwrap();
            }
            // Logs of a real machine reach the disk by and by.
            fs::File::open(&paths[0]).unwrap().sync_all().unwrap();
            if round == cut / 2 {
                wait_until_stored(rig, cut % 2 == 1, &agent);
            }
        }
        let _mounted = on_disk.cut_power(mounted, || {
            assert!(!agent.sigkill().unwrap().success());
        });
        drop(writers);
        let written: Vec<Written> = (0..)
            .zip(&paths)
            .map(|(file, path)| surviving(path, file))
            .collect();
        assert!(written[0].acked > 0, "nothing of the logs survived");
        rig.sink.set_fallback(Mode::commit());
        let mut agent = rig.start();
        let has_all = rig
            .sink
            .wait_until(|state| state.has_all(&written), DEADLINE);
        assert!(
            has_all,
            "cut {cut}:\n{}\n{}",
            rig.verdict(&written),
            agent.log()
        );
        wait_settled(&agent);
        stop(&mut agent);
    }
}

/// Waits until something was stored by the sink, or spilled where that is down.
fn wait_until_stored(rig: &Rig, is_down: bool, agent: &tailwater_testkit::agent::Agent) {
    tailwater_testkit::wait::until_ok(DEADLINE, "something is stored", || {
        let spilled = agent.metrics()?.sum("tailwater_spilled_records", &[]);
        let stored = rig.sink.inspect(SinkState::committed_entries);
        Ok(if is_down { spilled > 0.5 } else { stored > 0 })
    })
    .unwrap();
}
