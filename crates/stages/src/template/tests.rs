use super::*;

#[test]
fn a_template_knows_the_values_it_speaks_of() {
    let mut names = Names::default();
    let template = Template::new(
        "{{ .a }}{{ .b }}{{ .a }}{{ .Value }}{{ .Entry }}",
        &mut names,
    );
    assert_eq!(template.unwrap().fields.len(), 2);
    assert_eq!(names.len(), 2);
}

#[test]
fn space_beside_a_trim_marker_is_removed() {
    let run = |text: &str| {
        let template = Template::new(text, &mut Names::default()).unwrap();
        let labels = tailwater_record::LabelSet::new(std::iter::empty::<(&str, &str)>()).unwrap();
        let time = tailwater_record::TimestampNs(0);
        let start = crate::draft::Start {
            line: b"",
            labels: &labels,
            timestamp: time,
            now: time,
            seed: 0,
            parts: crate::draft::PartsRef::default(),
            lines: 1,
            severity: None,
        };
        let draft = Draft::new(start, crate::draft::Buffers::default());
        let data = Data {
            draft: &draft,
            fields: &[],
            value: Some(b"v"),
            entry: None,
        };
        let mut out = Vec::new();
        template.run(&data, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(run("a {{ .Value }} b"), "a v b");
    assert_eq!(run("a {{- .Value -}} b"), "avb");
    assert_eq!(run("a {{-\n.Value -}}\n b"), "avb");
    assert_eq!(run("{{ -3 }}{{ 1.5 }}"), "-31.5");
}
