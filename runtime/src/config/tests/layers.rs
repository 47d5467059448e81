//! Stories of settings that lie over a file, and of parts that are handed on unread.

use std::time::Duration;

use crate::config::{ConfigError, Document, Section, Tree};

#[derive(Debug, PartialEq)]
struct Settings {
    gateway: String,
    period: Duration,
    ports: Vec<u16>,
}

fn settings(root: &mut Section<'_>) -> Settings {
    let gateway = root.or("gateway", "here".to_owned());
    let mut collector = root.section("collector");
    let period = collector.or("period", Duration::from_secs(10));
    if period.is_zero() {
        collector.mistake("period", "must be longer than nothing");
    }
    Settings {
        gateway,
        period,
        ports: collector.list("ports"),
    }
}

fn layered(file: &str, over: &str, env: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let layer = Document::parse("the settings", over, "", [])?;
    Document::parse("weir.yaml", file, "WEIR_TEST", env)?
        .under(layer, &["collector"])
        .read(settings)
}

#[test]
fn settings_win_over_the_file_key_by_key_and_variables_win_over_both() {
    let file = "gateway: there\ncollector: {period: 1s, ports: [1, 2]}\n";
    let read = layered(file, "collector: {period: 2s}", &[]).expect("no mistake");
    assert_eq!(read.gateway, "there");
    assert_eq!(read.period, Duration::from_secs(2));
    assert_eq!(read.ports, [1, 2]);

    let read = layered(file, "collector: {ports: [3]}", &[]).expect("no mistake");
    assert_eq!(read.ports, [3], "a list is replaced as a whole");

    let env = [("WEIR_TEST_COLLECTOR_PERIOD", "3s")];
    let read = layered(file, "collector: {period: 2s}", &env).expect("no mistake");
    assert_eq!(read.period, Duration::from_secs(3));
    let read = layered(file, "collector:", &[]).expect("no mistake");
    assert_eq!(read.ports, [1, 2], "an empty section changes nothing");
}

#[test]
fn every_mistake_names_the_layer_that_it_is_in() {
    let file = "collector:\n  ports: [many]\n";
    let over = "gateway: elsewhere\ncollector:\n  perod: 1s\n  period: 0s\n";
    let error = layered(file, over, &[]).expect_err("mistakes").to_string();
    for line in [
        "weir.yaml:2:11: collector.ports[0]: expected",
        "the settings:1:1: gateway: may not be set here; only collector may",
        "the settings:3:3: collector.perod: unknown key; did you mean `period`?",
        "the settings:4:11: collector.period: must be longer than nothing",
    ] {
        assert!(error.contains(line), "{line} in {error}");
    }
}

/// What is to match, and what is handed on.
type Rule = (Vec<(String, String)>, Tree);

fn rules(root: &mut Section<'_>) -> Vec<Rule> {
    root.items("rules", |rule| {
        (rule.map("match"), rule.tree("settings", &["a", "b"]))
    })
}

fn read_rules(text: &str) -> Result<Vec<Rule>, ConfigError> {
    Document::parse("weir.yaml", text, "WEIR_TEST", [])?.read(rules)
}

#[test]
fn what_is_handed_on_means_the_same_to_its_reader() {
    let text = r#"rules:
  - match: {host: "web-*", label.env: prod}
    settings:
      a:
        b: {c: 5s, "d e": 'it''s: "x"'}
        f: [1, "null", {g: h}, []]
        i:
        j: "~"
        "k\nl": "\u2028\0"
        m: {}
  - settings: {a: {n: {o: yes}}}
"#;
    let read = read_rules(text).expect("no mistake");
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].0[1], ("label.env".to_owned(), "prod".to_owned()));
    let mut tree = read[0].1.clone();
    tree.overlay(&read[1].1);
    let written = tree.to_string();
    let indented = written.replace('\n', "\n    ");
    let again = format!(
        "rules:\n  - settings:\n      {}",
        indented.replace("\n  ", "\n    ")
    );
    let again = read_rules(&again).unwrap_or_else(|error| panic!("{error} in\n{again}"));
    assert_eq!(again[0].1.to_string(), written);
    for line in ["f: [1, \"null\", {g: h}, []]", "j: \"~\"", "o: yes", "i: ~"] {
        assert!(written.contains(line), "{line} in\n{written}");
    }
}

#[test]
fn a_mistake_in_a_list_of_groups_is_reported_with_its_place() {
    let text = "rules:\n  - mtch: {}\n  - 7\n  - settings: {c: 1}\n";
    let error = read_rules(text).expect_err("mistakes").to_string();
    for line in [
        "weir.yaml:2:5: rules[0].mtch: unknown key; did you mean `match`?",
        "weir.yaml:3:5: rules[1]: expected a group of keys, found a single value",
        "weir.yaml:4:16: rules[2].settings.c: unknown; there are a, b",
    ] {
        assert!(error.contains(line), "{line} in {error}");
    }
    let error = read_rules("rules: {}").expect_err("a mistake").to_string();
    assert!(error.contains("rules: expected a list"), "{error}");
    let keys: Vec<String> = Document::keys(rules).into_iter().map(|k| k.path).collect();
    assert_eq!(keys, ["rules[].match", "rules[].settings"]);
}
