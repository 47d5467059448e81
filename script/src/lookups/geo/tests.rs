use std::{fs, net::IpAddr, path::Path};

use super::*;

mod mmdb;

use self::mmdb::{Item, database};

fn flat(
    country: &'static str,
    state: &'static str,
    city: &'static str,
    lat: f32,
    lon: f32,
) -> Item {
    Item::Map(vec![
        ("city", Item::Text(city)),
        ("country_code", Item::Text(country)),
        ("latitude", Item::Float(lat)),
        ("longitude", Item::Float(lon)),
        ("postcode", Item::Text("")),
        ("state1", Item::Text(state)),
    ])
}

fn names(english: &'static str) -> (&'static str, Item) {
    let names = vec![("de", Item::Text("anders")), ("en", Item::Text(english))];
    ("names", Item::Map(names))
}

/// As GeoIP2 has it, with what databases have besides.
fn nested(country: [&'static str; 2], province: [&'static str; 2], city: &'static str) -> Item {
    Item::Map(vec![
        (
            "city",
            Item::Map(vec![("geoname_id", Item::Double(1.0)), names(city)]),
        ),
        (
            "continent",
            Item::Map(vec![("code", Item::Text("EU")), names("Europe")]),
        ),
        (
            "country",
            Item::Map(vec![
                ("iso_code", Item::Text(country[0])),
                names(country[1]),
            ]),
        ),
        (
            "location",
            Item::Map(vec![
                ("latitude", Item::Double(52.524_365_7)),
                ("longitude", Item::Double(13.410_53)),
                ("time_zone", Item::Text("Europe/Berlin")),
            ]),
        ),
        (
            "subdivisions",
            Item::List(vec![
                Item::Map(vec![
                    ("iso_code", Item::Text(province[0])),
                    names(province[1]),
                ]),
                Item::Map(vec![names("a district")]),
            ]),
        ),
    ])
}

fn settings(files: &[&Path]) -> GeoSettings {
    GeoSettings {
        files: files.iter().map(|file| file.to_path_buf()).collect(),
        ..GeoSettings::default()
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn place(geo: &Geo, text: &str) -> Option<Place> {
    geo.place(ip(text)).map(|place| (*place).clone())
}

fn city_of(geo: &Geo, text: &str) -> Option<String> {
    let found = place(geo, text)?;
    Some(found.city.expect("a city").to_string())
}

fn text(text: &str) -> Option<weir_point::Text> {
    Some(weir_point::Text::new(text))
}

#[test]
fn flat_records_of_both_families_are_read_from_two_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let four = database(
        true,
        &[
            (
                "8.8.8.0/24",
                flat("US", "California", "Mountain View", 37.422, -122.085),
            ),
            (
                "202.96.134.0/24",
                flat("CN", "Guangdong", "Guangzhou (Yuexiu Qu)", 23.125, 113.291),
            ),
            (
                "203.80.0.0/16",
                flat("HK", "Kwai Tsing District", "Kwai Chung", 22.3702, 114.13),
            ),
            ("1.0.0.0/8", flat("", "", "", 0.0, 0.0)),
        ],
    );
    let six = database(
        false,
        &[("2400:3200::/32", flat("CN", "", "", 34.0, 113.0))],
    );
    fs::write(folder.path().join("v4.mmdb"), four).expect("written");
    fs::write(folder.path().join("v6.mmdb"), six).expect("written");
    fs::write(folder.path().join("README"), "of another kind").expect("written");
    let geo = Geo::open(settings(&[folder.path()]));
    assert_eq!(geo.files(), (2, 0));

    let found = place(&geo, "8.8.8.8").expect("a place");
    assert_eq!(
        found,
        Place {
            country: text("United States"),
            country_code: text("US"),
            province: text("California"),
            province_code: None,
            city: text("Mountain View"),
            latitude: Some(37.422),
            longitude: Some(-122.085),
        }
    );
    let found = place(&geo, "::ffff:202.96.134.133").expect("a place");
    assert_eq!(
        (found.city, found.province),
        (text("Guangzhou"), text("Guangdong"))
    );
    assert_eq!(
        (found.country, found.province_code),
        (text("China"), text("CN-GD"))
    );
    let found = place(&geo, "203.80.96.10").expect("a place");
    assert_eq!(
        (found.country_code, found.province_code),
        (text("HK"), text("CN-HK"))
    );
    let found = place(&geo, "2400:3200::1").expect("a place");
    assert_eq!(
        (found.country, found.province, found.city),
        (text("China"), None, None)
    );
    assert_eq!(place(&geo, "1.1.1.1"), None, "an empty record");
    assert_eq!(place(&geo, "9.9.9.9"), None, "an unknown address");
    assert_eq!(place(&geo, "2a00::1"), None, "an unknown address");
    assert_eq!(geo.unreadable(), 0);
}

#[test]
fn records_as_geoip2_has_them_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("both.mmdb");
    let both = database(
        false,
        &[
            (
                "5.9.0.0/16",
                nested(["DE", "Allemagne"], ["BE", "Land Berlin"], "Berlin"),
            ),
            (
                "2a01:4f8::/32",
                nested(["DE", "Germany"], ["SN", "Saxony"], "Falkenstein"),
            ),
            (
                "61.139.0.0/16",
                nested(["CN", "China"], ["SC", "Sichuan Sheng"], "Chengdu"),
            ),
            ("7.0.0.0/8", nested(["QQ", "Utopia"], ["", ""], "")),
            ("4.0.0.0/8", Item::Map(vec![("city", Item::Double(1.0))])),
        ],
    );
    fs::write(&file, both).expect("written");
    let geo = Geo::open(settings(&[&file]));
    let found = place(&geo, "5.9.1.1").expect("a place");
    assert_eq!(
        found,
        Place {
            country: text("Germany"),
            country_code: text("DE"),
            province: text("Land Berlin"),
            province_code: text("DE-BE"),
            city: text("Berlin"),
            latitude: Some(52.5244),
            longitude: Some(13.4105),
        }
    );
    assert_eq!(city_of(&geo, "2a01:4f8::1").as_deref(), Some("Falkenstein"));
    let found = place(&geo, "61.139.2.69").expect("a place");
    assert_eq!(
        (found.province, found.province_code),
        (text("Sichuan"), text("CN-SC"))
    );
    let found = place(&geo, "7.1.1.1").expect("a place");
    assert_eq!(
        (found.country, found.country_code),
        (text("Utopia"), text("QQ"))
    );
    assert_eq!((found.province, found.city), (None, None));
    assert_eq!(place(&geo, "4.1.1.1"), None, "a record that is none");
    assert_eq!(geo.unreadable(), 1);
}

