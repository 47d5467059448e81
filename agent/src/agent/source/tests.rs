use std::{fs, time::Duration};

use tempfile::TempDir;

use super::*;

fn file(text: &str) -> (TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.yaml");
    fs::write(&path, text).unwrap();
    (folder, Source::new(&path))
}

fn write(folder: &TempDir, text: &str) {
    fs::write(folder.path().join("agent.yaml"), text).unwrap();
}

#[test]
fn settings_of_the_gateway_win_over_the_file_and_outlive_its_changes() {
    let (folder, mut source) = file("netflow: {period: 1s, per_connection: true}\n");
    source.read_file().unwrap();
    let settings = "netflow: {period: 2s}";
    let config = source.read_settings(settings).unwrap();
    assert_eq!(config.netflow.period, Duration::from_secs(2));
    assert!(config.netflow.per_connection);
    source.set_settings(settings.to_owned());

    write(&folder, "netflow: {period: 3s}\n");
    let config = source.read_file().unwrap();
    assert_eq!(config.netflow.period, Duration::from_secs(2));
    assert!(!config.netflow.per_connection);

    let config = source.read_settings("").unwrap();
    assert_eq!(config.netflow.period, Duration::from_secs(3));
}

#[test]
fn a_gateway_may_set_collectors_and_nothing_else() {
    let (_folder, mut source) = file("");
    source.read_file().unwrap();
    let settings = "gateway: 10.0.0.1:4319\nnetflow:\n  perod: 1s\n  period: 1ms\n";
    let mistakes = source.read_settings(settings).unwrap_err();
    assert_eq!(
        mistakes,
        [
            "settings of the gateway:1:1: gateway: may not be set here; \
             only netflow, dnsflow, httpflow, drop may",
            "settings of the gateway:3:3: netflow.perod: unknown key; did you mean `period`?",
            "settings of the gateway:4:11: netflow.period: must be between 100ms and 1h",
        ]
    );
    let mistakes = source.read_settings("netflow: [").unwrap_err();
    assert!(
        mistakes[0].starts_with("settings of the gateway:"),
        "{mistakes:?}"
    );
    let huge = "#".repeat(1 << 20);
    assert!(source.read_settings(&huge).unwrap_err()[0].contains("more than"));
}

#[test]
fn settings_lie_over_the_last_file_that_was_right() {
    let (folder, mut source) = file("netflow: {per_connection: true}\n");
    source.read_file().unwrap();
    write(&folder, "netflow: {per_connection: perhaps}\n");
    assert!(
        source
            .read_file()
            .unwrap_err()
            .to_string()
            .contains("agent.yaml:1:27")
    );
    let config = source.read_settings("netflow: {period: 2s}").unwrap();
    assert!(config.netflow.per_connection);
}
