//! Promtail's flags, an argument each line: taken or refused, never with a value in the refusal.

use tailwater_promtail::{FlagError, Flags, is_promtail_flag};

/// Long enough that no input says it.
const SECRET: &str = "s3cr3t-of-a-flag-that-nobody-writes";

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let arguments: Vec<String> = text.lines().map(|line| line.replace('@', SECRET)).collect();
    let parse = || Flags::parse(arguments.iter().cloned());
    match (parse(), parse()) {
        (Ok(one), Ok(other)) => {
            let words = format!("{one:?}");
            assert_eq!(words, format!("{other:?}"));
        }
        (Err(one), Err(other)) => {
            assert_eq!(one.to_string(), other.to_string());
            if let FlagError::BadValue { .. } | FlagError::NoValue { .. } = one {
                assert!(!one.to_string().contains(SECRET));
            }
        }
        (one, other) => unreachable!("{:?} and {:?}", one.is_ok(), other.is_ok()),
    }
    for argument in &arguments {
        if is_promtail_flag(argument) {
            assert!(argument.starts_with('-'));
        }
    }
}
