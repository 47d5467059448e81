//! What databases say of an address, in both layouts that are common: flat records (`country_code`, `state1`, `city`,
//! `latitude`, `longitude`), and those of GeoIP2 (`country.iso_code`, `subdivisions`, `city.names`, `location`).

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

/// What is read of a record.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Record<'a> {
    /// ISO 3166-1.
    #[serde(borrow, default)]
    pub(super) country_code: Option<Named<'a>>,
    #[serde(borrow, default)]
    pub(super) country: Option<Named<'a>>,
    #[serde(borrow, default)]
    pub(super) state1: Option<Named<'a>>,
    #[serde(borrow, default)]
    pub(super) subdivisions: Vec<Named<'a>>,
    #[serde(borrow, default)]
    pub(super) city: Option<Named<'a>>,
    #[serde(default)]
    pub(super) latitude: Option<Degrees>,
    #[serde(default)]
    pub(super) longitude: Option<Degrees>,
    #[serde(default)]
    pub(super) location: Option<Location>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Location {
    #[serde(default)]
    pub(super) latitude: Option<Degrees>,
    #[serde(default)]
    pub(super) longitude: Option<Degrees>,
}

/// A name: a text, or a map with the names in several languages and a code.
#[derive(Debug, Default)]
pub(super) struct Named<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) code: Option<&'a str>,
}

/// Degrees, in a number of any width.
#[derive(Debug, Clone, Copy)]
pub(super) struct Degrees(pub(super) f64);

impl<'a> Named<'a> {
    /// The name, if it is not empty.
    pub(super) fn name(&self) -> Option<&'a str> {
        self.name.filter(|name| !name.is_empty())
    }

    /// The code, if it is not empty.
    pub(super) fn code(&self) -> Option<&'a str> {
        self.code.filter(|code| !code.is_empty())
    }
}

#[derive(Default, Deserialize)]
struct Names<'a> {
    #[serde(borrow, default)]
    en: Option<&'a str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Named<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Named<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a map with names")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Named<'de>, E> {
                let name = Some(name);
                Ok(Named { name, code: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<'de>, A::Error> {
                let mut named = Named::default();
                while let Some(key) = map.next_key::<&str>()? {
                    match key {
                        "iso_code" => named.code = Some(map.next_value()?),
                        "names" => named.name = map.next_value::<Names<'de>>()?.en,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(named)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Degrees {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Degrees;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("degrees")
            }

            fn visit_f64<E>(self, degrees: f64) -> Result<Degrees, E> {
                Ok(Degrees(degrees))
            }

            fn visit_i32<E>(self, degrees: i32) -> Result<Degrees, E> {
                Ok(Degrees(f64::from(degrees)))
            }

            fn visit_u32<E>(self, degrees: u32) -> Result<Degrees, E> {
                Ok(Degrees(f64::from(degrees)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}
