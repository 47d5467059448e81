//! The section of the configuration file, and its reference in the book.

use std::{collections::BTreeSet, fs};

use weir_otel_receiver::{Cause, Config};
use weir_runtime::config::Document;

use crate::support::config;

fn page() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/otlp-receiver.md");
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The first two cells of every row whose first cell is code.
fn rows(page: &str) -> impl Iterator<Item = [String; 2]> {
    page.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let mut cells = line.split('|').map(|cell| cell.trim().to_owned());
            [1, 0].map(|skip| cells.nth(skip).expect("two cells"))
        })
}

#[test]
fn every_key_is_documented_with_its_default() {
    let keys = Document::keys(|root| Config::read(&mut root.section("otlp_receiver")));
    let wanted: BTreeSet<_> = keys
        .into_iter()
        .map(|key| {
            let default = key.default.map_or("off".to_owned(), |d| format!("`{d}`"));
            [format!("`{}`", key.path), default]
        })
        .collect();
    let documented: BTreeSet<_> = rows(&page())
        .filter(|[key, _]| key.starts_with("`otlp_receiver."))
        .collect();
    assert_eq!(documented, wanted);
}

#[test]
fn every_cause_of_a_refusal_is_documented() {
    let wanted: BTreeSet<_> = Cause::ALL
        .iter()
        .map(|c| format!("`{}`", c.name()))
        .collect();
    let documented: BTreeSet<_> = rows(&page())
        .map(|[cause, _]| cause)
        .filter(|cause| !cause.starts_with("`otlp_receiver."))
        .collect();
    assert_eq!(documented, wanted);
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let cases: [(&[(&str, &str)], &str); 10] = [
        (&[("max_message", "0B")], "more than 0"),
        (&[("memory", "32MiB")], "4 times `max_message`"),
        (&[("connections", "0")], "at least 1"),
        (&[("timeout", "0s")], "longer than 0s"),
        (&[("token", "two words")], "without spaces"),
        (&[("tls.cert", "cert.pem")], "needed with `cert`"),
        (&[("tls.key", "key.pem")], "needed with `key`"),
        (&[("tls.client_ca", "ca.pem")], "needs `cert` and `key`"),
        (&[("cors.origins", "https://a/b")], "no origin"),
        (&[("http.listen", "4318")], "`off`, or an address"),
    ];
    for (keys, wanted) in cases {
        let mistakes = config(keys).expect_err(wanted);
        assert!(mistakes.contains(wanted), "{mistakes}");
    }
}

#[test]
fn with_both_listeners_off_there_is_no_receiver() {
    let off = [("grpc.listen", "off"), ("http.listen", "off")];
    assert!(config(&off).expect("valid").is_none());
    assert!(config(&[]).expect("valid").is_some());
}
