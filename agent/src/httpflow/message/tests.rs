use weir_runtime::config::Scalar as _;

use super::*;

fn request(target: &str) -> Request {
    Request::new(b"GET", target, Version::Http11, &[])
}

#[test]
fn a_path_has_neither_query_nor_authority() {
    for (target, path) in [
        ("/a/b?c=d", "/a/b"),
        ("/a#b", "/a"),
        ("/a?u=http://b/c", "/a"),
        ("http://example.org/a?b", "/a"),
        ("http://example.org", "/"),
        ("http://example.org?b", "/"),
        ("*", "*"),
        ("?x", "/"),
    ] {
        assert_eq!(&*request(target).path, path, "{target}");
    }
}

#[test]
fn a_long_path_is_cut_and_says_so() {
    let short = format!("/{}", "a".repeat(149));
    assert!(!request(&short).truncated);
    let long = format!("/{}é", "a".repeat(148));
    let cut = request(&long);
    assert_eq!((cut.path.len(), cut.truncated), (149, true));
}

#[test]
fn what_is_redacted_is_never_kept() {
    let patterns = [Redaction::parse("/reset/**").unwrap()];
    let long = format!("/reset/{}", "secret".repeat(50));
    for target in ["/reset/secret?secret", &long] {
        let request = Request::new(b"GET", target, Version::Http11, &patterns);
        assert_eq!((&*request.path, request.truncated), ("/reset/*", false));
    }
}

#[test]
fn methods_are_few() {
    let method = |method: &[u8]| Request::new(method, "/", Version::Http11, &[]).method;
    assert_eq!(method(b"PROPFIND"), "PROPFIND");
    assert_eq!(method(b"get"), "_OTHER");
    assert_eq!(method(b"XYZ"), "_OTHER");
}

#[test]
fn names_of_hosts_are_names() {
    let name = |host: &str| host_name(host.as_bytes()).map(String::from);
    assert_eq!(name(" Example.ORG.:8080 ").as_deref(), Some("example.org"));
    assert_eq!(name("db").as_deref(), Some("db"));
    for other in ["10.1.2.3", "10.1.2.3:80", "[::1]:80", "", "a b", "a/b", "é"] {
        assert_eq!(name(other), None, "{other}");
    }
    assert_eq!(name(&"a".repeat(254)), None);
}

#[test]
fn a_traceparent_is_taken_if_it_is_valid() {
    // W3C Trace Context, 3.2.4.
    let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let parsed = TraceParent::parse(valid.as_bytes()).unwrap();
    assert_eq!(parsed.trace[..2], [0x0a, 0xf7]);
    assert_eq!((parsed.parent[7], parsed.sampled), (0x31, true));
    let later = format!("cc{}-what-the-future-will-be-like", &valid[2..]);
    assert!(TraceParent::parse(later.as_bytes()).is_some());
    for wrong in [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.",
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
        "",
    ] {
        assert_eq!(TraceParent::parse(wrong.as_bytes()), None, "{wrong}");
    }
}
