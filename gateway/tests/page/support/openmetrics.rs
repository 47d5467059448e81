//! OpenMetrics as the parser of Prometheus' Python client reads it. It is strict.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::Value;

const PARSER: &str = r#"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = []
for family in text_string_to_metric_families(sys.stdin.read()):
    samples = []
    for sample in family.samples:
        exemplar = sample.exemplar and [sample.exemplar.labels, sample.exemplar.value, str(sample.exemplar.timestamp)]
        samples.append([sample.name, sample.labels, repr(float(sample.value)), exemplar])
    families.append([family.name, family.type, family.unit, family.documentation, samples])
json.dump(families, sys.stdout)
"#;

/// A metric with its samples.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) unit: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Value,
    pub(crate) value: f64,
    /// Labels, value and time, as JSON.
    pub(crate) exemplar: Value,
}

impl Sample {
    pub(crate) fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels
            .iter()
            .all(|(name, value)| self.labels[*name] == *value)
    }
}

/// Panics with what the parser said if it refuses the page.
pub(crate) fn openmetrics(text: &str) -> Vec<Family> {
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", PARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 is needed");
    let mut input = child.stdin.take().expect("a pipe");
    // It reads everything before it writes.
    input.write_all(text.as_bytes()).expect("python reads");
    drop(input);
    let output = child.wait_with_output().expect("python ends");
    assert!(
        output.status.success(),
        "{} (needed: apt-get install python3-prometheus-client)\n{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    let families: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
    families.iter().map(family).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn family(family: &Value) -> Family {
    let sample = |sample: &Value| Sample {
        name: text(&sample[0]),
        labels: sample[1].clone(),
        value: text(&sample[2]).parse().expect("a number"),
        exemplar: sample[3].clone(),
    };
    let samples = family[4].as_array().expect("samples");
    Family {
        name: text(&family[0]),
        kind: text(&family[1]),
        unit: text(&family[2]),
        help: text(&family[3]),
        samples: samples.iter().map(sample).collect(),
    }
}
