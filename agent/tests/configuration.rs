//! The configuration reference says what the code does.

use weir_agent::config::{Config, ENV_PREFIX};
use weir_runtime::config::Document;

#[test]
fn the_reference_has_every_key_with_its_default() {
    let page = include_str!("../../docs/agent-configuration.md");
    let keys = Document::keys(Config::read);
    assert!(!keys.is_empty());
    for key in &keys {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` |", key.path)));
        let row = row.unwrap_or_else(|| panic!("docs/agent-configuration.md lacks `{}`", key.path));
        if let Some(default) = &key.default {
            assert!(
                row.contains(&format!("| `{default}` |")),
                "default of `{}` is {default}: {row}",
                key.path
            );
        }
    }
    let rows = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(
        rows,
        keys.len(),
        "the page has keys that the code does not know"
    );
}

#[test]
fn the_example_says_the_defaults() {
    let read = |text| {
        let document = Document::parse("agent.yaml", text, ENV_PREFIX, []).unwrap();
        document.read(Config::read).unwrap()
    };
    let example = read(include_str!("../../docker/config/agent.yaml"));
    assert_eq!(format!("{example:#?}"), format!("{:#?}", read("")));
}

#[test]
fn a_gateway_without_a_port_is_refused() {
    let document = Document::parse("agent.yaml", "gateway: somewhere\n", ENV_PREFIX, []).unwrap();
    let error = document.read(Config::read).unwrap_err().to_string();
    assert!(
        error.contains("agent.yaml:1") && error.contains("HOST:PORT"),
        "{error}"
    );
}
