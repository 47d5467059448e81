use std::borrow::Cow;

use super::*;

fn route(path: &str) -> String {
    Routes::default().route(path).into_owned()
}

#[test]
fn what_identifies_one_thing_among_many_becomes_a_star() {
    for (path, wanted) in [
        ("/user/42/orders", "/user/*/orders"),
        ("/user/42/orders/7?full=1", "/user/*/orders/*"),
        (
            "/v1/jobs/550e8400-e29b-41d4-a716-446655440000/log",
            "/v1/jobs/*/log",
        ),
        ("/v1/jobs/550E8400E29B41D4A716446655440000", "/v1/jobs/*"),
        ("/git/commit/9a88c23f", "/git/commit/*"),
        (
            "/blob/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "/blob/*",
        ),
        ("/event/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/event/*"),
        ("/report/2024-01-31", "/report/*"),
        ("/report/20240131T120000Z", "/report/*"),
        ("/report/2024-01-31T12:00:00+01:00/pdf", "/report/*/pdf"),
        ("/member/jane.doe@example.com/mail", "/member/*/mail"),
        ("/member/jane%40example.com", "/member/*"),
        (
            "/session/dGhpcyBpcyBhIHRva2VuMTIzNDU2Nzg5MA==",
            "/session/*",
        ),
        (
            "/session/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
            "/session/*",
        ),
        ("/order/order-12345", "/order/*"),
        ("/at/-33.8688,151.2093", "/at/*"),
        ("/hosts/10.1.2.3", "/hosts/*"),
        ("/static/main.8f3a2b1c.js", "/static/*"),
        ("/pod/checkout-7d9f8b6c5d-x2k4q", "/pod/*"),
        ("42", "*"),
        ("/42", "/*"),
        ("//42//", "//*//"),
    ] {
        assert_eq!(route(path), wanted, "{path}");
    }
}

#[test]
fn what_the_program_knows_stays() {
    for path in [
        "/",
        "",
        "*",
        "/healthz",
        "/api/v1/users",
        "/api/v2beta1/namespaces",
        "/oauth2/token",
        "/a//b/",
        "/deadbeef/facade",
        "/@angular/core",
        "/static/app.min.js",
        "/weir.flow.v1.Flows/Stream",
        "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        "/status/http-404",
        "/my-long-article-title-about-elections",
        "/größe/straße",
        "/static/bootstrap-3.4.1.min.js",
        "/api/1.0/users",
        "/package/1.2.3/docs",
        "/apis/rbac.authorization.k8s.io/v1alpha1/clusterroles",
    ] {
        let routes = Routes::default();
        assert!(
            matches!(routes.route(path), Cow::Borrowed(same) if same == path),
            "{path} became {}",
            routes.route(path)
        );
    }
}

#[test]
fn a_route_has_neither_query_nor_fragment_nor_parameters() {
    assert_eq!(route("/search?q=1/2/3"), "/search");
    assert_eq!(route("/page#42"), "/page");
    assert_eq!(route("/shop;jsessionid=1A2B/cart;x=1"), "/shop/cart");
    assert_eq!(route("?a"), "");
}

#[test]
fn the_first_pattern_of_the_user_that_matches_wins() {
    let routes = Routes::new([
        "/user/me/orders",
        "/user/*/orders",
        "/user/*",
        "/files/**",
        "/tenant/42/info",
    ])
    .expect("patterns");
    for (path, wanted) in [
        ("/user/me/orders", "/user/me/orders"),
        ("/user/jane/orders?page=2", "/user/*/orders"),
        ("/user/jane", "/user/*"),
        ("/user/", "/user/"),
        ("/user/jane/carts/7", "/user/jane/carts/*"),
        ("/files/a", "/files/**"),
        ("/files/a/b/42/c.txt", "/files/**"),
        ("/files", "/files"),
        ("/files/", "/files/"),
        ("/tenant/42/info", "/tenant/42/info"),
        ("/tenant/43/info", "/tenant/*/info"),
    ] {
        assert_eq!(routes.route(path), wanted, "{path}");
    }
}

#[test]
fn a_pattern_that_could_not_match_as_it_looks_is_refused() {
    for text in [
        "user/*", "", "/a*", "/**/b", "/a/***", "/a?b", "/a#b", "/a;b",
    ] {
        assert!(Routes::new([text]).is_err(), "{text}");
    }
    assert!(Routes::new([format!("/{}", "a".repeat(LONGEST))]).is_err());
    let error = Routes::new(["/a", "/x*"]).expect_err("no whole segment");
    assert!(error.to_string().contains("`/x*`"), "{error}");
}

#[test]
fn a_long_path_keeps_its_begin() {
    let path = "/abcd".repeat(200);
    let long = route(&path);
    assert!(long.len() <= LONGEST, "{}", long.len());
    assert!(long.ends_with("/abcd/**"), "{long}");
    assert!(long.len() > LONGEST - 2 * "/abcd".len(), "{long}");
    assert_eq!(route(&format!("/a/{}", "x".repeat(10_000))), "/a/*");
    assert_eq!(route(&"/".repeat(10_000)).len(), LONGEST);
}

/// Random paths out of pieces that mean something to the rules, and of any characters.
fn any_path(random: &mut fastrand::Rng) -> String {
    const PIECES: &[&str] = &[
        "/",
        "/",
        "/",
        "/",
        "*",
        "**",
        "user",
        "files",
        "42",
        "7",
        "-",
        ".",
        "@",
        "%40",
        ";",
        "?",
        "#",
        "v1",
        "a",
        "deadbeef",
        "0123456789abcdef",
        "T",
        "Z",
        "ß",
        "😀",
        "=",
        "_",
        "orders",
        "\0",
        "%",
        "~other",
    ];
    let mut path = String::new();
    for _ in 0..random.usize(0..40) {
        match random.u8(0..8) {
            0 => path.push(random.char(..)),
            1 => path.push_str(&"x1".repeat(random.usize(0..60))),
            _ => path.push_str(PIECES[random.usize(0..PIECES.len())]),
        }
    }
    path
}

#[test]
fn the_route_of_a_route_is_itself_and_none_is_longer_than_its_path() {
    const PATTERNS: &[&str] = &[
        "/user/*/orders",
        "/*/user",
        "/user/*",
        "/user/**",
        "/*/*/*",
        "/files/**",
        "/*",
        "/42/*",
        "/**",
    ];
    let mut random = fastrand::Rng::with_seed(42);
    let plain = Routes::default();
    for round in 0..100_000 {
        let mut chosen: Vec<&str> = PATTERNS.to_vec();
        random.shuffle(&mut chosen);
        chosen.truncate(random.usize(0..5));
        let routes = Routes::new(&chosen).expect("patterns");
        let path = any_path(&mut random);
        let route = routes.route(&path);
        assert_eq!(
            routes.route(&route),
            route,
            "{round}: {path:?} with {chosen:?}"
        );
        assert!(route.len() <= LONGEST, "{round}: {path:?}");
        let guessed = plain.route(&path);
        assert_eq!(plain.route(&guessed), guessed, "{round}: {path:?}");
        assert!(
            guessed.len() <= path.len(),
            "{round}: {path:?} became {guessed}"
        );
    }
}
