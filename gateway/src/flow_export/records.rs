//! One log record or one span for every Point.

use std::{fmt::Write as _, sync::Arc};

use weir_point::{Point, PointBatch, otlp::Signal};

use super::{
    envelope::{self, ITEMS},
    outlet::Outlet,
    wire::{self, Value},
};
use crate::{
    exporter::{Exporter, Shape},
    fanout::{Cause, Output},
    profile::{Combine, DataSet, Histogram, HistogramRecord, Profile},
    self_metrics::SelfMetrics,
};

/// Of `LogRecord`.
mod log {
    pub(super) const TIME: u32 = 1;
    pub(super) const SEVERITY: u32 = 2;
    pub(super) const SEVERITY_TEXT: u32 = 3;
    pub(super) const ATTRIBUTES: u32 = 6;
    pub(super) const OBSERVED: u32 = 11;
    pub(super) const EVENT: u32 = 12;
}
/// Of `Span`.
mod span {
    pub(super) const TRACE: u32 = 1;
    pub(super) const ID: u32 = 2;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
}
/// `SEVERITY_NUMBER_INFO`.
const INFO: u64 = 9;
/// `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// Rows in one request: at about 1 KiB each, well below the 4 MiB that receivers take by default.
const ROWS_PER_REQUEST: usize = 1000;

/// Hands every Point on as a record of its own, without gathering: when a batch has been offered,
/// it is in the exporter's queue.
pub(super) struct FlowRecords {
    outlet: Outlet,
    profile: &'static Profile,
    write: fn(&'static DataSet, &Point, &mut Vec<u8>),
}

impl FlowRecords {
    /// Log records to `exporter`.
    pub(super) fn logs(
        exporter: &Arc<Exporter>,
        profile: &'static Profile,
        metrics: &SelfMetrics,
    ) -> Self {
        Self {
            outlet: Outlet::new(exporter, Signal::Logs, Shape::Logs.name(), metrics),
            profile,
            write: log_record,
        }
    }

    /// Spans to `exporter`.
    pub(super) fn spans(
        exporter: &Arc<Exporter>,
        profile: &'static Profile,
        metrics: &SelfMetrics,
    ) -> Self {
        Self {
            outlet: Outlet::new(exporter, Signal::Traces, Shape::Spans.name(), metrics),
            profile,
            write: span,
        }
    }

