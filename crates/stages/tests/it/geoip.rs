//! `geoip`, with databases made here.

use std::io::Write;

use tailwater_stages::Stages;
use tempfile::NamedTempFile;

use crate::kit::*;
use crate::mmdb::{Value, database};

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn cities() -> Vec<u8> {
    let lyon = Value::Map(vec![
        ("city", Value::names("Lyon")),
        (
            "continent",
            Value::Map(vec![
                ("code", Value::Text("EU")),
                ("names", Value::Map(vec![("en", Value::Text("Europe"))])),
            ]),
        ),
        ("country", Value::names("France")),
        (
            "location",
            Value::Map(vec![
                ("latitude", Value::Double(45.748)),
                ("longitude", Value::Double(-4.85)),
                ("time_zone", Value::Text("Europe/Paris")),
            ]),
        ),
        ("postal", Value::Map(vec![("code", Value::Text("69001"))])),
        (
            "subdivisions",
            Value::Array(vec![
                Value::Map(vec![
                    ("iso_code", Value::Text("ARA")),
                    ("names", Value::Map(vec![("en", Value::Text("Auvergne"))])),
                ]),
                Value::Map(vec![
                    ("iso_code", Value::Text("69")),
                    ("names", Value::Map(vec![("en", Value::Text("Rhône"))])),
                ]),
            ]),
        ),
    ]);
    let equator = Value::Map(vec![
        ("country", Value::names("Nowhere")),
        (
            "location",
            Value::Map(vec![
                ("latitude", Value::Double(0.0)),
                ("longitude", Value::Double(7.0)),
            ]),
        ),
    ]);
    let half = Value::Map(vec![(
        "location",
        Value::Map(vec![("latitude", Value::Double(1.5))]),
    )]);
    let odd = Value::Map(vec![("city", Value::Text("a text, not a map"))]);
    let networks = [
        ("2.2.0.0", 16, lyon),
        ("2001:db8::", 32, equator),
        ("3.3.3.3", 32, half),
        ("4.4.4.0", 24, odd),
    ];
    database("GeoLite2-City", &networks)
}

fn networks() -> Vec<u8> {
    let one = Value::Map(vec![
        ("autonomous_system_number", Value::U32(64_496)),
        ("autonomous_system_organization", Value::Text("Example Net")),
    ]);
    let nameless = Value::Map(vec![("autonomous_system_number", Value::U32(0))]);
    let networks = [("2.2.2.0", 24, one), ("2.2.3.0", 24, nameless)];
    database("GeoLite2-ASN", &networks)
}

fn yaml(file: &NamedTempFile, kind: &str) -> String {
    let path = file.path().display();
    format!(
        "- json: {{ expressions: {{ ip: }} }}\n- geoip: {{ db: '{path}', source: ip, db_type: {kind} }}"
    )
}

/// The labels that a stage makes of a line.
fn labels(bytes: &[u8], kind: &str, line: &str) -> Vec<(String, String)> {
    let file = file(bytes);
    let mut labels = one(&yaml(&file, kind), line).labels;
    labels.retain(|(name, _)| name != "job");
    labels
}

