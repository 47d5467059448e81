//! Gauges and sums.

use fastrand::Rng;
use opentelemetry_proto::tonic::metrics::v1::NumberDataPoint;

use crate::support::{CUMULATIVE, DELTA, Output, counter, gauge, point, sum};

#[test]
fn a_cumulative_counter_shows_its_latest_value() {
    let output = Output::new();
    let send = |time, value: i64| {
        output.send([counter("done", CUMULATIVE, vec![point(&[], time, value)])]);
    };
    send(2, 5);
    send(3, 9);
    assert_eq!(output.page().one("done_total", &[]), 9.0);
    // It came late, and the same one came twice.
    send(2, 5);
    send(3, 9);
    assert_eq!(output.page().one("done_total", &[]), 9.0);
    assert_eq!(output.dropped("out_of_order"), 1.0);
    assert_eq!(output.results(), [3.0, 0.0, 1.0]);
}

#[test]
fn a_counter_that_began_anew_shows_its_new_value() {
    let output = Output::new();
    let restarted = NumberDataPoint {
        start_time_unix_nano: 5_000_000_000,
        ..point(&[], 6, 3)
    };
    output.send([counter("done", CUMULATIVE, vec![point(&[], 4, 100)])]);
    output.send([counter("done", CUMULATIVE, vec![restarted])]);
    assert_eq!(output.page().one("done_total", &[]), 3.0);
}

#[test]
fn integers_keep_every_digit() {
    let output = Output::new();
    output.send([
        counter("big", CUMULATIVE, vec![point(&[], 2, i64::MAX)]),
        counter(
            "added",
            DELTA,
            vec![point(&[], 2, (1 << 53) + 1), point(&[], 3, 2)],
        ),
        gauge("low", "", vec![point(&[], 2, i64::MIN)]),
        gauge(
            "tiny",
            "",
            vec![point(&[], 2, 5e-324), point(&[("a", "1")], 2, 1e300)],
        ),
        gauge(
            "odd",
            "",
            vec![
                point(&[], 2, f64::NAN),
                point(&[("a", "1")], 2, f64::NEG_INFINITY),
            ],
        ),
    ]);
    let written = output.page().written;
    assert_eq!(written["big_total"], "9223372036854775807");
    assert_eq!(written["added_total"], "9007199254740995");
    assert_eq!(written["low"], "-9223372036854775808");
    assert_eq!(written["tiny"], "5e-324");
    assert_eq!(written["tiny{a=\"1\"}"], "1e300");
    assert_eq!(written["odd"], "NaN");
    assert_eq!(written["odd{a=\"1\"}"], "-Inf");
}

#[test]
fn deltas_add_up_to_what_cumulative_counters_say() {
    let mut rng = Rng::with_seed(1);
    let (delta, cumulative) = (Output::new(), Output::new());
    let hosts: Vec<String> = (0..20).map(|number| format!("host-{number}")).collect();
    let mut totals = vec![(0_i64, 0.0_f64); hosts.len()];
    for round in 2..200 {
        let (mut deltas, mut sums) = ([vec![], vec![], vec![]], [vec![], vec![], vec![]]);
        for (host, (ints, doubles)) in hosts.iter().zip(&mut totals) {
            if rng.u8(..4) == 0 {
                continue;
            }
            let labels = [("host", host.as_str())];
            // Quarters add up exactly.
            let (int, double) = (rng.i64(0..1000), f64::from(rng.u32(..1000)) / 4.0);
            *ints += int;
            *doubles += double;
            deltas[0].push(point(&labels, round, int));
            sums[0].push(point(&labels, round, *ints));
            deltas[1].push(point(&labels, round, double));
            sums[1].push(point(&labels, round, *doubles));
            deltas[2].push(point(&labels, round, -double));
            sums[2].push(point(&labels, round, -*doubles));
        }
        for (output, temporality, [ints, doubles, down]) in
            [(&delta, DELTA, deltas), (&cumulative, CUMULATIVE, sums)]
        {
            output.send([
                counter("ints", temporality, ints),
                counter("doubles", temporality, doubles),
                sum("down", temporality, false, down),
            ]);
        }
    }
    let (delta, cumulative) = (delta.page(), cumulative.page());
    for (host, (ints, doubles)) in hosts.iter().zip(totals) {
        let labels = [("host", host.as_str())];
        for page in [&delta, &cumulative] {
            assert_eq!(page.one("ints_total", &labels), ints as f64);
            assert_eq!(page.one("doubles_total", &labels), doubles);
            assert_eq!(page.one("down", &labels), -doubles);
        }
    }
    assert_eq!(delta.types["down"], "gauge");
}

#[test]
fn a_delta_that_comes_again_is_not_added_again() {
    let output = Output::new();
    let send = |time, value: i64| {
        output.send([counter("done", DELTA, vec![point(&[], time, value)])]);
    };
    send(2, 5);
    send(3, 7);
    send(3, 7);
    send(2, 5);
    assert_eq!(output.page().one("done_total", &[]), 12.0);
    assert_eq!(output.dropped("out_of_order"), 2.0);
}

#[test]
fn what_would_spoil_a_sum_for_good_is_left_out() {
    let output = Output::new();
    let no_value = NumberDataPoint {
        value: None,
        ..point(&[], 9, 1)
    };
    let deltas = vec![
        point(&[], 2, 5),
        point(&[], 3, -1),
        point(&[], 4, -0.5),
        point(&[], 5, f64::NAN),
        point(&[], 6, f64::INFINITY),
        no_value,
    ];
    output.send([counter("done", DELTA, deltas)]);
    output.send([counter(
        "unclear",
        0,
        vec![point(&[], 2, 1), point(&[], 3, 1)],
    )]);
    let page = output.page();
    assert_eq!(page.one("done_total", &[]), 5.0);
    assert_eq!(output.dropped("malformed"), 5.0);
    assert_eq!(output.dropped("temporality"), 2.0);
    assert!(!page.types.contains_key("unclear_total"));
}

#[test]
fn a_series_that_ended_is_gone() {
    let output = Output::new();
    let two = |time| vec![point(&[("a", "1")], time, 1), point(&[("a", "2")], time, 2)];
    let ended = NumberDataPoint {
        flags: 1,
        value: None,
        ..point(&[("a", "1")], 3, 0)
    };
    output.send([gauge("fill", "", two(2))]);
    output.send([gauge("fill", "", vec![ended])]);
    assert_eq!(output.page().labels("fill"), [("a", "2")]);
    assert_eq!(output.own().one("weir_gateway_otlp_series", &[]), 1.0);
    // It may begin again.
    output.send([gauge("fill", "", two(4))]);
    assert_eq!(output.page().series("fill", &[]).len(), 2);
}

#[test]
fn a_series_without_points_for_long_is_gone() {
    let output = Output::new();
    output.send([gauge("fill", "", vec![point(&[], 2, 1)])]);
    assert_eq!(output.idle(290), 0);
    assert_eq!(output.page().one("fill", &[]), 1.0);
    assert_eq!(output.idle(302), 1);
    assert_eq!(output.text(), "");
    let own = output.own();
    assert_eq!(own.one("weir_gateway_otlp_series_expired_total", &[]), 1.0);
    assert_eq!(own.one("weir_gateway_otlp_series", &[]), 0.0);
}
