//! DNS queries and HTTP requests: what was asked, how it ended, how often, and how long it took.

use super::{ABSENT, View, printable};
use crate::points::units;

impl View<'_> {
    /// For example `AAAA example.com NXDOMAIN ×3 1.20 ms (max 3.00 ms)`.
    pub(super) fn query(&self) -> String {
        let parts = [
            self.part("query_type"),
            self.part("query_name"),
            self.response_code(),
            self.times(),
        ];
        parts.join(" ")
    }

    /// For example `GET https://example.com/cart 200 ×3 1.20 ms (max 3.00 ms)`.
    pub(super) fn request(&self) -> String {
        let outcome = match (self.whole("status_code"), self.tag("reason")) {
            (Some(0) | None, Some(reason)) => printable(reason),
            (Some(code), _) => code.to_string(),
            (None, None) => ABSENT.to_owned(),
        };
        let mut parts = vec![self.part("method"), self.url(), outcome];
        if let Some(status) = self.whole("grpc_status") {
            parts.push(format!("grpc-status {status}"));
        }
        parts.push(self.times());
        parts.join(" ")
    }

    fn part(&self, key: &str) -> String {
        self.tag(key).map_or(ABSENT.to_owned(), printable)
    }

    /// The path, after the server's name where that is known.
    fn url(&self) -> String {
        let path = self.part("path");
        let Some(name) = self.tag("dst_domain") else {
            return path;
        };
        let scheme = match self.tag("tls") {
            Some("true") => "https",
            _ => "http",
        };
        format!("{scheme}://{}{path}", printable(name))
    }

    /// By the name that the registry has for it.
    /// <https://www.iana.org/assignments/dns-parameters/dns-parameters.xhtml#dns-parameters-6>
    fn response_code(&self) -> String {
        const NAMES: [&str; 11] = [
            "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN",
            "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE",
        ];
        let Some(code) = self.whole("rcode") else {
            return ABSENT.to_owned();
        };
        let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
        match (code, name) {
            (-1, _) => "no answer".to_owned(),
            (_, Some(name)) => (*name).to_owned(),
            (_, None) => format!("rcode {code}"),
        }
    }

    fn times(&self) -> String {
        let count = self
            .whole("count")
            .map_or(ABSENT.to_owned(), |count| format!("×{count}"));
        // Only so precise as it is shown.
        #[expect(clippy::cast_possible_truncation, reason = "times are far below 2^63")]
        let mean = self.time("latency").map(|mean| mean as i64);
        match (mean, self.whole("latency_max")) {
            (Some(mean), Some(max)) => format!(
                "{count} {} (max {})",
                units::nanoseconds(mean),
                units::nanoseconds(max)
            ),
            _ => count,
        }
    }
}
