//! Which pages in browsers may send, and how browsers are told.

use http::{
    HeaderMap, HeaderValue, Method,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
    request::Parts,
};

use crate::refusal::Refusal;

/// Two hours, the longest that browsers remember.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The origins that may send.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Vec<String>,
    any: bool,
}

impl Cors {
    pub(crate) fn new(origins: Vec<String>) -> Self {
        let any = origins.iter().any(|origin| origin == "*");
        Self { origins, any }
    }

    /// Whether a browser asks what it may send. Refused if the answer is nothing.
    pub(crate) fn is_preflight(&self, head: &Parts) -> Result<bool, Refusal> {
        let asks = head.method == Method::OPTIONS
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && !self.origins.is_empty();
        if asks && self.origin(&head.headers).is_none() {
            return Err(Refusal::Origin);
        }
        Ok(asks)
    }

    /// Tells the browser that the page may read this answer, and after a preflight that it may send.
    pub(crate) fn mark(&self, head: &Parts, answer: &mut HeaderMap) {
        if self.origins.is_empty() {
            return;
        }
        answer.insert(VARY, HeaderValue::from_static("origin"));
        let Some(origin) = self.origin(&head.headers) else {
            return;
        };
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let exposed = HeaderValue::from_static("retry-after");
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        if head.method == Method::OPTIONS {
            let methods = HeaderValue::from_static("POST");
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
            answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            // Whatever a page wants to send along is its own affair.
            if let Some(headers) = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
            }
        }
    }

    fn origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let known = |known: &String| known.as_bytes() == origin.as_bytes();
        (self.any || self.origins.iter().any(known)).then_some(origin)
    }
}
