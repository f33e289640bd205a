//! The file sink: NDJSON or text to a file or the standard output.
