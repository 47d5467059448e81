//! Places, as weir names them whatever the database is.

use weir_point::Text;

use super::{
    country::country_name,
    province::chinese_province,
    record::{Degrees, Record},
};

/// Where an address is. What the database does not know is left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place {
    /// The English short name of the country or territory.
    pub country: Option<Text>,
    /// Its code of ISO 3166-1, two capital letters.
    pub country_code: Option<Text>,
    /// The English name of the first division of the country: state, province, region.
    pub province: Option<Text>,
    /// Its code of ISO 3166-2, such as `CN-SD`.
    pub province_code: Option<Text>,
    /// The English name of the city, without a district.
    pub city: Option<Text>,
    /// Degrees north, to four places behind the point.
    pub latitude: Option<f64>,
    /// Degrees east, to four places behind the point.
    pub longitude: Option<f64>,
}

impl Place {
    /// What `record` says; `None` if that is nothing.
    pub(super) fn of(record: &Record<'_>) -> Option<Self> {
        let flat = record.country_code.as_ref().and_then(|own| own.name());
        let nested = record.country.as_ref();
        let code = flat.or_else(|| nested.and_then(|own| own.code()));
        let code = code.map(str::to_ascii_uppercase);
        let country = code.as_deref().and_then(country_name).map(Text::new_static);
        let country = country.or_else(|| Some(Text::new(nested?.name()?)));
        let mut place = Self {
            country,
            country_code: code.as_deref().map(Text::new),
            city: record.city.as_ref().and_then(|own| own.name()).map(city),
            ..Self::default()
        };
        place.set_province(record, code.as_deref().unwrap_or_default());
        place.set_position(record);
        (place != Self::default()).then_some(place)
    }

    fn set_province(&mut self, record: &Record<'_>, country: &str) {
        let own = record.state1.as_ref().or(record.subdivisions.first());
        let name = own.and_then(|own| own.name());
        let code = own.and_then(|own| own.code());
        if let Some((code, name)) = chinese_province(country, name.unwrap_or_default()) {
            self.province = Some(Text::new_static(name));
            self.province_code = Some(Text::new_static(code));
            return;
        }
        self.province = name.map(Text::new);
        self.province_code = code.map(|code| Text::new(format!("{country}-{code}")));
    }

    /// A position is two numbers. Databases say 0, 0 where they know none.
    fn set_position(&mut self, record: &Record<'_>) {
        let nested = record.location.as_ref();
        let latitude = record.latitude.or_else(|| nested?.latitude);
        let longitude = record.longitude.or_else(|| nested?.longitude);
        let (Some(Degrees(latitude)), Some(Degrees(longitude))) = (latitude, longitude) else {
            return;
        };
        let is_somewhere = latitude.abs() <= 90.0
            && longitude.abs() <= 180.0
            && (latitude, longitude) != (0.0, 0.0);
        if is_somewhere {
            (self.latitude, self.longitude) = (Some(rounded(latitude)), Some(rounded(longitude)));
        }
    }
}

/// To about ten metres, which is more than databases know, and without the noise of numbers kept in 32 bits.
fn rounded(degrees: f64) -> f64 {
    (degrees * 10_000.0).round() / 10_000.0
}

/// A city without the district that some databases write behind it: `Guangzhou (Yuexiu Qu)`.
fn city(name: &str) -> Text {
    let with_district = name
        .strip_suffix(')')
        .and_then(|name| name.split_once(" ("));
    match with_district {
        Some((city, _)) if !city.is_empty() => Text::new(city),
        _ => Text::new(name),
    }
}
