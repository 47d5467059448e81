//! The references in the book name everything there is, and nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use weir_gateway::{
    Config, agents,
    profile::{Group, NATIVE, SEMCONV, Scope, naming},
    self_metrics,
};
use weir_runtime::config::Document;

use crate::support::{Agent, flow, gateway, scrape};

/// The rows of all tables of a page, cell by cell.
fn rows(page: &str) -> Vec<Vec<String>> {
    let file = format!("{}/../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    };
    text.lines()
        .filter(|line| line.starts_with("| `"))
        .map(cells)
        .collect()
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn list(items: impl IntoIterator<Item = &'static str>) -> String {
    items.into_iter().map(code).collect::<Vec<_>>().join(", ")
}

/// Fails with the rows to add and to remove.
fn assert_same(documented: BTreeSet<Vec<String>>, wanted: BTreeSet<Vec<String>>) {
    let lines = |rows: Vec<&Vec<String>>| {
        let line = |row: &Vec<String>| format!("| {} |", row.join(" | "));
        rows.into_iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let missing = lines(wanted.difference(&documented).collect());
    let unknown = lines(documented.difference(&wanted).collect());
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "missing:\n{missing}\nnot in the code:\n{unknown}"
    );
}

#[test]
fn every_metric_of_the_gateway_itself_is_documented() {
    let wanted = self_metrics::ALL.iter().map(|metric| {
        vec![
            code(metric.name),
            metric.kind.word().to_owned(),
            list(metric.labels.iter().copied()),
            metric.help.to_owned(),
        ]
    });
    let documented = rows("metrics.md")
        .into_iter()
        .filter(|row| row[0].starts_with("`weir_gateway_"));
    assert_same(documented.collect(), wanted.collect());
}

#[test]
fn every_flow_metric_is_documented_with_its_names_and_unit() {
    let profiles = [&SEMCONV, &NATIVE].into_iter();
    let groups = profiles.flat_map(|profile| profile.data_sets.iter().flat_map(|set| set.groups));
    let documented = rows("metrics.md").into_iter().filter(|row| row.len() == 6);
    assert_same(documented.collect(), groups.flat_map(families).collect());
}

fn families(group: &'static Group) -> Vec<Vec<String>> {
    let mut fields = BTreeMap::<&str, Vec<&str>>::new();
    for counter in group.counters {
        fields.entry(counter.name).or_default().push(counter.field);
    }
    let row = |name, unit, kind: naming::Kind, fields: Vec<&'static str>, help: &str| {
        vec![
            code(name),
            code(&naming::metric(name, unit, kind)),
            kind.word().to_owned(),
            code(unit),
            list(fields),
            help.to_owned(),
        ]
    };
    let counters = group.counters.iter().map(|counter| {
        let fields = fields[counter.name].clone();
        row(
            counter.name,
            counter.unit,
            naming::Kind::Counter,
            fields,
            counter.help,
        )
    });
    let gauges = group.gauges.iter().map(|gauge| {
        row(
            gauge.name,
            gauge.unit,
            naming::Kind::Gauge,
            vec![gauge.field],
            gauge.help,
        )
    });
    let histograms = group.histograms.iter().map(|histogram| {
        row(
            histogram.name,
            histogram.unit,
            naming::Kind::Histogram,
            vec![histogram.buckets, histogram.sum, histogram.max],
            histogram.help,
        )
    });
    counters.chain(gauges).chain(histograms).collect()
}

#[test]
fn every_attribute_is_documented_with_its_tag_and_label() {
    let attributes = SEMCONV.data_sets.iter().flat_map(|set| {
        let split = set
            .groups
            .iter()
            .filter_map(|group| group.split_by.as_ref());
        set.attributes().chain(split)
    });
    let wanted: BTreeSet<Vec<String>> = attributes
        .map(|a| {
            let label = match a.scope {
                Scope::Record => String::new(),
                Scope::Resource | Scope::Series | Scope::Server => code(&naming::label(a.name)),
            };
            vec![code(a.tag), code(a.name), label]
        })
        .collect();
    let documented = rows("metrics.md")
        .into_iter()
        .filter(|row| row.len() == 4 && !row[0].starts_with("`weir"))
        .map(|row| row[..3].to_vec());
    let documented = documented.filter(|row| row[1].starts_with('`'));
    assert_same(documented.collect(), wanted);
}

#[test]
fn every_agent_metric_is_documented() {
    let documented: BTreeSet<String> = rows("metrics.md")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    for name in agents::METRICS {
        assert!(documented.contains(&code(name)), "{name}");
    }
}

#[test]
fn every_key_is_documented_with_its_default() {
    let wanted = Document::keys(Config::read).into_iter().map(|key| {
        let default = key
            .default
            .map_or("off".to_owned(), |default| code(&default));
        vec![code(&key.path), default]
    });
    let pages = [
        "gateway-configuration.md",
        "geoip.md",
        "otlp-receiver.md",
        "otlp-exporter.md",
        "scripts.md",
        "span-metrics.md",
    ];
    // The pages have other tables, too; only keys have a dot, but for one, and names of metrics.
    let documented = pages
        .into_iter()
        .flat_map(rows)
        .filter(|row| {
            let begins = |with| row[0].starts_with(with);
            let is_key = row[0].contains('.') || row[0] == "`routes`";
            is_key && !begins("`traces.") && !begins("`.")
        })
        .map(|row| row[..2].to_vec());
    assert_same(documented.collect(), wanted.collect());
}

#[test]
fn the_example_says_the_defaults() {
    let read = |text| {
        let document =
            Document::parse("gateway.yaml", text, weir_gateway::config::ENV_PREFIX, []).unwrap();
        document.read(Config::read).unwrap()
    };
    let example = read(include_str!("../../../docker/config/gateway.yaml"));
    assert_eq!(format!("{example:#?}"), format!("{:#?}", read("")));
}

#[tokio::test]
async fn nothing_undocumented_is_on_metrics() {
    let gateway = gateway("").await;
    let mut agent = Agent::connect(gateway.flow, "a", 1).await;
    agent.deliver(1, vec![flow(443)]).await;
    let documented: BTreeSet<String> = rows("metrics.md").into_iter().flatten().collect();
    for name in scrape(gateway.prometheus).await.types.keys() {
        assert!(documented.contains(&code(name)), "{name}");
    }
}
