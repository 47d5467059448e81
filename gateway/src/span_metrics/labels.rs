//! From spans to label text.

use weir_point::otlp::{
    AnyValue,
    traces::{ResourceSpans, Span},
};

use crate::{aggregate::push_label, otlp_metrics::push_value};

const SERVICE: &str = "service.name";

/// Writes label text for one resource and one span after the other.
#[derive(Debug)]
pub(super) struct Labels<'a, 'batch> {
    dimensions: &'a [String],
    /// The dimensions as labels.
    names: &'a [String],
    /// What the resource has to say about each dimension.
    usual: Vec<AnyValue<'batch>>,
    found: Vec<AnyValue<'batch>>,
    text: String,
    service: usize,
    value: String,
}

impl<'a, 'batch> Labels<'a, 'batch> {
    /// For these attributes, whose labels are `names`.
    pub(super) fn new(dimensions: &'a [String], names: &'a [String]) -> Self {
        Self {
            dimensions,
            names,
            usual: vec![AnyValue::Empty; dimensions.len()],
            found: Vec::with_capacity(dimensions.len()),
            text: String::new(),
            service: 0,
            value: String::new(),
        }
    }

    /// The spans to come are of this resource.
    pub(super) fn resource(&mut self, resource: &ResourceSpans<'batch>) {
        self.text.clear();
        self.usual.fill(AnyValue::Empty);
        let mut service = AnyValue::Empty;
        for attribute in resource.resource().attributes() {
            if attribute.key == SERVICE {
                service = attribute.value.clone();
            }
            if let Some(place) = self.dimensions.iter().position(|own| own == attribute.key) {
                self.usual[place] = attribute.value;
            }
        }
        self.push("service_name", &service);
        self.service = self.text.len();
    }

    /// The label of the service alone.
    pub(super) fn service(&self) -> &str {
        &self.text[..self.service]
    }

    /// All labels of `span`.
    pub(super) fn span(&mut self, span: &Span<'batch>) -> &str {
        self.text.truncate(self.service);
        self.push("span_name", &AnyValue::Text(span.name));
        // Written the way the OpenTelemetry Collector does it.
        self.text
            .push_str(if self.text.is_empty() { "" } else { "," });
        self.text.push_str(match span.kind {
            1 => "span_kind=\"SPAN_KIND_INTERNAL\"",
            2 => "span_kind=\"SPAN_KIND_SERVER\"",
            3 => "span_kind=\"SPAN_KIND_CLIENT\"",
            4 => "span_kind=\"SPAN_KIND_PRODUCER\"",
            5 => "span_kind=\"SPAN_KIND_CONSUMER\"",
            _ => "span_kind=\"SPAN_KIND_UNSPECIFIED\"",
        });
        self.text
            .push_str(match span.status.map_or(0, |status| status.code) {
                1 => ",status_code=\"STATUS_CODE_OK\"",
                super::ERROR => ",status_code=\"STATUS_CODE_ERROR\"",
                _ => ",status_code=\"STATUS_CODE_UNSET\"",
            });
        if !self.dimensions.is_empty() {
            self.dimensions(span);
        }
        &self.text
    }

    fn dimensions(&mut self, span: &Span<'batch>) {
        let mut found = std::mem::take(&mut self.found);
        found.clone_from(&self.usual);
        for attribute in span.attributes() {
            if let Some(place) = self.dimensions.iter().position(|own| own == attribute.key) {
                found[place] = attribute.value;
            }
        }
        for (name, value) in self.names.iter().zip(&found) {
            self.push(name, value);
        }
        self.found = found;
    }

    /// Prometheus takes an empty label for none.
    fn push(&mut self, name: &str, value: &AnyValue<'_>) {
        let text = match value {
            AnyValue::Text(text) => text,
            AnyValue::Empty => return,
            other => {
                self.value.clear();
                push_value(other, &mut self.value);
                self.value.as_str()
            }
        };
        if text.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(',');
        }
        push_label(name, text, &mut self.text);
    }
}
