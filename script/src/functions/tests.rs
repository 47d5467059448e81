//! Programs that look something up.

use std::{fs, path::PathBuf, sync::Arc};

use weir_point::{Category, Point, Text};

use super::own;
use crate::{
    Engine, Limits, Runner,
    lookups::{GeoSettings, LookupSettings, Lookups, TableSettings},
};

/// What can be looked up: a table, two networks, a route.
fn lookups(table: PathBuf) -> Arc<Lookups> {
    let network = |text: &str| text.parse().expect("a network");
    let settings = LookupSettings {
        geoip: GeoSettings {
            files: Vec::new(),
            cache: 0,
        },
        subnets: vec![
            ("all".to_owned(), vec![network("10.0.0.0/8")]),
            ("office".to_owned(), vec![network("10.1.0.0/16")]),
        ],
        tables: vec![TableSettings {
            name: "owners".to_owned(),
            file: table,
            key: Vec::new(),
        }],
        routes: vec!["/shop/**".to_owned()],
    };
    Arc::new(Lookups::open(&settings).expect("settings"))
}

fn engine() -> Engine {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("owners.csv");
    fs::write(&file, "ip,team,port\n10.1.2.3,shop,80\n7,seven,81\n").expect("written");
    Engine::new(own(&lookups(file)))
}

fn point(tags: &[(&str, &str)]) -> Point {
    let mut point = Point::new(Category::Network, Text::new("netflow"));
    for (key, value) in tags {
        point.tags.set(Text::new(key), Text::new(value));
    }
    point
}

/// The tag `x` after the program.
fn x(engine: &Engine, source: &str, point: &Point) -> Option<String> {
    let script = engine
        .compile(source)
        .unwrap_or_else(|error| panic!("{source}: {}", error.text));
    let mut point = point.clone();
    let outcome = Runner::default().run(&script, &mut point, &Limits::default());
    outcome.unwrap_or_else(|error| panic!("{source}: {}", error.describe(source)));
    point.tags.get("x").map(ToString::to_string)
}

#[test]
fn programs_look_up_networks_tables_and_routes() {
    let engine = engine();
    let point = point(&[
        ("ip", "10.1.2.3"),
        ("path", "/user/42?full"),
        ("name", "office"),
    ]);
    for (source, wanted) in [
        (".tags.x = subnet(.tags.ip)", Some("office")),
        (".tags.x = subnet(\"::ffff:10.2.0.1\")", Some("all")),
        (".tags.x = subnet(\"192.0.2.1\")", None),
        (".tags.x = subnet(.tags.none)", None),
        (".tags.x = ip_type(.tags.ip)", Some("private")),
        (".tags.x = ip_type(\"224.0.0.1\")", Some("multicast")),
        (".tags.x = ip_type(.tags.path)", None),
        (".tags.x = cidr_contains!(\"all\", .tags.ip)", Some("true")),
        (
            ".tags.x = cidr_contains!(.tags.name, .tags.ip)",
            Some("true"),
        ),
        (
            ".tags.x = cidr_contains(\"10.1.2.0/24\", .tags.ip)",
            Some("true"),
        ),
        (
            ".tags.x = cidr_contains([\"10.1.3.0/24\", \"fd00::/8\"], .tags.ip)",
            Some("false"),
        ),
        (
            ".tags.x = cidr_contains(\"10.0.0.0/8\", .tags.none)",
            Some("false"),
        ),
        (".tags.x = lookup!(\"owners\", .tags.ip).team", Some("shop")),
        (".tags.x = lookup!(\"owners\", 7).team", Some("seven")),
        (".tags.x = lookup!(\"owners\", .tags.none).team", None),
        (".tags.x = route(.tags.path)", Some("/user/*")),
        (".tags.x = route(\"/shop/a/b\")", Some("/shop/**")),
        (".tags.x = route(.tags.none)", None),
        (".tags.x = geoip(\"8.8.8.8\").city", None),
    ] {
        assert_eq!(x(&engine, source, &point).as_deref(), wanted, "{source}");
    }
}

#[test]
fn a_name_that_nobody_has_configured_is_a_failure_and_not_an_empty_answer() {
    let engine = engine();
    for (source, wanted) in [
        (
            ".tags.x = lookup!(\"cars\", \"a\")",
            "no table `cars` is configured",
        ),
        (
            ".tags.x = lookup!(\"owners\", [\"a\", \"b\"])",
            "has 1 columns, and 2 are given",
        ),
        (
            ".tags.x = cidr_contains!(\"cellar\", \"10.0.0.1\")",
            "no subnet `cellar` is configured",
        ),
    ] {
        let script = engine.compile(source).expect("a program");
        let result = Runner::default().run(&script, &mut point(&[]), &Limits::default());
        let error = result.expect_err(source).describe(source);
        assert!(error.contains(wanted), "{error}");
    }
    for source in [
        ".tags.x = cidr_contains(\"10.0.0.1/8\", .tags.ip)",
        ".tags.x = cidr_contains([\"10.0.0.0/33\"], .tags.ip)",
        ".tags.x = cidr_contains(\"all\", .tags.ip)",
        ".tags.x = lookup(\"owners\", .tags.ip)",
        ".fields.x = sample(0)",
    ] {
        assert!(engine.compile(source).is_err(), "{source}");
    }
}

/// How many of 100,000 Points are left, and whether all of them say what they stand for.
fn left(source: &str, key: impl Fn(u32) -> String) -> Vec<u32> {
    let engine = engine();
    let script = engine
        .compile(source)
        .unwrap_or_else(|error| panic!("{}", error.text));
    let mut runner = Runner::default();
    let kept = (0..100_000).filter(|number| {
        let mut point = point(&[("key", &key(*number))]);
        let outcome = runner
            .run(&script, &mut point, &Limits::default())
            .expect("a result");
        let factor = point.fields.get("sampling_factor").cloned();
        assert_eq!(outcome.dropped, factor.is_none(), "{number}");
        !outcome.dropped
    });
    kept.collect()
}

#[test]
fn one_point_of_so_many_is_left_and_says_for_how_many_it_stands() {
    let by_chance = left(".fields.sampling_factor = sample(10)", |number| {
        number.to_string()
    });
    assert!(
        (9_000..11_000).contains(&by_chance.len()),
        "{}",
        by_chance.len()
    );
    let all = left(".fields.sampling_factor = sample(1)", |number| {
        number.to_string()
    });
    assert_eq!(all.len(), 100_000);

    let by_key = |rate: u32| {
        let source = format!(".fields.sampling_factor = sample({rate}, .tags.key)");
        left(&source, |number| format!("user-{number}"))
    };
    let (ten, hundred) = (by_key(10), by_key(100));
    assert!((9_400..10_600).contains(&ten.len()), "{}", ten.len());
    assert!((800..1_200).contains(&hundred.len()), "{}", hundred.len());
    assert_eq!(ten, by_key(10), "the same key is always kept");
    assert!(
        hundred.iter().all(|number| ten.contains(number)),
        "what is kept of a hundred is kept of ten"
    );
}
