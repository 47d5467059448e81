use weir_runtime::config::{ConfigError, Document};

use super::*;

fn rules(text: &str) -> Result<Vec<AgentRule>, ConfigError> {
    Document::parse("gateway.yaml", text, "WEIR_TEST", [])?.read(read)
}

fn labels(env: &str) -> HashMap<String, String> {
    HashMap::from([("env".to_owned(), env.to_owned())])
}

const RULES: &str = r#"agents:
  - settings: {netflow: {period: 10s, nat: {enabled: false}}}
  - match: {host: "web-*"}
    settings: {netflow: {period: 5s}}
  - match: {host: "*-1", label.env: prod}
    settings: {dnsflow: {enabled: false}}
"#;

#[test]
fn an_agent_gets_what_every_rule_for_it_sets_and_the_last_one_wins() {
    let settings = AgentSettings::new(rules(RULES).expect("rules"));
    let of = |host, env| {
        let sent = settings.offer(host, labels(env)).due();
        sent.map(|sent| sent.yaml).unwrap_or_default()
    };
    let all = "netflow:\n  period: 10s\n  nat:\n    enabled: false\n";
    assert_eq!(of("db-2", "prod"), all);
    let web = all.replace("10s", "5s");
    assert_eq!(of("web-1", "test"), web);
    assert_eq!(
        of("web-1", "prod"),
        format!("{web}dnsflow:\n  enabled: false\n")
    );
}

#[test]
fn an_agent_is_told_of_changes_that_concern_it_and_of_nothing_else() {
    let settings = AgentSettings::new(rules(RULES).expect("rules"));
    let mut web = settings.offer("web-1", labels("test"));
    let mut db = settings.offer("db-1", labels("test"));
    let (first, _) = (web.due().expect("settings"), db.due().expect("settings"));
    assert!(web.due().is_none());
    settings.set(rules(&RULES.replace("5s", "7s")).expect("rules"));
    let second = web.due().expect("other settings");
    assert!(second.revision > first.revision);
    assert!(second.yaml.contains("period: 7s"), "{second:?}");
    assert!(db.due().is_none());
    settings.set(Vec::new());
    assert_eq!(web.due().expect("taken back").yaml, "");
    assert!(settings.offer("new", labels("prod")).due().is_none());
}

#[test]
fn mistakes_in_rules_are_found_when_the_gateway_reads_them() {
    let text = "agents:\n  - match: {hots: a}\n    settings: {gateway: b}\n  - settings: 7\n";
    let error = rules(text).expect_err("mistakes").to_string();
    for line in [
        "gateway.yaml:2:12: agents[0].match: `hots` is neither `host` nor `label.<name>`",
        "gateway.yaml:3:16: agents[0].settings.gateway: unknown; there are netflow, dnsflow",
        "gateway.yaml:4:15: agents[1].settings: expected a group of keys, found a single value",
    ] {
        assert!(error.contains(line), "{line} in {error}");
    }
}

#[test]
fn a_star_is_any_text() {
    for (pattern, text) in [
        ("*", ""),
        ("web-*", "web-"),
        ("*-1", "web-1"),
        ("a*b*c", "axbybzc"),
        ("a**c", "abc"),
        ("same", "same"),
    ] {
        assert!(fits(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("", "a"),
        ("web-*", "web"),
        ("ab*ba", "aba"),
        ("a*b*c", "acb"),
        ("same", "samen"),
    ] {
        assert!(!fits(pattern, text), "{pattern} {text}");
    }
}
