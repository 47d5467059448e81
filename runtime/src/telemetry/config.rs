//! The keys of the section `telemetry`.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::config::{Scalar, Section};

/// Where and how a process sends what it says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to, as `http://HOST:PORT`.
    pub endpoint: String,
    /// How often metrics are sent.
    pub interval: Duration,
    /// Sent with every request, e.g. a token.
    pub headers: HeaderMap,
    /// Further attributes of the resource; they win over the process's own.
    pub attributes: Vec<(String, String)>,
}

const INTERVAL: Duration = Duration::from_secs(30);

/// How telemetry is sent; more may come.
struct Protocol;

impl Config {
    /// `None` if nothing is sent.
    pub fn read(section: &mut Section<'_>) -> Option<Self> {
        let endpoint: Option<String> = section.optional("endpoint");
        section.or("protocol", Protocol);
        let interval = section.or("interval", INTERVAL);
        if interval.is_zero() {
            section.mistake("interval", "must be longer than 0s");
        }
        let headers = headers(section);
        let attributes = section.map("attributes");
        let endpoint = endpoint?;
        if !is_plain(&endpoint) {
            section.mistake("endpoint", "is not of the form http://HOST:PORT");
            return None;
        }
        Some(Self {
            endpoint,
            interval,
            headers,
            attributes,
        })
    }
}

fn is_plain(endpoint: &str) -> bool {
    let Ok(uri) = endpoint.parse::<Uri>() else {
        return false;
    };
    uri.scheme_str() == Some("http")
        && uri.host().is_some_and(|host| !host.is_empty())
        && matches!(uri.path(), "" | "/")
        && !endpoint.contains('@')
}

fn headers(section: &mut Section<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in section.map::<String>("headers") {
        // The value may be a secret: it is not repeated.
        match (HeaderName::try_from(&name), HeaderValue::try_from(&value)) {
            (Ok(header), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.append(header, value);
            }
            _ => section.mistake("headers", format!("`{name}` cannot be sent")),
        }
    }
    headers
}

impl Scalar for Protocol {
    const WHAT: &'static str = "`grpc`";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "grpc" {
            Ok(Self)
        } else {
            Err(String::new())
        }
    }

    fn show(&self) -> String {
        "grpc".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Document;

    fn read(text: &str) -> Result<Option<Config>, String> {
        Document::parse("weir.yaml", text, "WEIR_TEST", [])
            .and_then(|file| file.read(|root| Config::read(&mut root.section("telemetry"))))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_sent_without_an_endpoint() {
        assert!(read("").expect("a file").is_none());
        assert!(read("telemetry: {interval: 1s}").expect("a file").is_none());
    }

    #[test]
    fn mistakes_name_their_keys_and_no_secret() {
        let error = read(
            "telemetry: {endpoint: 'https://a:1', protocol: http, interval: 0s, headers: {a b: s3cret}}",
        )
        .expect_err("mistakes");
        for key in ["endpoint", "protocol", "interval", "headers"] {
            assert!(
                error.contains(&format!("telemetry.{key}")),
                "{key}: {error}"
            );
        }
        assert!(!error.contains("s3cret"), "{error}");
    }
}
