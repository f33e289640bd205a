//! Files of targets: any bytes give targets or one sentence on why not.

use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::json;
use tailwater_promtail::{Flags, Host, Loaded, load_text};

/// The one file that is read: of this process.
static PATH: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("tailwater-fuzz-targets-{}.yaml", std::process::id());
    std::env::temp_dir().join(name)
});

/// Held while the file stands for an input: several are replayed at once.
static TURN: Mutex<()> = Mutex::new(());

static LOADED: LazyLock<Loaded> = LazyLock::new(|| {
    let config = json!({
        "clients": [{"url": "http://127.0.0.1/"}],
        "scrape_configs": [{"job_name": "fuzz", "file_sd_configs": [{"files": [*PATH]}]}],
    });
    load_text(
        &config.to_string(),
        None,
        &Flags::default(),
        &Host::default(),
    )
    .expect("it is right")
});

#[expect(
    clippy::disallowed_methods,
    reason = "the file need not outlive a power cut"
)]
pub(crate) fn run(bytes: &[u8]) {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    std::fs::write(&*PATH, bytes).expect("the directory for temporary files can be written");
    let found = LOADED.targets();
    std::fs::remove_file(&*PATH).expect("it was written just now");
    if found.unreadable.is_empty() {
        assert!(found.targets.iter().all(|target| !target.path.is_empty()));
    } else {
        assert_eq!(found.unreadable.len(), 1);
        assert!(found.targets.is_empty() && found.dropped.is_empty());
    }
}
