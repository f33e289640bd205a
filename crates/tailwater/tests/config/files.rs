//! Files that are no configuration.

use std::io::Write as _;
use std::path::Path;

use tailwater::config;

fn refused(path: &Path) -> (String, String) {
    let error = config::load(path, None).unwrap_err();
    let name = path.display().to_string();
    (error.to_string().replace(&name, "FILE"), error.hint)
}

fn refused_bytes(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    refused(file.path()).0
}

#[test]
fn a_missing_file_is_told_from_an_unreadable_one() {
    let (text, hint) = refused(Path::new("/nowhere/tailwater.yaml"));
    assert_eq!(text, "FILE: cannot open it: there is no such file");
    assert!(hint.contains("--config FILE"), "{hint}");
}

#[test]
fn a_directory_is_no_configuration() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(
        refused(folder.path()).0,
        "FILE: it is a directory, not a file"
    );
}

#[test]
fn an_empty_file_and_one_of_comments_say_nothing() {
    for text in [
        "",
        "\n \n",
        "# all of it\n  # is commented out\n",
        "\u{feff}",
    ] {
        assert_eq!(
            refused_bytes(text.as_bytes()),
            "FILE: the configuration is empty",
            "{text:?}"
        );
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_named_by_line_and_offset() {
    assert_eq!(
        refused_bytes(b"data_dir: /a\nworkers: \xff1\n"),
        "FILE: line 2 is not UTF-8 text, at byte 22 of the file"
    );
}

#[test]
fn a_file_over_the_limit_is_not_read() {
    let text = "#".repeat(1 << 20);
    assert_eq!(
        refused_bytes(text.as_bytes()),
        "FILE: the configuration is empty"
    );
    assert_eq!(
        refused_bytes(format!("{text}#").as_bytes()),
        "FILE: it is larger than 1 MiB"
    );
    assert_eq!(
        refused(Path::new("/dev/zero")).0,
        "FILE: it is larger than 1 MiB"
    );
}

#[test]
fn an_error_in_a_file_names_the_file() {
    let text = refused_bytes(b"workers: many\n");
    assert!(
        text.contains("FILE:1:10: `workers` has the wrong kind of value"),
        "{text}"
    );
}
