use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;
use tonic_types::ErrorDetails;

use super::*;

fn grpc_answer(status: &Status) -> Answer {
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).expect("headers");
    grpc(
        StatusCode::OK,
        &HeaderMap::new(),
        &Bytes::new(),
        Some(&trailers),
    )
}

#[test]
fn only_grpc_codes_that_may_pass_are_tried_again() {
    for code in (1..=16).map(Code::from_i32) {
        let wanted = matches!(
            code,
            Code::Cancelled
                | Code::DeadlineExceeded
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unavailable
                | Code::DataLoss
        );
        let answer = grpc_answer(&Status::new(code, "from the server"));
        assert_eq!(matches!(answer, Answer::Later { .. }), wanted, "{code:?}");
        assert_eq!(matches!(answer, Answer::Refused(_)), !wanted, "{code:?}");
    }
}

#[test]
fn a_full_grpc_server_is_asked_again_when_it_said_when() {
    let full = |wait| {
        let mut details = ErrorDetails::new();
        details.set_retry_info(wait);
        grpc_answer(&Status::with_error_details(
            Code::ResourceExhausted,
            "full",
            details,
        ))
    };
    let wait = Duration::from_secs(3);
    assert!(matches!(full(Some(wait)), Answer::Later { after: Some(after), .. } if after == wait));
    let bare = grpc_answer(&Status::new(Code::ResourceExhausted, "full"));
    assert!(matches!(bare, Answer::Refused(_)));
}

#[test]
fn an_answer_of_a_proxy_without_a_grpc_status_is_understood() {
    let answer = |status| grpc(status, &HeaderMap::new(), &Bytes::new(), None);
    for status in [429, 502, 503, 504] {
        let status = StatusCode::from_u16(status).expect("a status");
        assert!(matches!(answer(status), Answer::Later { .. }), "{status}");
    }
    for status in [200, 400, 401, 403, 404, 500] {
        let status = StatusCode::from_u16(status).expect("a status");
        assert!(matches!(answer(status), Answer::Refused(_)), "{status}");
    }
}

#[test]
fn only_four_http_statuses_are_tried_again() {
    for status in (300..600).filter_map(|status| StatusCode::from_u16(status).ok()) {
        let wanted = [429, 502, 503, 504].contains(&status.as_u16());
        let answer = http(status, &HeaderMap::new(), &Bytes::new());
        assert_eq!(matches!(answer, Answer::Later { .. }), wanted, "{status}");
        assert_eq!(matches!(answer, Answer::Refused(_)), !wanted, "{status}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(60));
    let wait = retry_after(&date).expect("a date").as_secs();
    assert!((58..=60).contains(&wait), "{wait}");
    assert_eq!(
        retry_after("Sun, 06 Nov 1994 08:49:37 GMT"),
        Some(Duration::ZERO)
    );
    for text in ["", "soon", "-1", "1.5"] {
        assert_eq!(retry_after(text), None, "{text:?}");
    }
}

#[test]
fn what_was_rejected_is_read_from_the_answer_and_nonsense_is_no_refusal() {
    let response = ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: 3,
            error_message: "too\nold".to_owned(),
        }),
    };
    let wanted = Partial {
        rejected: 3,
        message: "too old".to_owned(),
    };
    assert_eq!(partial(&response.encode_to_vec()), wanted);
    assert_eq!(partial(b"\xff\xff"), Partial::default());
    assert_eq!(partial(b""), Partial::default());
}
