//! What happens past the budget.

use fastrand::Rng;
use opentelemetry_proto::tonic::metrics::v1::{
    Histogram, HistogramDataPoint, NumberDataPoint, metric::Data,
};

use crate::support::{CUMULATIVE, DELTA, Output, counter, gauge, metric, point, sum, texts};

const OTHER: [(&str, &str); 2] = [("job", "~other"), ("instance", "~other")];

#[test]
fn counters_past_the_budget_keep_their_total() {
    let mut rng = Rng::with_seed(1);
    for temporality in [DELTA, CUMULATIVE] {
        let output = Output::with_budget(10);
        let hosts: Vec<String> = (0..45).map(|number| number.to_string()).collect();
        let mut totals = vec![0_i64; hosts.len()];
        let mut sent = 0;
        for round in 2..100 {
            let mut points = Vec::new();
            for (host, total) in hosts.iter().zip(&mut totals) {
                if rng.bool() {
                    let delta = rng.i64(0..100);
                    *total += delta;
                    let value = if temporality == DELTA { delta } else { *total };
                    points.push(point(&[("host", host)], round, value));
                }
            }
            rng.shuffle(&mut points);
            sent += points.len();
            output.send([counter("done", temporality, points.clone())]);
            // A retry of the same request changes nothing.
            sent += points.len();
            output.send([counter("done", temporality, points)]);
        }
        let page = output.page();
        assert_eq!(page.sum("done_total"), totals.iter().sum::<i64>() as f64);
        assert_eq!(page.series("done_total", &[]).len(), 11);
        assert!(page.one("done_total", &OTHER) > 0.0);
        for (labels, value) in page.series("done_total", &[]) {
            if let Some(host) = labels.get("host") {
                let place: usize = host.parse().expect("a number");
                assert_eq!(value, totals[place] as f64);
            }
        }
        let [taken, folded, dropped] = output.results();
        assert_eq!(taken + folded + dropped, sent as f64);
        assert_eq!(dropped, output.dropped("out_of_order"));
    }
}

#[test]
fn a_counter_past_the_budget_may_begin_anew() {
    let output = Output::with_budget(1);
    let send = |start: u64, time, value: i64| {
        let point = NumberDataPoint {
            start_time_unix_nano: start,
            ..point(&[("host", "b")], time, value)
        };
        output.send([counter("done", CUMULATIVE, vec![point])]);
    };
    output.send([counter(
        "done",
        CUMULATIVE,
        vec![point(&[("host", "a")], 2, 1)],
    )]);
    send(1, 2, 100);
    send(1, 3, 110);
    // The new run is already further than the old one was.
    send(4, 5, 150);
    // One without start times only shows by its fall that it began anew.
    send(0, 6, 20);
    send(0, 7, 25);
    send(0, 8, 5);
    let other = output.page().one("done_total", &OTHER);
    assert_eq!(other, f64::from(110 + 150 + 25 + 5));
}

#[test]
fn a_counter_in_the_rest_does_not_count_twice_when_there_is_room_again() {
    let output = Output::with_budget(2);
    let send = |host: &str, time, value: i64| {
        output.send([counter(
            "done",
            CUMULATIVE,
            vec![point(&[("host", host)], time, value)],
        )]);
    };
    send("a", 2, 1);
    send("b", 2, 2);
    send("c", 2, 4);
    let gone = |host: &str| NumberDataPoint {
        flags: 1,
        ..point(&[("host", host)], 3, 0)
    };
    output.send([counter("done", CUMULATIVE, vec![gone("a")])]);
    send("c", 4, 5);
    let page = output.page();
    assert_eq!(page.one("done_total", &OTHER), 5.0);
    assert_eq!(page.sum("done_total"), 7.0);
    // Somebody new gets the room.
    send("d", 4, 8);
    assert_eq!(output.page().one("done_total", &[("host", "d")]), 8.0);
}

#[test]
fn what_does_not_add_up_is_dropped_and_counted_past_the_budget() {
    let output = Output::with_budget(2);
    let points = || -> Vec<NumberDataPoint> {
        let hosts = ["a", "b", "c", "d", "e"];
        let points = hosts.iter().map(|host| point(&[("host", host)], 2, 1));
        points.collect()
    };
    output.send([
        gauge("fill", "", points()),
        sum("level", CUMULATIVE, false, points()),
    ]);
    let page = output.page();
    assert_eq!(page.series("fill", &[]).len(), 2);
    assert_eq!(page.series("level", &[]).len(), 2);
    assert!(page.series("fill", &OTHER).is_empty());
    assert_eq!(output.dropped("budget"), 6.0);
    assert_eq!(output.results(), [4.0, 0.0, 6.0]);
    // The budget is per metric, and what is held already goes on.
    output.send([gauge("fill", "", vec![point(&[("host", "a")], 3, 7)])]);
    assert_eq!(output.page().one("fill", &[("host", "a")]), 7.0);
}

#[test]
fn delta_histograms_past_the_budget_keep_their_total() {
    let output = Output::with_budget(1);
    for (time, host) in [(1, "a"), (1, "b"), (1, "c"), (2, "c"), (2, "c"), (2, "b")] {
        let point = HistogramDataPoint {
            attributes: texts(&[("host", host)]),
            time_unix_nano: time,
            count: 3,
            sum: Some(4.5),
            bucket_counts: vec![1, 2],
            explicit_bounds: vec![1.0],
            ..HistogramDataPoint::default()
        };
        let histogram = Histogram {
            data_points: vec![point],
            aggregation_temporality: DELTA,
        };
        output.send([metric("took", "s", Data::Histogram(histogram))]);
    }
    let page = output.page();
    assert_eq!(page.one("took_seconds_count", &[("host", "a")]), 3.0);
    assert_eq!(page.one("took_seconds_count", &OTHER), 12.0);
    assert_eq!(page.one("took_seconds_sum", &OTHER), 18.0);
    let first = [("job", "~other"), ("le", "1")];
    assert_eq!(page.one("took_seconds_bucket", &first), 4.0);
    assert_eq!(output.results(), [1.0, 4.0, 1.0]);
}

#[test]
fn a_client_that_makes_up_names_is_stopped() {
    let output = Output::new();
    for from in (0..10_100).step_by(100) {
        let name = |number| format!("made.up.{number}");
        let metrics: Vec<_> = (from..from + 100)
            .map(|number| gauge(&name(number), "", vec![point(&[], 2, 1)]))
            .collect();
        output.send(metrics);
    }
    assert_eq!(output.page().types.len(), 10_000);
    assert_eq!(output.dropped("metrics_limit"), 100.0);
    output.send([gauge(&"long".repeat(300), "", vec![point(&[], 2, 1)])]);
    let huge = "x".repeat(20_000);
    output.send([gauge("made.up.1", "", vec![point(&[("a", &huge)], 3, 1)])]);
    assert_eq!(output.dropped("too_large"), 2.0);
    assert_eq!(output.idle(301), 10_000);
    output.send([gauge("real", "", vec![point(&[], 2, 1)])]);
    assert_eq!(output.page().one("real", &[]), 1.0);
}
