//! The two text formats, which differ in little.

use super::{
    Exemplar, Head, Histogram, Kind, Labels, Number, Origin, Summary,
    number::{push_canonical, push_float, push_seconds},
};

/// Text in the making.
#[derive(Debug)]
pub(super) struct Text {
    out: String,
    /// Whether it is OpenMetrics.
    open: bool,
    /// The name of the samples.
    name: String,
    /// How much of it is the name of the metric as OpenMetrics has it.
    base: usize,
    kind: Kind,
    /// Whether OpenMetrics knows it only as a number of unknown kind.
    crowded: bool,
    /// A bound or a quantile.
    number: String,
}

impl Text {
    pub(super) const fn new(open: bool) -> Self {
        Self {
            out: String::new(),
            open,
            name: String::new(),
            base: 0,
            kind: Kind::Gauge,
            crowded: false,
            number: String::new(),
        }
    }

    pub(super) fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out.into_bytes()
    }

    pub(super) fn family(&mut self, head: &Head<'_>) {
        head.name.clone_into(&mut self.name);
        (self.kind, self.crowded) = (head.kind, head.crowded);
        self.base = head.base().len();
        if self.open {
            return self.open_family(head);
        }
        for part in ["# HELP ", head.name, " "] {
            self.out.push_str(part);
        }
        push_help(head.help, false, &mut self.out);
        for part in ["\n# TYPE ", head.name, " ", self.word(), "\n"] {
            self.out.push_str(part);
        }
    }

    fn open_family(&mut self, head: &Head<'_>) {
        let name = if self.is_plain() {
            head.name
        } else {
            head.base()
        };
        for part in ["# TYPE ", name, " ", self.word(), "\n"] {
            self.out.push_str(part);
        }
        if let Some(unit) = head.unit().filter(|unit| name.ends_with(unit)) {
            for part in ["# UNIT ", name, " ", unit, "\n"] {
                self.out.push_str(part);
            }
        }
        for part in ["# HELP ", name, " "] {
            self.out.push_str(part);
        }
        push_help(head.help, true, &mut self.out);
        self.out.push('\n');
    }

    /// Two metrics of one name would make the page unreadable: as a mere number it may have the
    /// whole name for its own.
    fn is_plain(&self) -> bool {
        self.crowded && matches!(self.kind, Kind::Counter | Kind::Info)
    }

    fn word(&self) -> &'static str {
        match self.kind {
            Kind::Counter if self.open && self.is_plain() => "unknown",
            Kind::Counter => "counter",
            Kind::Info if self.open && !self.is_plain() => "info",
            Kind::Gauge | Kind::Info => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
        }
    }

    pub(super) fn number(&mut self, labels: Labels<'_>, value: Number, origin: Origin<'_>) {
        self.sample("", labels);
        value.push(&mut self.out);
        if self.open && self.kind == Kind::Counter && !self.crowded {
            self.exemplar(origin.exemplars.last());
            self.out.push('\n');
            self.created(labels, origin);
        } else {
            self.out.push('\n');
        }
    }

    pub(super) fn histogram(
        &mut self,
        labels: Labels<'_>,
        histogram: &Histogram<'_>,
        origin: Origin<'_>,
    ) {
        let mut exemplars = origin.exemplars;
        let infinite = (f64::INFINITY, histogram.count);
        for (bound, count) in histogram.buckets.iter().chain([&infinite]) {
            self.part("_bucket", labels, "le", *bound);
            Number::Count(*count).push(&mut self.out);
            if self.open {
                self.exemplar(split_exemplar(&mut exemplars, *bound));
            }
            self.out.push('\n');
        }
        // OpenMetrics: no sum of values that can be negative, and no count without a sum.
        let negative = histogram.buckets.first().is_some_and(|(at, _)| *at < 0.0);
        let sum = histogram.sum.filter(|_| !(self.open && negative));
        if let Some(sum) = sum {
            self.line("_sum", labels, Number::Float(sum));
        }
        if sum.is_some() || !self.open {
            self.line("_count", labels, Number::Count(histogram.count));
        }
        self.created(labels, origin);
    }

    pub(super) fn summary(
        &mut self,
        labels: Labels<'_>,
        summary: &Summary<'_>,
        origin: Origin<'_>,
    ) {
        for (at, value) in summary.quantiles {
            self.part("", labels, "quantile", *at);
            push_float(*value, &mut self.out);
            self.out.push('\n');
        }
        self.line("_sum", labels, Number::Float(summary.sum));
        self.line("_count", labels, Number::Count(summary.count));
        self.created(labels, origin);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, value: Number) {
        self.sample(suffix, labels);
        value.push(&mut self.out);
        self.out.push('\n');
    }

    /// A sample up to its value.
    fn sample(&mut self, suffix: &str, labels: Labels<'_>) {
        let out = &mut self.out;
        out.push_str(&self.name);
        out.push_str(suffix);
        match labels {
            Labels("", "") => out.push(' '),
            Labels(text, more) => {
                out.push('{');
                out.push_str(text);
                if !text.is_empty() && !more.is_empty() {
                    out.push(',');
                }
                out.push_str(more);
                out.push_str("} ");
            }
        }
    }

    /// A sample up to its value, with a number among its labels.
    fn part(&mut self, suffix: &str, labels: Labels<'_>, own: &str, number: f64) {
        self.number.clear();
        if self.open {
            push_canonical(number, &mut self.number);
        } else {
            push_float(number, &mut self.number);
        }
        let Labels(text, more) = labels;
        let first = if text.is_empty() || more.is_empty() {
            ""
        } else {
            ","
        };
        let second = if text.is_empty() && more.is_empty() {
            ""
        } else {
            ","
        };
        for part in [
            &self.name,
            suffix,
            "{",
            text,
            first,
            more,
            second,
            own,
            "=\"",
            &self.number,
            "\"} ",
        ] {
            self.out.push_str(part);
        }
    }

    fn exemplar(&mut self, exemplar: Option<&Exemplar>) {
        let Some(exemplar) = exemplar else { return };
        self.out.push_str(" # {");
        exemplar.push_labels(&mut self.out);
        self.out.push_str("} ");
        push_float(exemplar.value, &mut self.out);
        if exemplar.time > 0 {
            self.out.push(' ');
            push_seconds(exemplar.time, &mut self.out);
        }
    }

    fn created(&mut self, labels: Labels<'_>, origin: Origin<'_>) {
        if !self.open || self.crowded || origin.created == 0 {
            return;
        }
        let ending = self.name.split_off(self.base);
        self.sample("_created", labels);
        self.name.push_str(&ending);
        push_seconds(origin.created, &mut self.out);
        self.out.push('\n');
    }
}

/// The latest of the exemplars up to `bound`; those are gone then.
pub(super) fn split_exemplar<'a>(
    exemplars: &mut &'a [Exemplar],
    bound: f64,
) -> Option<&'a Exemplar> {
    let end = exemplars.partition_point(|exemplar| exemplar.value <= bound);
    let (inside, above) = exemplars.split_at(end);
    *exemplars = above;
    inside.iter().max_by_key(|exemplar| exemplar.time)
}

fn push_help(text: &str, open: bool, out: &mut String) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if open => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}