#[track_caller]
fn check(found: &[(String, String)], expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = found
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_city_gives_all_its_labels_and_the_most_specific_subdivision() {
    let expected = [
        ("geoip_city_name", "Lyon"),
        ("geoip_continent_code", "EU"),
        ("geoip_continent_name", "Europe"),
        ("geoip_country_name", "France"),
        ("geoip_location_latitude", "45.748"),
        ("geoip_location_longitude", "-4.85"),
        ("geoip_postal_code", "69001"),
        ("geoip_subdivision_code", "69"),
        ("geoip_subdivision_name", "Rhône"),
        ("geoip_timezone", "Europe/Paris"),
    ];
    check(&labels(&cities(), "city", r#"{"ip":"2.2.9.9"}"#), &expected);
    let mapped = labels(&cities(), "city", r#"{"ip":"::ffff:2.2.9.9"}"#);
    check(&mapped, &expected);
}

#[test]
fn what_a_place_does_not_have_is_no_label() {
    let found = labels(&cities(), "city", r#"{"ip":"2001:db8::7"}"#);
    let expected = [
        ("geoip_country_name", "Nowhere"),
        ("geoip_location_latitude", "0"),
        ("geoip_location_longitude", "7"),
    ];
    check(&found, &expected);
    check(&labels(&cities(), "city", r#"{"ip":"3.3.3.3"}"#), &[]);
}

#[test]
fn a_network_gives_its_number_and_its_organization() {
    let found = labels(&networks(), "asn", r#"{"ip":"2.2.2.2"}"#);
    let expected = [
        ("geoip_autonomous_system_number", "64496"),
        ("geoip_autonomous_system_organization", "Example Net"),
    ];
    check(&found, &expected);
    check(&labels(&networks(), "asn", r#"{"ip":"2.2.3.3"}"#), &[]);
}

#[test]
fn an_address_that_is_unknown_or_none_leaves_the_line_as_it_is() {
    for line in [
        r#"{"ip":"9.9.9.9"}"#,
        r#"{"ip":"fe80::1%eth0"}"#,
        r#"{"ip":"2.2.9"}"#,
        r#"{"ip":""}"#,
        r#"{"ip":null}"#,
        r#"{"ip":2.2}"#,
        "no JSON",
    ] {
        check(&labels(&cities(), "city", line), &[]);
    }
}

#[test]
fn a_record_of_another_shape_is_as_good_as_none() {
    check(&labels(&cities(), "city", r#"{"ip":"4.4.4.4"}"#), &[]);
}

#[test]
fn the_labels_are_no_extracted_values() {
    let file = file(&cities());
    let yaml = format!(
        "{}\n- output: {{ source: geoip_city_name }}",
        yaml(&file, "city")
    );
    let line = r#"{"ip":"2.2.9.9"}"#;
    assert_eq!(one(&yaml, line).line, line);
}

#[test]
fn settings_that_cannot_work_are_refused_by_their_place() {
    let (cities, networks) = (file(&cities()), file(&networks()));
    let text = file(b"not a database");
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &NamedTempFile| file.path().display().to_string();
    let (city, network, text) = (path(&cities), path(&networks), path(&text));
    let folder = folder.path().display().to_string();
    for (settings, key, problem) in [
        (format!("db: '{city}', db_type: city"), "source", "missing"),
        (
            format!("db: '{city}', source: '', db_type: city"),
            "source",
            "empty",
        ),
        ("source: ip, db_type: city".to_owned(), "db", "missing"),
        (format!("db: '{city}', source: ip"), "db_type", "missing"),
        (
            format!("db: '{city}', source: ip, db_type: country"),
            "db_type",
            "unknown",
        ),
        (
            format!("db: '{text}', source: ip, db_type: city"),
            "db",
            "no MaxMind DB",
        ),
        (
            format!("db: '{folder}', source: ip, db_type: city"),
            "db",
            "no file",
        ),
        (
            format!("db: '{folder}/x', source: ip, db_type: asn"),
            "db",
            "No such file",
        ),
        (
            format!("db: '{network}', source: ip, db_type: city"),
            "db_type",
            "GeoLite2-ASN",
        ),
        (
            format!("db: '{city}', source: ip, db_type: asn"),
            "db_type",
            "GeoLite2-City",
        ),
    ] {
        let error = compile_error(&format!("- geoip: {{ {settings} }}"));
        assert_eq!(error.path(), format!("[0].geoip.{key}"));
        assert!(error.problem().contains(problem), "{error}");
        assert!(!error.hint().is_empty());
    }
}

/// A file of numbers that look random, and are the same in every run.
fn noise(seed: &mut u64) -> usize {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*seed >> 33).unwrap()
}

#[test]
fn no_damage_to_a_database_makes_the_agent_panic() {
    let good = cities();
    let marker = good
        .windows(3)
        .position(|bytes| bytes == b"\xab\xcd\xef")
        .unwrap();
    let mut seed = 11;
    let mut refused = 0;
    for round in 0..4000 {
        let mut bad = good.clone();
        for _ in 0..=round % 3 {
            // One in two hits the part that is read when the stages are compiled.
            let from = if round % 2 == 0 { 0 } else { marker };
            let at = from + noise(&mut seed) % (bad.len() - from);
            bad[at] ^= u8::try_from(1 + noise(&mut seed) % 255).unwrap();
        }
        if round % 5 == 0 {
            bad.truncate(noise(&mut seed) % bad.len());
        }
        let file = file(&bad);
        let Ok(compiled) = Stages::compile(&stages(&yaml(&file, "city"))) else {
            refused += 1;
            continue;
        };
        let mut run = Run::new("[]");
        run.worker = compiled.worker();
        for ip in [
            "2.2.9.9",
            "2001:db8::7",
            "3.3.3.3",
            "4.4.4.4",
            "::",
            "255.255.255.255",
        ] {
            run.line(format!("{{\"ip\":\"{ip}\"}}"));
        }
        assert_eq!(run.records.len(), 6);
    }
    assert!(refused > 1000, "{refused}");
}
