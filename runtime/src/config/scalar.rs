//! Kinds of single values, and how each is written.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// A kind of value that is written as one word or line of text.
pub trait Scalar: Sized {
    /// What to write, as in "expected ...".
    const WHAT: &'static str;

    /// Read it.
    ///
    /// # Errors
    /// What is wrong with `text`, where that is more than "not of this kind";
    /// otherwise empty.
    fn parse(text: &str) -> Result<Self, String>;

    /// Write it, so that [`Self::parse`] reads the same value.
    fn show(&self) -> String;
}

/// A size in bytes, written with a binary unit: `64KiB`, `4MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(
    /// Bytes.
    pub u64,
);

impl Scalar for String {
    const WHAT: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Scalar for bool {
    const WHAT: &'static str = "`true` or `false`";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_not_a_bool| String::new())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// `FromStr` types whose own error says enough.
macro_rules! as_the_standard_library_reads_it {
    ($($type:ty: $what:literal),+ $(,)?) => {$(
        impl Scalar for $type {
            const WHAT: &'static str = $what;

            fn parse(text: &str) -> Result<Self, String> {
                text.parse::<Self>().map_err(|error| error.to_string())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}

as_the_standard_library_reads_it! {
    u16: "a whole number from 0 to 65535",
    u32: "a whole number",
    u64: "a whole number",
    usize: "a whole number",
    SocketAddr: "an address and a port such as `127.0.0.1:4319` or `[::1]:4319`",
}

impl Scalar for f64 {
    const WHAT: &'static str = "a number";

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse::<Self>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(String::new()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Scalar for PathBuf {
    const WHAT: &'static str = "a path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err(String::new())
        } else {
            Ok(Self::from(text))
        }
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

/// Microseconds in each unit, largest first.
const TIME_UNITS: [(&str, u64); 5] = [
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

impl Scalar for Duration {
    const WHAT: &'static str = "a duration such as `500ms`, `10s`, `5m` or `1h`";

    fn parse(text: &str) -> Result<Self, String> {
        quantity(text, &TIME_UNITS).map(Self::from_micros)
    }

    fn show(&self) -> String {
        let micros = u64::try_from(self.as_micros()).unwrap_or(u64::MAX);
        in_largest_unit(micros, &TIME_UNITS, "s")
    }
}

/// Bytes in each unit, largest first.
const SIZE_UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl Scalar for ByteSize {
    const WHAT: &'static str = "a size such as `512B`, `64KiB`, `4MiB` or `1GiB`";

    fn parse(text: &str) -> Result<Self, String> {
        quantity(text, &SIZE_UNITS).map(Self)
    }

    fn show(&self) -> String {
        in_largest_unit(self.0, &SIZE_UNITS, "B")
    }
}

/// A whole number and a unit, in the smallest unit.
fn quantity(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err("it must begin with a whole number".to_owned());
    }
    let unit = unit.trim_start();
    let known = units.iter().find(|(name, _)| *name == unit);
    let Some((_, size)) = known else {
        let names: Vec<&str> = units.iter().rev().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        return Err(match unit {
            "" => format!("the unit is missing ({names})"),
            _ => format!("the unit is one of {names}"),
        });
    };
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(*size))
        .ok_or_else(|| "it is too large".to_owned())
}

/// The amount in the largest unit that expresses it exactly.
fn in_largest_unit(amount: u64, units: &[(&str, u64)], unit_of_zero: &str) -> String {
    units
        .iter()
        .find(|(_, size)| amount != 0 && amount.is_multiple_of(*size))
        .map_or_else(
            || format!("0{unit_of_zero}"),
            |(name, size)| format!("{}{name}", amount / size),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Result<f64, String> {
        Duration::parse(text).map(|duration| duration.as_secs_f64())
    }

    #[test]
    fn a_duration_is_written_with_its_unit() {
        assert_eq!(seconds("500ms"), Ok(0.5));
        assert_eq!(seconds("10s"), Ok(10.0));
        assert_eq!(seconds("5 m"), Ok(300.0));
        assert_eq!(seconds("1h"), Ok(3600.0));
        assert_eq!(seconds("0s"), Ok(0.0));
        assert_eq!(seconds("250us"), Ok(0.00025));
    }

    #[test]
    fn a_duration_without_a_unit_is_refused_because_it_could_mean_anything() {
        let why = seconds("10").expect_err("no unit");
        assert!(why.contains("unit is missing"), "{why}");
        for text in ["", "s", "-1s", "1.5s", "1d", "1s ", "1e3s", "1sec"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        let why = seconds("99999999999999999999s").expect_err("overflow");
        assert!(why.contains("too large"), "{why}");
    }

    #[test]
    fn a_size_is_written_with_a_binary_unit() {
        assert_eq!(ByteSize::parse("64KiB"), Ok(ByteSize(65_536)));
        assert_eq!(ByteSize::parse("4MiB"), Ok(ByteSize(4 << 20)));
        assert_eq!(ByteSize::parse("1GiB"), Ok(ByteSize(1 << 30)));
        assert_eq!(ByteSize::parse("0B"), Ok(ByteSize(0)));
        for text in ["4096", "4MB", "4Mi", "17179869184GiB", "kib"] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_default_shown_in_the_docs_can_be_copied_into_a_file() {
        fn same<T: Scalar + PartialEq + std::fmt::Debug>(value: T, shown: &str) {
            assert_eq!(value.show(), shown);
            assert_eq!(T::parse(shown), Ok(value));
        }
        same(Duration::from_millis(1500), "1500ms");
        same(Duration::from_secs(90), "90s");
        same(Duration::from_secs(7200), "2h");
        same(Duration::ZERO, "0s");
        same(ByteSize(3 << 19), "1536KiB");
        same(ByteSize(0), "0B");
        same(true, "true");
        same(4319_u16, "4319");
        same(0.25, "0.25");
        same(SocketAddr::from(([127, 0, 0, 1], 4319)), "127.0.0.1:4319");
        same(PathBuf::from("/var/lib/weir"), "/var/lib/weir");
        same("a text".to_owned(), "a text");
    }

    #[test]
    fn numbers_that_do_not_fit_are_refused_not_wrapped() {
        assert!(u16::parse("65536").is_err());
        assert!(u64::parse("-1").is_err());
        assert!(f64::parse("inf").is_err());
        assert!(f64::parse("NaN").is_err());
        assert!(bool::parse("yes").is_err());
    }
}
