//! Settings of the httpflow collector.

use std::time::Duration;

use weir_runtime::config::{ByteSize, Section};

use super::Tls;
use crate::httpflow::Redaction;

/// Settings of the httpflow collector.
#[derive(Clone, Debug, PartialEq)]
pub struct Httpflow {
    /// Whether it runs.
    pub enabled: bool,
    /// Length of a period: how often rows are sent.
    pub period: Duration,
    /// Connections that are followed at once.
    pub max_connections: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Distinct paths of one server in a period; those past it are shown as their routes.
    pub max_paths: usize,
    /// Distinct routes of one server in a period; those past it are shown as `~other`.
    pub max_routes: usize,
    /// Routes that the user knows.
    pub routes: Vec<String>,
    /// What is left out of paths.
    pub redact: Vec<Redaction>,
    /// Spans of single requests.
    pub spans: Spans,
    /// Size of the kernel's ring buffer; a power of two.
    pub ring: ByteSize,
    /// Whose requests are read above TLS.
    pub tls: Tls,
}

/// Settings of spans of single requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spans {
    /// Whether they are made.
    pub enabled: bool,
    /// The part of the requests without a `traceparent` that has one, from 0 to 1.
    pub sample: f64,
    /// No more in a second.
    pub max_per_second: u32,
}

impl Httpflow {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let httpflow = Self {
            enabled: section.or("enabled", true),
            period: section.or("period", Duration::from_secs(10)),
            max_connections: section.or("max_connections", 65_536),
            timeout: section.or("timeout", Duration::from_secs(30)),
            max_paths: section.or("max_paths", 1000),
            max_routes: section.or("max_routes", 200),
            routes: section.list("routes"),
            redact: section.list("redact"),
            spans: Spans::read(&mut section.section("spans")),
            ring: section.or("ring", ByteSize(4 << 20)),
            tls: Tls::read(&mut section.section("tls")),
        };
        if !(Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&httpflow.period) {
            section.mistake("period", "must be between 100ms and 1h");
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&httpflow.timeout) {
            section.mistake("timeout", "must be between 1s and 1h");
        }
        if httpflow.max_connections == 0 {
            section.mistake("max_connections", "must be at least 1");
        }
        if let Err(error) = weir_route::Routes::new(httpflow.routes.iter().map(String::as_str)) {
            section.mistake("routes", error.to_string());
        }
        let ring = httpflow.ring.0;
        if !ring.is_power_of_two() || !(64 << 10..=1 << 30).contains(&ring) {
            section.mistake("ring", "must be a power of two between 64KiB and 1GiB");
        }
        httpflow
    }
}

impl Spans {
    fn read(section: &mut Section<'_>) -> Self {
        let spans = Self {
            enabled: section.or("enabled", false),
            sample: section.or("sample", 1.0),
            max_per_second: section.or("max_per_second", 100),
        };
        if !(0.0..=1.0).contains(&spans.sample) {
            section.mistake("sample", "must be between 0 and 1");
        }
        spans
    }
}
