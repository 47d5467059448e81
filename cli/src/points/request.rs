//! What the user asks for: which gateway and which Points.

use std::{fmt, str::FromStr};

use tonic::transport::Uri;
use weir_proto::observe::v1::{self as wire, TagFilter};

/// A kind of signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// Flows.
    Network,
    /// Metric data points that came over OTLP.
    Metric,
    /// Spans.
    Tracing,
    /// Log records.
    Logging,
}

impl Category {
    pub(super) fn into_wire(self) -> wire::Category {
        match self {
            Self::Network => wire::Category::Network,
            Self::Metric => wire::Category::Metric,
            Self::Tracing => wire::Category::Tracing,
            Self::Logging => wire::Category::Logging,
        }
    }
}

/// A condition on a tag, written `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    key: String,
    value: String,
}

/// The text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a filter is written KEY=VALUE, for example process_name=curl")]
pub struct InvalidFilter;

impl FromStr for Filter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self {
                key: key.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(InvalidFilter),
        }
    }
}

impl Filter {
    pub(super) fn into_wire(self) -> TagFilter {
        TagFilter {
            key: self.key,
            value: self.value,
        }
    }
}

/// Where a gateway listens, written `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayAddress(String);

/// The text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an address is written HOST:PORT, for example 127.0.0.1:4319 or [::1]:4319")]
pub struct InvalidAddress;

impl FromStr for GatewayAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let authority = Uri::from_str(text)
            .ok()
            .filter(|uri| uri.scheme().is_none() && uri.path().is_empty())
            .and_then(|uri| uri.into_parts().authority);
        match authority {
            Some(authority) if authority.port_u16().is_some() && !authority.host().is_empty() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidAddress),
        }
    }
}

impl GatewayAddress {
    pub(crate) fn url(&self) -> String {
        format!("http://{self}")
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_splits_at_its_first_equals_sign() {
        let filter = |key: &str, value: &str| Filter {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        for (text, wanted) in [
            ("dst_port=443", Ok(filter("dst_port", "443"))),
            ("process_name=a=b", Ok(filter("process_name", "a=b"))),
            ("container_id=", Ok(filter("container_id", ""))),
            ("=x", Err(InvalidFilter)),
            ("dst_port", Err(InvalidFilter)),
            ("", Err(InvalidFilter)),
        ] {
            assert_eq!(text.parse(), wanted, "{text:?}");
        }
    }

    #[test]
    fn an_address_has_a_host_and_a_port() {
        for text in ["127.0.0.1:4319", "[::1]:4319", "gateway.example:80"] {
            let address: GatewayAddress = text.parse().expect(text);
            assert_eq!(address.url(), format!("http://{text}"));
        }
        for text in [
            "",
            "localhost",
            ":4319",
            "a b:1",
            "http://x:1",
            "x:1/path",
            "x:99999",
        ] {
            assert_eq!(
                text.parse::<GatewayAddress>(),
                Err(InvalidAddress),
                "{text:?}"
            );
        }
    }
}
