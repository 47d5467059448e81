//! Stories of sections whose names the writer chooses.

use crate::config::{ByteSize, ConfigError, Document, Section};

/// Sizes by name, and what each section is missing.
fn sizes(text: &str, env: &[(&str, &str)]) -> Result<Vec<(String, ByteSize)>, ConfigError> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Document::parse("weir.yaml", text, "WEIR_TEST", env)?.read(named_sizes)
}

fn named_sizes(root: &mut Section<'_>) -> Vec<(String, ByteSize)> {
    root.sections("exporters", |_name, section| {
        section.section("queue").or("size", ByteSize(1))
    })
}

#[test]
fn sections_can_have_names_that_the_writer_chooses() {
    assert_eq!(sizes("", &[]).expect("none"), []);
    let text = "exporters:\n  main: {queue: {size: 2KiB}}\n  far-away:\n";
    let of = |name: &str, bytes| (name.to_owned(), ByteSize(bytes));
    let read = sizes(text, &[]).expect("a good file");
    assert_eq!(read, [of("main", 2048), of("far-away", 1)]);

    let env = [("WEIR_TEST_EXPORTERS_FAR_AWAY_QUEUE_SIZE", "3B")];
    let read = sizes(text, &env).expect("a good override");
    assert_eq!(read, [of("main", 2048), of("far-away", 3)]);
}

#[test]
fn a_mistake_in_a_named_section_is_reported_like_any_other() {
    let text = "exporters:
  main: {queue: {size: big, depth: 1}, colour: red}
  Main: {queue: {size: 1B}}
  flat: 7
";
    let error = sizes(text, &[]).expect_err("mistakes").to_string();
    for line in [
        "weir.yaml:2:24: exporters.main.queue.size: expected a size",
        "weir.yaml:2:29: exporters.main.queue.depth: unknown key",
        "weir.yaml:2:40: exporters.main.colour: unknown key",
        "weir.yaml:3:3: exporters.Main: a name is made of a-z",
        "weir.yaml:4:9: exporters.flat: expected a group of keys, found a single value",
    ] {
        assert!(error.contains(line), "{line}\nis not in\n{error}");
    }
    let env = [("WEIR_TEST_EXPORTERS_OTHER_QUEUE_SIZE", "3B")];
    let error = sizes(text, &env).expect_err("no such section").to_string();
    assert!(error.contains("overrides no known key"), "{error}");
}

#[test]
fn the_reference_shows_the_keys_of_a_named_section_once() {
    let keys = Document::keys(named_sizes);
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].path, "exporters.<name>.queue.size");
    assert_eq!(keys[0].default.as_deref(), Some("1B"));
}

#[test]
fn a_list_has_a_default_until_it_is_given_even_as_an_empty_one() {
    let read = |text: &str, env: &[(&str, &str)]| {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Document::parse("weir.yaml", text, "WEIR_TEST", env)
            .and_then(|file| file.read(signals))
            .expect("a good file")
    };
    assert_eq!(read("", &[]), (false, vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(read("part: {of: []}", &[]), (true, vec![]));
    assert_eq!(read("part: {of: [c]}", &[]), (true, vec!["c".to_owned()]));
    let one = read("part: {of: c}", &[]);
    assert_eq!(one, (true, vec!["c".to_owned()]), "one alone is enough");
    let env = [("WEIR_TEST_PART_OF", "d, e")];
    assert_eq!(
        read("part:", &env),
        (true, vec!["d".to_owned(), "e".to_owned()])
    );
    let keys = Document::keys(signals);
    assert_eq!(keys[0].default.as_deref(), Some("[a, b]"));
}

fn signals(root: &mut Section<'_>) -> (bool, Vec<String>) {
    let mut part = root.section("part");
    let default = vec!["a".to_owned(), "b".to_owned()];
    (part.is_given(), part.list_or("of", default))
}

#[test]
fn a_key_that_is_gone_is_refused_once_and_says_where_to_go() {
    let read = |text: &str| {
        let document = Document::parse("weir.yaml", text, "WEIR_TEST", [])?;
        document.read(|root| root.gone("old", "is now `new`"))
    };
    read("").expect("nothing wrong");
    let error = read("old: {a: 1, b: 2}").expect_err("gone").to_string();
    assert!(
        error.contains("weir.yaml:1:6: old: is now `new`"),
        "{error}"
    );
    assert!(!error.contains("unknown"), "{error}");
    assert_eq!(Document::keys(|root| root.gone("old", "")), []);
}

#[test]
fn lists_can_have_names_that_the_writer_chooses() {
    let read = |text: &str, env: &[(&str, &str)]| {
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Document::parse("weir.yaml", text, "WEIR_TEST", env)?
            .read(|root| root.lists::<u16>("ports"))
    };
    let of = |name: &str, ports: &[u16]| (name.to_owned(), ports.to_vec());
    assert_eq!(read("", &[]).expect("none"), []);
    let text = "ports:\n  web: [80, 443]\n  mail: 25\n  none:\n";
    let lists = read(text, &[]).expect("lists");
    assert_eq!(
        lists,
        [of("web", &[80, 443]), of("mail", &[25]), of("none", &[])]
    );
    let lists = read(text, &[("WEIR_TEST_PORTS_MAIL", "25,465")]).expect("lists");
    assert_eq!(lists[1], of("mail", &[25, 465]));
    let error = read("ports: {web: [x], Mail: [1]}", &[])
        .expect_err("mistakes")
        .to_string();
    for line in [
        "1:15: ports.web[0]: expected a whole number",
        "1:19: ports.Mail: a name is made of",
    ] {
        assert!(error.contains(line), "{line}\nis not in\n{error}");
    }
    let keys = Document::keys(|root| root.lists::<u16>("ports"));
    assert_eq!(
        (keys[0].path.as_str(), keys[0].default.as_deref()),
        ("ports.<name>", Some("[]"))
    );
}
