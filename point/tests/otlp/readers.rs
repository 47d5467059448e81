//! Spans and log records read in place say what prost decodes.

use fastrand::Rng;
use prost::Message as _;
use weir_point::otlp::Signal;

use crate::{
    check::check,
    generate,
    judge::{read_logs, read_traces, tidy_logs, tidy_traces},
};

#[test]
fn spans_are_read_as_they_were_written() {
    let mut rng = Rng::with_seed(8);
    for _ in 0..2000 {
        let mut request = generate::traces(&mut rng);
        let batch = check(Signal::Traces, &request.encode_to_vec()).expect("a request");
        tidy_traces(&mut request);
        assert_eq!(read_traces(&batch), request);
    }
}

#[test]
fn log_records_are_read_as_they_were_written() {
    let mut rng = Rng::with_seed(9);
    for _ in 0..2000 {
        let mut request = generate::logs(&mut rng);
        let batch = check(Signal::Logs, &request.encode_to_vec()).expect("a request");
        tidy_logs(&mut request);
        assert_eq!(read_logs(&batch), request);
    }
}

#[test]
fn each_signal_has_its_own_reader() {
    let mut rng = Rng::with_seed(10);
    let request = generate::traces(&mut rng).encode_to_vec();
    let batch = check(Signal::Traces, &request).expect("a request");
    assert_eq!(batch.resource_logs().count(), 0);
    for point in batch.points() {
        assert!(point.span().is_some());
        assert!(point.log_record().is_none());
        assert!(point.data_point().is_none());
    }
}
