//! What a program costs per Point, conversion both ways included. In CPU time, so that what else the machine does
//! matters less.

use std::{hint::black_box, time::Duration};

use criterion::{
    BatchSize, Criterion, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use rustix::time::{ClockId, clock_gettime};
use weir_point::{Category, Point, Text, Value};
use weir_script::{Engine, Limits, Runner};

/// The time that this thread has run, shown as wall time is.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(now).expect("a time that passes")
    }

    fn end(&self, begin: Duration) -> Duration {
        self.start() - begin
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// A flow with 12 tags and 6 fields.
fn flow(number: u64) -> Point {
    let mut point = Point::new(Category::Network, Text::new_static("netflow"));
    (point.time, point.start) = (
        1_700_000_000_000_000_000 + number,
        1_700_000_000_000_000_000,
    );
    for (key, value) in [
        ("container_id", "4f66ad9a1b2c".to_owned()),
        ("direction", "outgoing".to_owned()),
        ("dst_domain", "API.Example.ORG".to_owned()),
        ("dst_ip", format!("198.51.100.{}", number % 250)),
        (
            "dst_port",
            ["443", "5432"][(number % 2) as usize].to_owned(),
        ),
        ("family", "ipv4".to_owned()),
        ("host", "node-1.cluster.example".to_owned()),
        ("process_name", "checkout".to_owned()),
        ("src_ip", format!("10.0.0.{}", number % 250)),
        ("src_port", (1024 + number % 60_000).to_string()),
        ("src_workload", "shop/checkout".to_owned()),
        ("transport", "tcp".to_owned()),
    ] {
        point.tags.set(Text::new_static(key), Text::new(value));
    }
    for (key, value) in [
        ("bytes_read", Value::Int(18_000)),
        ("bytes_written", Value::Int(4_000)),
        ("connects", Value::Int(3)),
        ("retransmits", Value::Int(0)),
        ("rtt", Value::Float(0.012)),
        ("rtt_variance", Value::Float(0.002)),
    ] {
        point.fields.set(Text::new_static(key), value);
    }
    point
}

/// Five edits: change a tag, set a tag on a condition, set three more, compute a field, remove a tag.
const FIVE_LINES: &str = r#"
.tags.dst_domain = downcase(to_string(.tags.dst_domain))
if .tags.dst_port == "443" { .tags.scheme = "https" } else { .tags.scheme = "other" }
.tags.dst_country = "Nowhere"
.tags.dst_province = "Nowhere"
.tags.dst_city = "Nowhere"
.fields.bytes_total = to_int!(.fields.bytes_read) + to_int!(.fields.bytes_written)
del(.tags.src_port)
"#;

fn points(criterion: &mut Criterion<CpuTime>) {
    let flows: Vec<Point> = (0..1000).map(flow).collect();
    let engine = Engine::new(Vec::new());
    let limits = Limits::default();
    let mut group = criterion.benchmark_group("points");
    group.throughput(Throughput::Elements(flows.len() as u64));
    group.measurement_time(Duration::from_secs(5));
    group.bench_function("clone", |bencher| {
        bencher.iter_batched(|| (), |()| black_box(flows.clone()), BatchSize::LargeInput);
    });
    for (name, source) in [
        ("five_lines", FIVE_LINES),
        ("one_tag", ".tags.scheme = \"https\""),
        ("drop", "if .tags.dst_port == \"443\" { abort }"),
        ("all", ".tags.copy = to_string(length(.))"),
    ] {
        let script = engine.compile(source).expect("a program");
        let mut runner = Runner::default();
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || flows.clone(),
                |mut flows| {
                    for flow in &mut flows {
                        let outcome = runner.run(&script, flow, &limits);
                        black_box(outcome).expect("a result");
                    }
                    flows
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = points
}
criterion_main!(benches);