#[test]
fn private_and_local_addresses_are_nowhere_whatever_the_database_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("all.mmdb");
    let everywhere = || flat("DE", "Berlin", "Berlin", 52.5, 13.4);
    fs::write(
        &file,
        database(false, &[("::/1", everywhere()), ("8000::/1", everywhere())]),
    )
    .expect("written");
    let geo = Geo::open(settings(&[&file]));
    for text in [
        "10.1.2.3",
        "127.0.0.1",
        "169.254.1.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "224.0.0.1",
        "::ffff:10.1.2.3",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
    ] {
        assert_eq!(place(&geo, text), None, "{text}");
    }
    assert_eq!(city_of(&geo, "9.9.9.9").as_deref(), Some("Berlin"));
    assert_eq!(city_of(&geo, "2001:4860::8888").as_deref(), Some("Berlin"));
}

#[test]
fn a_database_is_taken_when_it_is_replaced_and_kept_when_the_new_one_is_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("city.mmdb");
    let of = |city| database(true, &[("9.0.0.0/8", flat("DE", "", city, 1.0, 1.0))]);
    let refresh = |geo: &Geo| (0..3).for_each(|_| geo.refresh());
    let replace = |content: &[u8]| {
        let new = folder.path().join("new");
        fs::write(&new, content).expect("written");
        fs::rename(new, &file).expect("renamed");
    };
    let geo = Geo::open(settings(&[folder.path()]));
    assert_eq!((geo.files(), place(&geo, "9.9.9.9")), ((0, 0), None));

    replace(&of("Berlin"));
    geo.refresh();
    assert_eq!(geo.files(), (0, 0), "it may be half written");
    geo.refresh();
    assert_eq!(city_of(&geo, "9.9.9.9").as_deref(), Some("Berlin"));

    replace(&of("Bremen"));
    refresh(&geo);
    assert_eq!(city_of(&geo, "9.9.9.9").as_deref(), Some("Bremen"));

    let whole = of("Hamburg");
    replace(&whole[..whole.len() / 2]);
    refresh(&geo);
    assert_eq!(geo.files(), (1, 1));
    assert_eq!(city_of(&geo, "9.9.9.9").as_deref(), Some("Bremen"));

    fs::write(&file, &whole).expect("written in place");
    refresh(&geo);
    assert_eq!(geo.files(), (1, 0));
    assert_eq!(city_of(&geo, "9.9.9.9").as_deref(), Some("Hamburg"));

    fs::remove_file(&file).expect("removed");
    refresh(&geo);
    assert_eq!((geo.files(), place(&geo, "9.9.9.9")), ((0, 0), None));
}

#[test]
fn a_large_database_stays_as_it_was_when_its_file_is_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("city.mmdb");
    let mut large = database(true, &[("9.0.0.0/8", flat("DE", "", "Berlin", 1.0, 1.0))]);
    // What stands between the data and the metadata belongs to nobody.
    let metadata = large.windows(4).position(|own| own == b"\xab\xcd\xefM");
    let metadata = metadata.expect("metadata");
    large.splice(metadata..metadata, vec![0; 5 * 1024 * 1024]);
    fs::write(&file, &large).expect("written");
    let geo = Geo::open(settings(&[&file]));
    // A map of the file itself would end the process here.
    fs::write(&file, "").expect("truncated");
    assert_eq!(city_of(&geo, "9.9.9.9").as_deref(), Some("Berlin"));
}

#[test]
fn no_bytes_of_a_database_end_the_process() {
    let whole = database(
        false,
        &[
            (
                "9.0.0.0/8",
                nested(["DE", "Germany"], ["BE", "Berlin"], "Berlin"),
            ),
            ("2a00::/16", flat("DE", "", "Berlin", 1.0, 1.0)),
        ],
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("city.mmdb");
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..random.usize(1..8) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        if random.u8(..4) == 0 {
            bytes.truncate(random.usize(..bytes.len()));
        }
        fs::write(&file, bytes).expect("written");
        let geo = Geo::open(settings(&[&file]));
        for text in ["9.9.9.9", "2a00::1", "1.1.1.1", "8000::1"] {
            place(&geo, text);
        }
    }
}
