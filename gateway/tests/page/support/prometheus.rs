//! A real Prometheus; it comes with Debian's package `prometheus`.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Instant,
};

use serde_json::Value;
use tempfile::TempDir;
use weir_gateway::RunningGateway;

use super::{PATIENCE, http};

/// Ends with the value.
pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _killed = self.process.kill();
        let _ended = self.process.wait();
    }
}

impl Prometheus {
    /// One that scrapes `gateway` five times a second, with these features.
    pub(crate) fn scraping(gateway: &RunningGateway, features: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\nscrape_configs:\n- job_name: weir\n  honor_labels: true\n  static_configs: [{{targets: ['{}']}}]\n",
            gateway.prometheus
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("a file");
        let mut process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .arg(format!("--enable-feature={features}"))
            .stderr(Stdio::piped())
            .spawn()
            .expect("prometheus is needed: apt-get install prometheus");
        let log = BufReader::new(process.stderr.take().expect("a pipe"));
        let mut lines = log.lines().map_while(Result::ok);
        // It says both when it can, in either order.
        let (mut address, mut ready) = (None, false);
        while address.is_none() || !ready {
            let line = lines.next().expect("a Prometheus that starts");
            ready |= line.contains("Server is ready to receive web requests");
            if let Some((_, own)) = line.split_once("\"Listening on\" address=") {
                address = own.parse().ok();
            }
        }
        // A full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            address: address.expect("an address"),
            _folder: folder,
        }
    }

    /// `data` of the answer of the API.
    async fn api(&self, path: &str, query: &str) -> Value {
        let encode = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        let query: String = query.bytes().map(encode).collect();
        let path = format!("/api/v1/{path}?query={query}&start=0&end=99999999999");
        let answer = http(self.address, "GET", &path, &[], &[]).await.text();
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["data"].take()
    }

    /// The results of a query, once there are `count`: labels and value.
    pub(crate) async fn query(&self, query: &str, count: usize) -> Vec<(Value, f64)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let data = self.api("query", query).await;
            let results = data["result"].as_array().expect("results");
            if results.len() == count {
                let value = |result: &Value| {
                    let value = result["value"][1].as_str().expect("a value");
                    (result["metric"].clone(), value.parse().expect("a number"))
                };
                return results.iter().map(value).collect();
            }
            assert!(Instant::now() < deadline, "{count} of {query}: {data}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// The value of a query with one result.
    pub(crate) async fn one(&self, query: &str) -> f64 {
        self.query(query, 1).await[0].1
    }

    /// All exemplars of the series that a query names, once there are `count`: the labels of the
    /// series and the exemplar.
    pub(crate) async fn exemplars(&self, query: &str, count: usize) -> Vec<(Value, Value)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let data = self.api("query_exemplars", query).await;
            let series = data.as_array().cloned().unwrap_or_default();
            let all: Vec<(Value, Value)> = series
                .iter()
                .flat_map(|series| {
                    let exemplars = series["exemplars"].as_array().cloned();
                    let labels = series["seriesLabels"].clone();
                    let with = move |exemplar| (labels.clone(), exemplar);
                    exemplars.unwrap_or_default().into_iter().map(with)
                })
                .collect();
            if all.len() == count {
                return all;
            }
            assert!(Instant::now() < deadline, "{count} of {query}: {data}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}
