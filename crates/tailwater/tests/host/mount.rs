//! File systems of the tests' own: mounted for one test, and gone with it.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a command that needs the right to mount.
///
/// # Panics
/// It fails: a test that could not make its fault has shown nothing.
#[track_caller]
pub(crate) fn privileged(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed, {}: {}\nthis test mounts file systems: it needs root with CAP_SYS_ADMIN \
         and loop devices (a container: --privileged)",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
}

/// A mounted file system; unmounted when it is dropped.
#[derive(Debug)]
pub(crate) struct Mount {
    path: PathBuf,
    is_mounted: bool,
}

impl Mount {
    /// Mounts an empty file system in memory; makes the directory.
    #[track_caller]
    pub(crate) fn tmpfs(path: &Path, options: &str) -> Self {
        fs::create_dir_all(path).unwrap();
        Self::with(path, |mount| {
            mount.args(["-t", "tmpfs", "-o", options, "tmpfs"])
        })
    }

    /// Mounts a directory in another place too; makes that place.
    #[track_caller]
    pub(crate) fn bind(source: &Path, path: &Path) -> Self {
        fs::create_dir_all(path).unwrap();
        Self::with(path, |mount| mount.arg("--bind").arg(source))
    }

    /// Mounts an image; makes the directory.
    #[track_caller]
    pub(crate) fn image(image: &Path, path: &Path) -> Self {
        fs::create_dir_all(path).unwrap();
        Self::with(path, |mount| mount.args(["-o", "loop,noatime"]).arg(image))
    }

    /// Mounts what `arguments` say at `path`.
    #[track_caller]
    pub(crate) fn with(path: &Path, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        privileged(arguments(&mut Command::new("mount")).arg(path));
        Self {
            path: path.to_owned(),
            is_mounted: true,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Changes the options.
    #[track_caller]
    pub(crate) fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        privileged(Command::new("mount").args(["-o", &options]).arg(&self.path));
    }

    /// Takes it out of the directory tree, used or not; what is open stays open.
    #[track_caller]
    pub(crate) fn detach(&mut self) {
        self.is_mounted = false;
        privileged(&mut self.umount());
    }

    fn umount(&self) -> Command {
        let mut umount = Command::new("umount");
        umount.arg("--lazy").arg(&self.path);
        umount
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.is_mounted {
            // Nothing can be done about a mount that stays.
            drop(self.umount().status());
        }
    }
}

/// Makes an image of this size with an empty ext4 in it.
#[track_caller]
pub(crate) fn ext4_image(path: &Path, bytes: u64) {
    let file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(path)
        .unwrap();
    file.set_len(bytes).unwrap();
    privileged(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(path));
}

/// A file that takes all the space there is left; gives it back when it is dropped.
#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// Fills the file system of a directory.
    #[track_caller]
    pub(crate) fn fill(directory: &Path) -> Self {
        let ballast = Self {
            path: directory.join("ballast"),
        };
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&ballast.path)
            .unwrap();
        let full = loop {
            if let Err(error) = file.write_all(&[b'x'; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
        ballast
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        // It goes with its file system at the latest.
        drop(fs::remove_file(&self.path));
    }
}

/// The second half of the device under a mounted image, taken away: reads of it fail with `EIO`.
#[derive(Debug)]
pub(crate) struct LostBlocks {
    image: File,
    lost: Vec<u8>,
    kept: u64,
}

impl LostBlocks {
    /// Takes the blocks from `kept` bytes on. The file system must be read-only by now: a write would
    /// bring blocks back, as zeros.
    #[track_caller]
    pub(crate) fn take(image: &Path, kept: u64) -> Self {
        let image = OpenOptions::new()
            .read(true)
            .write(true)
            .open(image)
            .unwrap();
        let len = image.metadata().unwrap().len();
        let mut lost = vec![0; usize::try_from(len - kept).unwrap()];
        image.read_exact_at(&mut lost, kept).unwrap();
        image.set_len(kept).unwrap();
        Self { image, lost, kept }
    }

    /// Puts them back.
    pub(crate) fn put_back(self) {
        self.image.write_all_at(&self.lost, self.kept).unwrap();
    }
}

/// Makes the kernel forget what it has read of a file, so that it is read from its device again.
#[track_caller]
pub(crate) fn forget_cached(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

/// Sends a signal to a process that a test has started.
#[track_caller]
pub(crate) fn signal(name: &str, process: u32) {
    let status = Command::new("kill")
        .args([OsStr::new(name), OsStr::new(&process.to_string())])
        .status()
        .unwrap();
    assert!(status.success(), "kill {name}: {status}");
}
