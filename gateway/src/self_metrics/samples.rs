//! The numbers in the text that the registry gives.
//!
//! The registry has no other way out than its text, so that this is what is read: what is sent is
//! then what the page shows.

use weir_runtime::telemetry::{Number, Sample};

use super::{ALL, Kind};

/// Every number of a metric in the table.
pub(super) fn of(text: &str) -> Vec<Sample> {
    text.lines().filter_map(sample).collect()
}

fn sample(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
    let number = number(name, value)?;
    Some(Sample {
        name: name.to_owned(),
        labels: labels(rest)?,
        number,
    })
}

fn number(name: &str, value: &str) -> Option<Number> {
    let kind_of = |name: &str| {
        ALL.iter()
            .find(|metric| metric.name == name)
            .map(|m| m.kind)
    };
    if let Some(kind) = kind_of(name) {
        return match kind {
            Kind::Counter => value.parse().ok().map(Number::Count),
            Kind::Gauge => value.parse().ok().map(Number::Gauge),
            Kind::Histogram => None,
        };
    }
    let (base, part) = name.rsplit_once('_')?;
    match (kind_of(base)?, part) {
        (Kind::Histogram, "bucket" | "count") => value.parse().ok().map(Number::Count),
        (Kind::Histogram, "sum") => value.parse().ok().map(Number::Total),
        _ => None,
    }
}

/// The labels up to the closing brace, without their escapes.
fn labels(mut rest: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    while rest != "}" {
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next()? {
                (at, '"') => break at,
                (_, '\\') => match characters.next()?.1 {
                    'n' => value.push('\n'),
                    other => value.push(other),
                },
                (_, other) => value.push(other),
            }
        };
        labels.push((name.to_owned(), value));
        rest = after.get(end + 1..)?;
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use crate::self_metrics::{
        EXPORTER_QUEUE_BYTES, POINTS_OFFERED, RECEIVER_SECONDS, SelfMetrics,
    };

    use super::*;

    #[test]
    fn every_number_is_read_back_with_its_labels() {
        let metrics = SelfMetrics::new();
        let name = "a \"b\"\n,c=\"}";
        metrics.counter(&POINTS_OFFERED, &[name]).increment(1 << 60);
        metrics.gauge(&EXPORTER_QUEUE_BYTES, &["main"]).set(0.25);
        metrics
            .histogram(&RECEIVER_SECONDS, &["grpc", "logs"])
            .record(0.5);
        let samples = metrics.samples();
        let numbers = |name: &str| -> Vec<_> {
            let found = samples.iter().filter(|sample| sample.name == name);
            found.map(|s| (s.labels.clone(), s.number)).collect()
        };
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            numbers(POINTS_OFFERED.name),
            [(vec![label("output", name)], Number::Count(1 << 60))]
        );
        assert_eq!(
            numbers(EXPORTER_QUEUE_BYTES.name),
            [(vec![label("exporter", "main")], Number::Gauge(0.25))]
        );
        let duration = RECEIVER_SECONDS.name;
        assert_eq!(numbers(&format!("{duration}_sum"))[0].1, Number::Total(0.5));
        assert_eq!(numbers(&format!("{duration}_count"))[0].1, Number::Count(1));
        let buckets = numbers(&format!("{duration}_bucket"));
        assert_eq!(buckets.len(), 12);
        assert!(buckets[11].0.contains(&label("le", "+Inf")), "{buckets:?}");
    }
}
