//! A scraper, strict about the text format.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

type Labels = BTreeMap<String, String>;

/// One scrape.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    samples: Vec<(String, Labels, f64)>,
    /// Family name to its type.
    pub(crate) types: BTreeMap<String, String>,
}

/// `GET path`, the status code and the body.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("a listener");
    // HTTP/1.0, so that the body comes in one piece and ends with the connection.
    let request = format!("GET {path} HTTP/1.0\r\nhost: test\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("a server");
    let mut response = String::new();
    stream
        .read_to_string(&mut response)
        .await
        .expect("a whole response");
    let (head, body) = response.split_once("\r\n\r\n").expect("a response");
    let status = head.split(' ').nth(1).expect("a status line");
    (status.parse().expect("a status code"), body.to_owned())
}

pub(crate) async fn scrape(address: SocketAddr) -> Metrics {
    let (status, body) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    Metrics::parse(&body)
}

impl Metrics {
    /// Panics on what Prometheus would refuse: samples before their type, a family
    /// twice, a series twice, labels that do not parse.
    pub(crate) fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        let mut seen = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                let before = metrics.types.insert(name.to_owned(), kind.to_owned());
                assert!(before.is_none(), "family twice: {name}");
                continue;
            }
            if line.starts_with("# HELP ") {
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            let (name, labels) = match series.split_once('{') {
                Some((name, rest)) => (name, parse_labels(rest)),
                None => (series, Labels::new()),
            };
            assert!(metrics.has_type(name), "no type before {line}");
            assert!(
                seen.insert((name.to_owned(), labels.clone())),
                "series twice: {line}"
            );
            let value = value.parse().expect("a number");
            metrics.samples.push((name.to_owned(), labels, value));
        }
        metrics
    }

    /// Whether the series belongs to a family; those of histograms have suffixes.
    fn has_type(&self, name: &str) -> bool {
        let suffixes = ["_bucket", "_sum", "_count"].into_iter();
        let mut families = suffixes.filter_map(|suffix| name.strip_suffix(suffix));
        self.types.contains_key(name)
            || families.any(|family| {
                self.types
                    .get(family)
                    .is_some_and(|kind| kind == "histogram")
            })
    }

    /// The sum of the series of `name` that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.values(name, labels).iter().sum()
    }

    /// The one series of `name` that has these labels.
    pub(crate) fn one(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        match self.values(name, labels)[..] {
            [value] => value,
            ref values => panic!("{name}{labels:?}: {} series", values.len()),
        }
    }

    pub(crate) fn values(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.series(name, labels).map(|(_, value)| value).collect()
    }

    pub(crate) fn series<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&str, &str)],
    ) -> impl Iterator<Item = (&'a Labels, f64)> {
        self.samples
            .iter()
            .filter_map(move |(candidate, own, value)| {
                let wanted =
                    |(key, value): &(&str, &str)| own.get(*key).is_some_and(|v| v == value);
                (candidate == name && labels.iter().all(wanted)).then_some((own, *value))
            })
    }

    /// Offered, delivered and dropped Points of an output.
    pub(crate) fn ledger(&self, output: &str) -> (f64, f64, f64) {
        let of = |what: &str| {
            let name = format!("weir_gateway_output_points_{what}_total");
            self.sum(&name, &[("output", output)])
        };
        (of("offered"), of("delivered"), of("dropped"))
    }
}

/// Labels after the opening brace, with their escapes undone.
fn parse_labels(text: &str) -> Labels {
    let mut labels = Labels::new();
    let mut rest = text;
    while rest != "}" {
        let (name, after) = rest.split_once("=\"").expect("a label");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => match characters.next().expect("an escape").1 {
                    'n' => value.push('\n'),
                    escaped @ ('"' | '\\') => value.push(escaped),
                    other => panic!("unknown escape {other:?}"),
                },
                (_, character) => value.push(character),
            }
        };
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
        assert!(
            labels.insert(name.to_owned(), value).is_none(),
            "label twice: {name}"
        );
    }
    labels
}
