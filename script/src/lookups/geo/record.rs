//! Places as databases write them, in two ways: flat, as DB-IP's packages, and nested, as GeoIP2.

use std::net::IpAddr;

use maxminddb::{LookupResult, PathElement};
use weir_point::Text;

use super::{Database, Place, names};

/// What the database has of `address`; `None` if that is nothing, or nothing readable.
pub(super) fn place(reader: &Database, address: IpAddr) -> Option<Place> {
    let found = reader.lookup(address).ok()?;
    if !found.has_data() {
        return None;
    }
    let found = Found(found);
    let code = found
        .text(&[&["country_code"], &["country", "iso_code"]])
        .filter(|code| code.len() == 2);
    let country = found.text(&[&["country", "names", "en"]]);
    let country = country.or_else(|| names::country(code.as_deref()?));
    let province = found
        .text(&[&["state1"]])
        .or_else(|| found.subdivision("names"));
    let city = found.text(&[&["city"], &["city", "names", "en"]]);
    let place = Place {
        province_code: found
            .subdivision("iso_code")
            .and_then(|own| Some(format!("{}-{own}", code.as_deref()?).into()))
            .or_else(|| names::province(code.as_deref()?, province.as_deref()?)),
        country,
        country_code: code,
        province,
        city: city.map(|city| without_district(&city)),
        latitude: found.number(&[&["latitude"], &["location", "latitude"]]),
        longitude: found.number(&[&["longitude"], &["location", "longitude"]]),
    };
    (place != Place::default()).then_some(place)
}

/// `Guangzhou (Yuexiu Qu)` is in Guangzhou.
fn without_district(city: &str) -> Text {
    match city.split_once(" (") {
        Some((city, _)) if !city.is_empty() => city.into(),
        _ => city.into(),
    }
}

struct Found<'a>(LookupResult<'a, std::sync::Arc<[u8]>>);

impl Found<'_> {
    /// The first text at one of these paths.
    fn text(&self, paths: &[&[&str]]) -> Option<Text> {
        let text = paths.iter().find_map(|path| {
            let path: Vec<_> = path.iter().map(|key| PathElement::Key(key)).collect();
            self.0.decode_path::<&str>(&path).ok().flatten()
        })?;
        (!text.is_empty()).then(|| text.into())
    }

    fn number(&self, paths: &[&[&str]]) -> Option<f64> {
        paths.iter().find_map(|path| {
            let path: Vec<_> = path.iter().map(|key| PathElement::Key(key)).collect();
            let double = self.0.decode_path::<f64>(&path).ok().flatten();
            // The flat files write single precision.
            double.or_else(|| {
                let single = self.0.decode_path::<f32>(&path).ok().flatten()?;
                // As it is printed, not as it is padded: 31.23, not 31.229999542236328.
                single.to_string().parse().ok()
            })
        })
    }

    /// Of the first subdivision.
    fn subdivision(&self, key: &str) -> Option<Text> {
        let mut path = vec![
            PathElement::Key("subdivisions"),
            PathElement::Index(0),
            PathElement::Key(key),
        ];
        if key == "names" {
            path.push(PathElement::Key("en"));
        }
        let text = self.0.decode_path::<&str>(&path).ok().flatten()?;
        (!text.is_empty()).then(|| text.into())
    }
}
