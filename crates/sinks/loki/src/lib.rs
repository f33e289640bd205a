//! The Loki sink: push API, protobuf with snappy or JSON with gzip.
