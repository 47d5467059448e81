//! The real database, which `make geoip` fetches.

use std::{
    net::IpAddr,
    path::Path,
    sync::{Arc, LazyLock},
};

use weir_script::lookups::{GeoSettings, LookupSettings, Lookups, Place};

/// Opened once: it is large.
static LOOKUPS: LazyLock<Lookups> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/geoip");
    let geoip = GeoSettings {
        files: vec![folder],
        ..GeoSettings::default()
    };
    let settings = LookupSettings {
        geoip,
        ..LookupSettings::default()
    };
    let lookups = Lookups::open(&settings).expect("settings");
    let (used, broken) = lookups.geo().files();
    assert_eq!(
        (used, broken),
        (2, 0),
        "no database; `make geoip` fetches it"
    );
    lookups
});

fn place(address: &str) -> Option<Arc<Place>> {
    let address: IpAddr = address.parse().expect("an address");
    LOOKUPS.geo().place(address)
}

fn names(place: &Place) -> [&str; 5] {
    let texts = [
        &place.country,
        &place.country_code,
        &place.province,
        &place.province_code,
        &place.city,
    ];
    texts.map(|text| text.as_deref().unwrap_or_default())
}

#[test]
fn known_addresses_are_where_they_are() {
    for (address, wanted) in [
        (
            "114.114.114.114",
            ["China", "CN", "Shandong", "CN-SD", "Jinan"],
        ),
        (
            "223.5.5.5",
            ["China", "CN", "Zhejiang", "CN-ZJ", "Hangzhou"],
        ),
        (
            "202.96.134.133",
            ["China", "CN", "Guangdong", "CN-GD", "Guangzhou"],
        ),
        (
            "61.139.2.69",
            ["China", "CN", "Sichuan", "CN-SC", "Chengdu"],
        ),
        (
            "2400:3200::1",
            ["China", "CN", "Zhejiang", "CN-ZJ", "Hangzhou"],
        ),
        (
            "::ffff:223.5.5.5",
            ["China", "CN", "Zhejiang", "CN-ZJ", "Hangzhou"],
        ),
        (
            "8.8.8.8",
            ["United States", "US", "California", "", "Mountain View"],
        ),
        (
            "203.80.96.10",
            ["Hong Kong", "HK", "Hong Kong", "CN-HK", "Kwai Chung"],
        ),
        (
            "202.175.3.3",
            ["Macao", "MO", "Macao", "CN-MO", "Zhuojiacun"],
        ),
        ("168.95.1.1", ["Taiwan", "TW", "Taiwan", "CN-TW", "Taipei"]),
    ] {
        let found = place(address).unwrap_or_else(|| panic!("{address} is nowhere"));
        assert_eq!(names(&found), wanted, "{address}");
    }
    let found = place("8.8.8.8").expect("a place");
    assert_eq!(
        (found.latitude, found.longitude),
        (Some(37.422), Some(-122.085))
    );
    assert_eq!(LOOKUPS.geo().unreadable(), 0);
}

#[test]
fn every_province_of_china_has_its_code() {
    // An address of the largest network of each, and ISO 3166-2:CN.
    for (address, name, code) in [
        ("60.168.0.1", "Anhui", "CN-AH"),
        ("59.192.0.1", "Beijing", "CN-BJ"),
        ("106.88.0.1", "Chongqing", "CN-CQ"),
        ("1.26.0.1", "Fujian", "CN-FJ"),
        ("27.224.0.1", "Gansu", "CN-GS"),
        ("36.184.0.1", "Guangdong", "CN-GD"),
        ("116.10.0.1", "Guangxi", "CN-GX"),
        ("1.95.0.1", "Guizhou", "CN-GZ"),
        ("113.58.0.1", "Hainan", "CN-HI"),
        ("101.16.0.1", "Hebei", "CN-HE"),
        ("1.56.0.1", "Heilongjiang", "CN-HL"),
        ("42.228.0.1", "Henan", "CN-HA"),
        ("58.48.0.1", "Hubei", "CN-HB"),
        ("106.16.0.1", "Hunan", "CN-HN"),
        ("111.126.0.1", "Inner Mongolia", "CN-NM"),
        ("111.208.0.1", "Jiangsu", "CN-JS"),
        ("106.232.0.1", "Jiangxi", "CN-JX"),
        ("122.140.0.1", "Jilin", "CN-JL"),
        ("42.176.0.1", "Liaoning", "CN-LN"),
        ("14.134.0.1", "Ningxia", "CN-NX"),
        ("223.220.0.1", "Qinghai", "CN-QH"),
        ("59.74.0.1", "Shaanxi", "CN-SN"),
        ("27.212.0.1", "Shandong", "CN-SD"),
        ("47.100.0.1", "Shanghai", "CN-SH"),
        ("183.184.0.1", "Shanxi", "CN-SX"),
        ("171.208.0.1", "Sichuan", "CN-SC"),
        ("117.10.0.1", "Tianjin", "CN-TJ"),
        ("101.248.0.1", "Tibet", "CN-XZ"),
        ("120.68.0.1", "Xinjiang", "CN-XJ"),
        ("42.242.0.1", "Yunnan", "CN-YN"),
        ("36.120.0.1", "Zhejiang", "CN-ZJ"),
    ] {
        let found = place(address).unwrap_or_else(|| panic!("{address} is nowhere"));
        let [country, _, province, province_code, _] = names(&found);
        assert_eq!(
            (country, province, province_code),
            ("China", name, code),
            "{address}"
        );
    }
}

#[test]
fn addresses_of_one_network_are_nowhere() {
    for address in [
        "10.0.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "169.254.0.1",
        "100.64.0.1",
        "fe80::1",
        "::1",
        "fd00::1",
    ] {
        assert_eq!(place(address), None, "{address}");
    }
}
