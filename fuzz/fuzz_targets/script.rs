//! The text of a program: it is refused with a reason, or it runs on a flow within its limits, and what fails has changed
//! nothing. The first two bytes choose the limits.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weir_fuzz::input::Input;
use weir_point::{Category, Point, Text, Value};
use weir_script::{
    Engine, Limits, Runner,
    functions::own,
    lookups::{GeoSettings, LookupSettings, Lookups},
};

/// Points that one program may add for one Point.
const MOST_EMITTED: usize = 100;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let office = "10.8.0.0/16".parse().expect("a network");
    let settings = LookupSettings {
        geoip: GeoSettings {
            files: Vec::new(),
            ..GeoSettings::default()
        },
        subnets: vec![("office".to_owned(), vec![office])],
        routes: vec!["/user/*/orders".to_owned()],
        ..LookupSettings::default()
    };
    let lookups = Lookups::open(&settings).expect("settings");
    Engine::new(own(&lookups.into()))
});

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let limits = Limits {
        operations: u32::from(input.byte()) * 64 + 1,
        result: usize::from(input.byte()) * 256 + 1,
    };
    let Ok(source) = std::str::from_utf8(input.0) else {
        return;
    };
    let script = match ENGINE.compile(source) {
        Ok(script) => script,
        Err(mistakes) => {
            assert!(!mistakes.text.is_empty());
            return;
        }
    };
    let before = flow();
    let mut after = before.clone();
    let outcome = match Runner::default().run(&script, &mut after, &limits) {
        Ok(outcome) => outcome,
        Err(error) => {
            assert_eq!(after, before);
            assert!(!error.describe(source).is_empty());
            return;
        }
    };
    assert!(outcome.emitted.len() <= MOST_EMITTED);
    if outcome.dropped || !outcome.edited {
        assert_eq!(after, before);
    }
    let added: usize = outcome.emitted.iter().map(text).sum();
    assert!(text(&after) + added <= text(&before) * (1 + outcome.emitted.len()) + limits.result);
});

fn flow() -> Point {
    let mut point = Point::new(Category::Network, Text::new_static("netflow"));
    (point.time, point.start) = (1_700_000_000_123_456_789, 1_700_000_000_000_000_000);
    for (key, value) in [
        ("dst_domain", "Shop.Example"),
        ("dst_ip", "198.51.100.7"),
        ("dst_port", "443"),
        ("host", "node-1"),
        ("process_name", "check \"out\""),
        ("src_ip", "10.8.0.1"),
    ] {
        point
            .tags
            .set(Text::new_static(key), Text::new_static(value));
    }
    for (key, value) in [
        ("bytes_read", Value::Int(18_000)),
        ("rtt", Value::Float(0.012)),
        ("path", Value::Text("/user/7/orders".into())),
        ("buckets", Value::List(vec![Value::Int(1), Value::Int(2)])),
    ] {
        point.fields.set(Text::new_static(key), value);
    }
    point
}

/// Bytes of text in a Point.
fn text(point: &Point) -> usize {
    let tags = point
        .tags
        .iter()
        .map(|(key, value)| key.len() + value.len());
    let fields = point
        .fields
        .iter()
        .map(|(key, value)| key.len() + text_in(value));
    point.name.len() + tags.sum::<usize>() + fields.sum::<usize>()
}

fn text_in(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(values) => values.iter().map(text_in).sum(),
        Value::Map(map) => map
            .iter()
            .map(|(key, value)| key.len() + text_in(value))
            .sum(),
        _ => 0,
    }
}
