//! The file sink: NDJSON or text to a file or the standard output.
//!
//! A batch is appended as it was encoded, and it counts as delivered once the file system says that
//! it is on disk. A batch that could not be written whole is cut off again, so the file holds whole
//! lines only; after a crash, what is left of a torn last line is cut off when the file is opened.
//!
//! The file belongs to the sink: it is locked against a second writer that respects `flock`.

mod append;
mod deliver;
mod encode;
mod failure;
mod json;
mod parts;
mod settings;
mod size;
mod stream;

pub use settings::{FileSettings, Format};
pub use size::ByteSize;
