//! OTLP as JSON: what is taken becomes a valid request, and says the same after a way through another
//! implementation's JSON. The first byte chooses the signal.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use prost::Message;
use serde::Serialize;
use weir_fuzz::{input::Input, signal};
use weir_otel_receiver::fuzz::{Limits, json_to_protobuf};
use weir_point::otlp::{OtlpBatch, Signal};

const LIMITS: Limits = Limits {
    message: 1 << 20,
    memory: 4 << 20,
};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let signal = signal(input.byte());
    let Ok(request) = json_to_protobuf(signal, input.0, LIMITS) else {
        return;
    };
    assert!(request.len() <= LIMITS.message);
    match OtlpBatch::check(signal, Bytes::from(request.clone())) {
        Ok(_) => match signal {
            Signal::Traces => assert_same::<ExportTraceServiceRequest>(signal, &request),
            Signal::Metrics => assert_same::<ExportMetricsServiceRequest>(signal, &request),
            Signal::Logs => assert_same::<ExportLogsServiceRequest>(signal, &request),
        },
        // JSON may nest a little deeper than protobuf may.
        Err(error) => assert!(error.to_string().contains("deep"), "{error}"),
    }
});

fn assert_same<M: Message + Default + Serialize>(signal: Signal, request: &[u8]) {
    let decoded = M::decode(request).expect("a request");
    let text = serde_json::to_string(&decoded).expect("JSON");
    if text.contains("null") {
        // What the other implementation writes for numbers that are none.
        return;
    }
    let again = json_to_protobuf(signal, text.as_bytes(), LIMITS).expect("what was taken before");
    let again = M::decode(&again[..]).expect("a request");
    assert_eq!(again.encode_to_vec(), decoded.encode_to_vec(), "{text}");
}