    fn request(&self, rows: &[(&'static DataSet, &Point)]) -> Vec<u8> {
        let mut out = Vec::new();
        for rows in rows.chunk_by(|a, b| resource(a).eq(resource(b))) {
            let (set, point) = rows[0];
            let attributes = set
                .resource()
                .filter_map(|attribute| Some((attribute.name, envelope::value(attribute, point)?)));
            envelope::resource(&mut out, self.profile, attributes, |out| {
                for (set, point) in rows {
                    wire::message(out, ITEMS, |out| (self.write)(set, point, out));
                }
            });
        }
        out
    }
}

impl Output for FlowRecords {
    fn offer(&self, batch: &Arc<PointBatch>) {
        self.outlet.ledger.offered(batch.len());
        let known: Vec<(&'static DataSet, &Point)> = batch
            .points()
            .iter()
            .filter_map(|point| Some((self.profile.data_set(&point.name)?, point)))
            .collect();
        let unknown = batch.len() - known.len();
        self.outlet.ledger.dropped(Cause::NotInProfile, unknown);
        for rows in known.chunks(ROWS_PER_REQUEST) {
            self.outlet.hand_on(self.request(rows), rows.len());
        }
    }

    fn close(&self) {}
}

/// Equal for rows of one resource.
fn resource<'a>(
    (set, point): &(&'static DataSet, &'a Point),
) -> impl Iterator<Item = Option<&'a str>> {
    let point = *point;
    set.resource()
        .map(|attribute| point.tags.get(attribute.tag).map(|text| &**text))
}

fn log_record(set: &'static DataSet, point: &Point, out: &mut Vec<u8>) {
    wire::fixed(out, log::TIME, point.time);
    wire::number(out, log::SEVERITY, INFO);
    wire::text(out, log::SEVERITY_TEXT, "INFO");
    attributes(set, point, log::ATTRIBUTES, out);
    wire::fixed(out, log::OBSERVED, point.time);
    wire::text(out, log::EVENT, set.event);
}

fn span(set: &'static DataSet, point: &Point, out: &mut Vec<u8>) {
    // Consumers take an id of zeros for none.
    wire::bytes(out, span::TRACE, &fastrand::u128(1..).to_be_bytes());
    wire::bytes(out, span::ID, &fastrand::u64(1..).to_be_bytes());
    wire::text(out, span::NAME, &span_name(point));
    match tag(point, "direction") {
        Some("incoming") => wire::number(out, span::KIND, SERVER),
        Some("outgoing") => wire::number(out, span::KIND, CLIENT),
        _ => {}
    }
    let start = if point.start == 0 {
        point.time
    } else {
        point.start
    };
    wire::fixed(out, span::START, start);
    wire::fixed(out, span::END, point.time);
    attributes(set, point, span::ATTRIBUTES, out);
}

/// Transport and server, e.g. `tcp 10.0.0.1:443`: few enough to group by.
fn span_name(point: &Point) -> String {
    let (ip, port) = match tag(point, "direction") {
        Some("incoming") => ("src_ip", "src_port"),
        _ => ("dst_ip", "dst_port"),
    };
    let mut name = tag(point, "transport").unwrap_or(&point.name).to_owned();
    let Some(ip) = tag(point, ip) else {
        return name;
    };
    let port = tag(point, port).filter(|port| *port != "*");
    match port {
        Some(port) if ip.contains(':') => write!(name, " [{ip}]:{port}"),
        Some(port) => write!(name, " {ip}:{port}"),
        None => write!(name, " {ip}"),
    }
    .expect("a String takes everything");
    name
}

fn tag<'a>(point: &'a Point, tag: &str) -> Option<&'a str> {
    point.tags.get(tag).map(|text| &**text)
}

/// The tags, and every number that the row has.
fn attributes(set: &'static DataSet, point: &Point, field: u32, out: &mut Vec<u8>) {
    for attribute in set.record() {
        if let Some(value) = envelope::value(attribute, point) {
            wire::attribute(out, field, attribute.name, value);
        }
    }
    for group in set.groups {
        for counter in group.counters {
            if let Some(count) = point.fields.get(counter.field).and_then(|v| v.as_count()) {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                wire::attribute(out, field, counter.record, Value::Int(count));
            }
        }
        for gauge in group.gauges {
            let value = match point.fields.get(gauge.field) {
                // A number of things, in no unit.
                Some(weir_point::Value::Int(count)) if gauge.combine == Combine::Sum => {
                    Some(Value::Int(*count))
                }
                other => other
                    .and_then(weir_point::Value::as_f64)
                    .map(|number| Value::Double(number / gauge.divisor)),
            };
            if let Some(value) = value {
                wire::attribute(out, field, gauge.record, value);
            }
        }
        for histogram in group.histograms.iter().filter(|own| own.takes(point)) {
            values(histogram, point, field, out);
        }
    }
}

/// The numbers of a histogram, as far as the row has them.
fn values(histogram: &Histogram, point: &Point, field: u32, out: &mut Vec<u8>) {
    let HistogramRecord { mean, sum, buckets } = &histogram.record;
    for (own, name) in [(histogram.mean, mean), (histogram.sum, sum)] {
        let number = point.fields.get(own).and_then(weir_point::Value::as_f64);
        if let Some(number) = number {
            let scaled = Value::Double(number / histogram.divisor);
            wire::attribute(out, field, name, scaled);
        }
    }
    if let Some(weir_point::Value::List(counts)) = point.fields.get(histogram.buckets) {
        let count = |count: &weir_point::Value| match count {
            weir_point::Value::Int(count) => Some(*count),
            _ => None,
        };
        let counts = Value::Ints(counts.iter().filter_map(count).collect());
        wire::attribute(out, field, buckets, counts);
    }
}
