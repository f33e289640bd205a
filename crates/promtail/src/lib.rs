//! Promtail's flags and its configuration, read strictly and written in the native form.
//!
//! The way of a configuration: [`Flags`] says which file, [`load()`] reads and checks all of it,
//! [`Loaded::targets`] says which files it names now, and [`convert()`] writes the native text, with a
//! comment on everything that means something else there. Only that text is ever run.
//!
//! # Invariants
//! - Every key that Promtail knows is known here; one that cannot be kept is an error or a note, never
//!   nothing.
//! - The same configuration with the same targets gives the same text.
//! - No error, note or debug output holds a secret or what a variable holds.

mod check;
mod convert;
mod effective;
mod emit;
mod envsubst;
mod flags;
mod guide;
mod load;
mod model;
mod quantity;
mod relabel;
mod targets;

pub use convert::{Native, convert};
pub use effective::{effective_clients, effective_config};
pub use flags::{FlagError, Flags, is_promtail_flag};
pub use load::{GlobCheck, Host, Loaded, is_promtail, load, load_text};
pub use targets::{DropReason, Dropped, Target, Targets, Watched};
