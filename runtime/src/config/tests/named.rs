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
