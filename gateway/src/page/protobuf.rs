//! Metrics as messages.

use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint},
};

use super::{
    Exemplar, Head, Histogram, Kind, Labels, Native, Number, Origin, Summary, labels,
    message::{self, Bucket, BucketSpan, Counter, FamilyHead, Gauge, METRIC, MetricType, Quantile},
    text::split_exemplar,
};

/// Longer gaps between buckets are not filled with zeros.
const LONGEST_GAP: usize = 2;

/// Messages in the making.
#[derive(Debug, Default)]
pub(super) struct Protobuf {
    out: Vec<u8>,
    /// The message of the metric whose series come.
    family: Vec<u8>,
    /// How much of it is not series.
    head: usize,
    counts: bool,
    metric: Vec<u8>,
}

impl Protobuf {
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.family.reserve(bytes);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.close();
        self.out
    }

    fn close(&mut self) {
        // Some readers take a metric without series for a mistake.
        if self.family.len() > self.head {
            self.out.reserve(self.family.len() + 10);
            encode_varint(self.family.len() as u64, &mut self.out);
            self.out.append(&mut self.family);
        }
    }

    pub(super) fn family(&mut self, head: &Head<'_>) {
        self.close();
        self.family.clear();
        self.counts = head.kind == Kind::Counter;
        let kind = match head.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge | Kind::Info => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Summary => MetricType::Summary,
        };
        let message = FamilyHead {
            name: head.name.to_owned(),
            help: head.help.to_owned(),
            kind: kind.into(),
            unit: head.unit().unwrap_or_default().to_owned(),
        };
        self.family.extend(message.encode_to_vec());
        self.head = self.family.len();
    }

    pub(super) fn number(&mut self, labels: Labels<'_>, value: Number, origin: Origin<'_>) {
        let value = value.float();
        let mut sample = message::Sample::default();
        if self.counts {
            sample.counter = Some(Counter {
                value,
                exemplar: origin.exemplars.last().map(exemplar),
                created_timestamp: timestamp(origin.created),
            });
        } else {
            sample.gauge = Some(Gauge { value });
        }
        self.sample(labels, &sample);
    }

    pub(super) fn histogram(
        &mut self,
        labels: Labels<'_>,
        histogram: &Histogram<'_>,
        origin: Origin<'_>,
    ) {
        let mut exemplars = origin.exemplars;
        let infinite = (f64::INFINITY, histogram.count);
        let buckets = histogram.buckets.iter().chain([&infinite]);
        let bucket = buckets.map(|(bound, count)| Bucket {
            cumulative_count: *count,
            upper_bound: *bound,
            exemplar: split_exemplar(&mut exemplars, *bound).map(exemplar),
        });
        let mut message = message::Histogram {
            sample_count: histogram.count,
            // The message cannot say that it is not known.
            sample_sum: histogram.sum.unwrap_or(f64::NAN),
            bucket: bucket.collect(),
            created_timestamp: timestamp(origin.created),
            ..message::Histogram::default()
        };
        if let Some(native) = &histogram.native {
            message.set(native);
            let mut exemplars: Vec<&Exemplar> = origin.exemplars.iter().collect();
            // Prometheus takes them in the order of time.
            exemplars.sort_by_key(|exemplar| exemplar.time);
            message.exemplars = exemplars.into_iter().map(exemplar).collect();
        }
        let sample = message::Sample {
            histogram: Some(message),
            ..message::Sample::default()
        };
        self.sample(labels, &sample);
    }

    pub(super) fn summary(
        &mut self,
        labels: Labels<'_>,
        summary: &Summary<'_>,
        origin: Origin<'_>,
    ) {
        let quantile = |(quantile, value): &(f64, f64)| Quantile {
            quantile: *quantile,
            value: *value,
        };
        let message = message::Summary {
            sample_count: summary.count,
            sample_sum: summary.sum,
            quantile: summary.quantiles.iter().map(quantile).collect(),
            created_timestamp: timestamp(origin.created),
        };
        let sample = message::Sample {
            summary: Some(message),
            ..message::Sample::default()
        };
        self.sample(labels, &sample);
    }

    fn sample(&mut self, Labels(text, more): Labels<'_>, sample: &message::Sample) {
        self.metric.clear();
        labels::encode(text, &mut self.metric);
        labels::encode(more, &mut self.metric);
        let length = self.metric.len() + sample.encoded_len();
        encode_key(METRIC, WireType::LengthDelimited, &mut self.family);
        encode_varint(length as u64, &mut self.family);
        self.family.extend_from_slice(&self.metric);
        // A Vec always has room.
        sample.encode_raw(&mut self.family);
    }
}

fn exemplar(exemplar: &Exemplar) -> message::Exemplar {
    let (mut text, mut bytes) = (String::new(), Vec::new());
    exemplar.push_labels(&mut text);
    labels::encode(&text, &mut bytes);
    // What was just encoded can be decoded.
    let labels = message::Exemplar::decode(bytes.as_slice()).unwrap_or_default();
    message::Exemplar {
        value: exemplar.value,
        timestamp: timestamp(exemplar.time),
        ..labels
    }
}

impl message::Histogram {
    fn set(&mut self, native: &Native<'_>) {
        self.schema = native.schema;
        self.zero_threshold = native.zero_threshold;
        self.zero_count = native.zero_count;
        (self.positive_span, self.positive_delta) = spans(native.positive);
        (self.negative_span, self.negative_delta) = spans(native.negative);
    }
}

/// Buckets as Prometheus has them: runs of buckets, and by how much each count differs from
/// the one before.
fn spans((first, counts): (i32, &[u64])) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<BucketSpan>::new(), Vec::new());
    let (mut before, mut gap) = (0, 0);
    for (place, count) in counts.iter().enumerate() {
        if *count == 0 {
            gap += 1;
            continue;
        }
        match spans.last_mut() {
            Some(span) if gap <= LONGEST_GAP => {
                for _ in 0..gap {
                    deltas.push(-before);
                    before = 0;
                }
                span.length += gap as u32 + 1;
            }
            Some(_) => spans.push(BucketSpan {
                offset: gap as i32,
                length: 1,
            }),
            None => spans.push(BucketSpan {
                offset: first + place as i32,
                length: 1,
            }),
        }
        gap = 0;
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - before);
        before = count;
    }
    (spans, deltas)
}

/// Nanoseconds since the epoch, 0 for none.
fn timestamp(time: u64) -> Option<message::Timestamp> {
    const SECOND: u64 = 1_000_000_000;
    (time > 0).then_some(message::Timestamp {
        seconds: (time / SECOND) as i64,
        nanos: (time % SECOND) as i32,
    })
}
