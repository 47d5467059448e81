//! Stories of routes.

use super::*;

fn route(path: &str) -> String {
    Routes::default().route(path).into_owned()
}

#[test]
fn what_identifies_one_thing_among_many_becomes_a_star() {
    for (path, expected) in [
        ("/users/42/orders/7", "/users/*/orders/*"),
        (
            "/v1/items/550e8400-e29b-41d4-a716-446655440000",
            "/v1/items/*",
        ),
        ("/blobs/9f86d081884c7d65/raw", "/blobs/*/raw"),
        ("/days/2026-01-31", "/days/*"),
        ("/hosts/10.1.2.3", "/hosts/*"),
        ("/mail/jane.doe@example.org", "/mail/*"),
        ("/mail/jane%40example.org", "/mail/*"),
        ("/t/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/t/*"),
        (
            "/session/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc",
            "/session/*",
        ),
        ("/search?q=42", "/search"),
    ] {
        assert_eq!(route(path), expected, "{path}");
    }
}

#[test]
fn names_that_people_give_stay() {
    for path in [
        "/",
        "/api/v2/users",
        "/healthz",
        "/static/app.js",
        "/deadbeef",
        "/oauth2/token",
        "/index.html",
        "/static/bootstrap-3.4.1.min.js",
        "/api/1.0/users",
        "*",
        "",
    ] {
        assert_eq!(route(path), path);
    }
}

#[test]
fn a_pattern_of_the_user_comes_first() {
    let routes = Routes::new(["/shop/*/checkout", "/files/**", "/*/x"]).unwrap();
    assert_eq!(routes.route("/shop/amsterdam/checkout"), "/shop/*/checkout");
    assert_eq!(routes.route("/shop/amsterdam"), "/shop/amsterdam");
    assert_eq!(routes.route("/files/a/b/c"), "/files/**");
    assert_eq!(routes.route("/files"), "/files");
    assert_eq!(routes.route("/y/x"), "/*/x");
    assert_eq!(routes.route("//x"), "//x");
}

#[test]
fn a_text_that_is_no_pattern_is_named() {
    for text in ["users/*", "/a*b", "/**/x", &format!("/{}", "x".repeat(300))] {
        let error = Routes::new([text]).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn the_route_of_a_route_is_the_same_whatever_the_path() {
    let routes = Routes::new(["/a/*/b", "/0/**"]).unwrap();
    let mut random = 7_u64;
    let alphabet: Vec<char> = "/*?a0fZ-.@%:é".chars().collect();
    for length in 0..400 {
        for _ in 0..20 {
            let text: String = (0..length)
                .map(|_| {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    alphabet[(random >> 33) as usize % alphabet.len()]
                })
                .collect();
            let once = routes.route(&text).into_owned();
            assert!(once.len() <= text.len().max(4), "{text}");
            assert!(once.len() <= LONGEST);
            assert_eq!(routes.route(&once), once, "{text}");
        }
    }
}
