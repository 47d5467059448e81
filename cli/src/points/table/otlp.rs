//! What came over OTLP: spans, metric data points, log records.

use weir_proto::observe::v1::{Field, field::Value};

use super::{ABSENT, Layout, Row, View, column, number, printable};
use crate::points::{json, units};

/// Who was measured: the resource of most SDKs has a name.
const SERVICE: &str = "service.name";

pub(super) fn spans() -> Layout {
    Layout {
        columns: vec![
            column("TIME UTC", 8),
            column("SERVICE", 16),
            column("KIND", 8),
            number("DURATION", 8),
            column("STATUS", 6),
            column("TRACE", 32),
        ],
        last: "NAME",
        row: |view| Row {
            cells: vec![
                view.time_of_day(),
                view.service(),
                view.shown("kind"),
                view.whole("duration")
                    .map_or(ABSENT.to_owned(), units::nanoseconds),
                view.shown("status_code"),
                view.shown("trace_id"),
            ],
            last: printable(&view.0.name),
        },
    }
}

pub(super) fn metrics() -> Layout {
    Layout {
        columns: vec![
            column("TIME UTC", 8),
            column("SERVICE", 16),
            column("METRIC", 32),
            column("TYPE", 9),
            number("VALUE", 12),
            column("UNIT", 6),
        ],
        last: "TAGS",
        row: |view| Row {
            cells: vec![
                view.time_of_day(),
                view.service(),
                printable(&view.0.name),
                view.shown("type"),
                view.measured(),
                view.shown("unit"),
            ],
            last: view.all_tags(),
        },
    }
}

pub(super) fn logs() -> Layout {
    Layout {
        columns: vec![
            column("TIME UTC", 8),
            column("SERVICE", 16),
            column("SEVERITY", 8),
            column("EVENT", 5),
        ],
        last: "BODY",
        row: |view| Row {
            cells: vec![
                view.time_of_day(),
                view.service(),
                view.severity(),
                match view.0.name.as_str() {
                    "" => ABSENT.to_owned(),
                    name => printable(name),
                },
            ],
            last: view.shown("body"),
        },
    }
}

impl View<'_> {
    fn time_of_day(&self) -> String {
        // Records that do not know when they happened know when they were seen.
        let time = match (self.0.time_unix_nano, self.whole("observed_time")) {
            (0, Some(seen)) => seen.cast_unsigned(),
            (time, _) => time,
        };
        units::time_of_day(time)
    }

    fn service(&self) -> String {
        let mut attributes = self.0.resource.iter().flat_map(|own| &own.attributes);
        let service = attributes.find(|own| own.key == SERVICE);
        service.map_or(ABSENT.to_owned(), shown)
    }

    fn shown(&self, key: &str) -> String {
        let field = self.0.fields.iter().find(|field| field.key == key);
        field.map_or(ABSENT.to_owned(), shown)
    }

    /// The value, or for what has many: how many, and their sum.
    fn measured(&self) -> String {
        match (self.field("value"), self.whole("count"), self.field("sum")) {
            (Some(_), _, _) => self.shown("value"),
            (None, Some(count), Some(_)) => format!("{count} Σ {}", self.shown("sum")),
            (None, Some(count), None) => count.to_string(),
            (None, None, _) => ABSENT.to_owned(),
        }
    }

    fn all_tags(&self) -> String {
        let tags = self.0.tags.iter();
        let tags: Vec<_> = tags
            .map(|tag| format!("{}={}", printable(&tag.key), printable(&tag.value)))
            .collect();
        tags.join(" ")
    }

    /// In words if there are any, else by number: <https://opentelemetry.io/docs/specs/otel/logs/data-model/>.
    fn severity(&self) -> String {
        const NAMES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
        if self.field("severity_text").is_some() {
            return self.shown("severity_text");
        }
        match self.whole("severity_number") {
            Some(number @ 1..=24) => {
                let name = usize::try_from((number - 1) / 4).ok();
                let name = name.and_then(|place| NAMES.get(place));
                name.map_or(ABSENT.to_owned(), |name| (*name).to_owned())
            }
            Some(number) => number.to_string(),
            None => ABSENT.to_owned(),
        }
    }
}

/// Text as it is, all else as JSON; nothing of it can steer a terminal.
fn shown(field: &Field) -> String {
    match &field.value {
        Some(Value::String(text)) => printable(text),
        other => printable(&json::value(other.as_ref()).to_string()),
    }
}
