//! Which format and which compression a scraper wants.

use axum::http::{
    HeaderMap,
    header::{ACCEPT, ACCEPT_ENCODING},
};

use crate::page::Format;

/// How an answer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
}

/// The format that the client likes best; of equal ones the first it names. One that wants only
/// what there is not gets the text that everybody reads, as from Prometheus itself.
pub(super) fn format(headers: &HeaderMap) -> Format {
    best(headers, ACCEPT.as_str(), format_of).unwrap_or(Format::Text)
}

/// The coding that the client likes best; of equal ones the cheapest.
pub(super) fn coding(headers: &HeaderMap) -> Coding {
    let quality = |coding| {
        let of = |range: &Range<'_>| (range.name.eq_ignore_ascii_case(coding)).then_some(());
        quality_of(headers, ACCEPT_ENCODING.as_str(), of)
    };
    let (zstd, gzip) = (quality("zstd"), quality("gzip"));
    // Without a word about it, plain text is as welcome as what is named least.
    let plain = quality("identity").unwrap_or(0);
    let (zstd, gzip) = (zstd.unwrap_or(0), gzip.unwrap_or(0));
    if zstd > 0 && zstd >= gzip && zstd >= plain {
        Coding::Zstd
    } else if gzip > 0 && gzip >= plain {
        Coding::Gzip
    } else {
        Coding::Identity
    }
}

/// One entry of a header such as `Accept`.
struct Range<'a> {
    name: &'a str,
    parameters: &'a str,
    /// In thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (name, parameters) = text.split_once(';').unwrap_or((text, ""));
        let mut range = Self {
            name: name.trim(),
            parameters,
            quality: 1000,
        };
        if let Some(quality) = range.parameter("q") {
            let quality: f32 = quality.parse().ok()?;
            if !(0.0..=1.0).contains(&quality) {
                return None;
            }
            range.quality = (quality * 1000.0).round() as u16;
        }
        Some(range)
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        let parameters = self.parameters.split(';');
        let mut pairs = parameters.filter_map(|parameter| parameter.split_once('='));
        let (_, value) = pairs.find(|(own, _)| own.trim().eq_ignore_ascii_case(name))?;
        Some(value.trim().trim_matches('"'))
    }

    /// Whether the parameter is one of `values`, or not there.
    fn allows(&self, name: &str, values: &[&str]) -> bool {
        self.parameter(name)
            .is_none_or(|value| values.iter().any(|own| own.eq_ignore_ascii_case(value)))
    }
}

fn format_of(range: &Range<'_>) -> Option<Format> {
    match range.name.to_ascii_lowercase().as_str() {
        "application/openmetrics-text" if range.allows("version", &["1.0.0"]) => {
            Some(Format::OpenMetrics)
        }
        "application/vnd.google.protobuf"
            if range.parameter("proto") == Some("io.prometheus.client.MetricFamily")
                && range.allows("encoding", &["delimited"]) =>
        {
            Some(Format::Protobuf)
        }
        "text/plain" if range.allows("version", &["0.0.4"]) => Some(Format::Text),
        "text/*" | "*/*" => Some(Format::Text),
        _ => None,
    }
}

fn ranges<'a>(headers: &'a HeaderMap, header: &str) -> impl Iterator<Item = Range<'a>> {
    let values = headers.get_all(header).into_iter();
    let lists = values.filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(','))
        .filter_map(Range::read)
}

fn best<T>(headers: &HeaderMap, header: &str, of: impl Fn(&Range<'_>) -> Option<T>) -> Option<T> {
    let mut best: Option<(u16, T)> = None;
    for range in ranges(headers, header).filter(|range| range.quality > 0) {
        if best.as_ref().is_none_or(|(most, _)| range.quality > *most)
            && let Some(found) = of(&range)
        {
            best = Some((range.quality, found));
        }
    }
    best.map(|(_, found)| found)
}

/// The quality of the first entry that fits.
fn quality_of(
    headers: &HeaderMap,
    header: &str,
    of: impl Fn(&Range<'_>) -> Option<()>,
) -> Option<u16> {
    ranges(headers, header)
        .find(|range| of(range).is_some())
        .map(|range| range.quality)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            name.parse().expect("a name"),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn each_scraper_gets_the_format_it_likes_best() {
        for (accept, wanted) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/html,*/*;q=0.1", Format::Text),
            ("application/json", Format::Text),
            ("text/plain;version=0.0.4", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            // Prometheus 2.42, without and with native histograms.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::Protobuf,
            ),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text; version=1.0.0; q=0.2, text/plain; q=0.3",
                Format::Text,
            ),
            (
                "text/plain;q=0.5 , application/openmetrics-text ; Version=\"1.0.0\" ; Q=0.5",
                Format::Text,
            ),
            (
                "application/openmetrics-text;q=0,text/*;q=0.1",
                Format::Text,
            ),
            ("application/openmetrics-text;version=2.0.0", Format::Text),
            ("application/openmetrics-text;q=much", Format::Text),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
                Format::Text,
            ),
            ("application/vnd.google.protobuf", Format::Text),
        ] {
            assert_eq!(format(&headers("accept", accept)), wanted, "{accept}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::Text);
    }

    #[test]
    fn an_answer_is_compressed_only_if_the_client_reads_it() {
        for (accept, wanted) in [
            ("", Coding::Identity),
            ("identity", Coding::Identity),
            ("br, deflate", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("gzip;q=0", Coding::Identity),
            ("gzip;q=0.5, identity", Coding::Identity),
            ("deflate, GZIP;q=0.8", Coding::Gzip),
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("gzip, zstd;q=0.5", Coding::Gzip),
            ("zstd;q=0, gzip;q=0.1", Coding::Gzip),
        ] {
            assert_eq!(
                coding(&headers("accept-encoding", accept)),
                wanted,
                "{accept}"
            );
        }
    }
}
