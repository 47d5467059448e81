//! From the text format 0.0.4 to the others: the registry of the gateway's own metrics knows
//! no other.

use super::{Head, Histogram, Kind, Labels, Number, Origin, Page};

/// Write every metric in `text` to `page`. What is no metric is left out.
pub(crate) fn reread(text: &str, page: &mut Page) {
    let mut reader = Reader::default();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# HELP ") {
            reader.help = head.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some(head) = line.strip_prefix("# TYPE ") {
            reader.family(head, page);
        } else if let Some((series, value)) = line.rsplit_once(' ') {
            reader.sample(series, value, page);
        }
    }
}

#[derive(Debug, Default)]
struct Reader<'a> {
    help: &'a str,
    histogram: bool,
    buckets: Vec<(f64, u64)>,
    sum: f64,
}

impl<'a> Reader<'a> {
    fn family(&mut self, head: &'a str, page: &mut Page) {
        let (name, kind) = head.split_once(' ').unwrap_or((head, ""));
        self.histogram = kind == "histogram";
        self.buckets.clear();
        let kind = match kind {
            "counter" => Kind::Counter,
            "histogram" => Kind::Histogram,
            _ => Kind::Gauge,
        };
        let base = name.strip_suffix("_total").unwrap_or(name);
        let units = ["seconds", "bytes"];
        let unit = units.into_iter().find(|unit| base.ends_with(unit));
        page.family(&Head {
            name,
            kind,
            help: &unescaped(self.help),
            unit: unit.unwrap_or(""),
            crowded: false,
        });
        self.help = "";
    }

    fn sample(&mut self, series: &str, value: &str, page: &mut Page) {
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or(labels)),
            None => (series, ""),
        };
        let number = || value.parse().unwrap_or(f64::NAN);
        if !self.histogram {
            let number = match value.parse() {
                Ok(count) => Number::Count(count),
                Err(_) => Number::Float(number()),
            };
            page.number(Labels(labels, ""), number, Origin::default());
        } else if name.ends_with("_bucket") {
            let bound = labels.rsplit_once("le=\"").map(|(_, bound)| bound);
            let bound = bound.map(|bound| bound.trim_end_matches('"'));
            if let Some(Ok(bound)) = bound.map(str::parse::<f64>)
                && bound.is_finite()
            {
                self.buckets.push((bound, value.parse().unwrap_or(0)));
            }
        } else if name.ends_with("_sum") {
            self.sum = number();
        } else {
            let histogram = Histogram {
                count: value.parse().unwrap_or(0),
                sum: Some(self.sum),
                buckets: &self.buckets,
                native: None,
            };
            page.histogram(Labels(labels, ""), &histogram, Origin::default());
            self.buckets.clear();
        }
    }
}

fn unescaped(help: &str) -> String {
    help.replace("\\n", "\n").replace("\\\\", "\\")
}
