//! Go's own TLS.
