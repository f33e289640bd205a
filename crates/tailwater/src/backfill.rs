//! `tailwater backfill`.

mod arguments;
mod find;
mod moment;
mod order;

pub use arguments::BackfillArguments;
