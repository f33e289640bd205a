//! A YAML text as a tree in which every value knows its place.
//!
//! [`read`](read()) makes the tree, [`shape`] reads typed structs out of it, strictly, and a [`Checker`]
//! collects what is wrong as [`Diagnostic`]s: the message, the line it is about with its secrets
//! masked, and what to do. This crate knows no configuration: keys and their examples come from its
//! caller, as a [`Guide`].

mod checker;
mod diagnostic;
mod hidden;
mod mask;
mod nearest;
mod read;
pub mod shape;
mod source_text;
mod tree;

pub use checker::{Checker, Guide};
pub use diagnostic::{ConfigError, Diagnostic};
pub use hidden::Hidden;
pub use mask::is_secret_name;
pub use nearest::nearest;
pub use read::read;
pub use source_text::read_file;
pub use tree::{Entry, KeyPath, Node, NodeKind, Part, Place, Scalar, Step};
