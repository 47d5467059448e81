//! Numbers for people.

const KIBI: f64 = 1024.0;
const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// A number of bytes with about three digits: `512 B`, `1.50 KiB`, `20.0 MiB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(count: i64) -> String {
    if count.unsigned_abs() < 1024 {
        return format!("{count} B");
    }
    let mut amount = count as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if amount.abs() < 1023.5 {
            break;
        }
        amount /= KIBI;
        unit = larger;
    }
    format!("{} {unit}", three_digits(amount))
}

/// A time given in microseconds with three digits: `812 us`, `1.50 ms`, `2.30 s`.
pub(super) fn microseconds(time: f64) -> String {
    let (amount, unit) = match time {
        us if us < 999.5 => (us, "us"),
        us if us < 999_500.0 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    format!("{} {unit}", three_digits(amount))
}

/// A time given in nanoseconds with three digits.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn nanoseconds(time: i64) -> String {
    microseconds(time as f64 / 1e3)
}

fn three_digits(amount: f64) -> String {
    match amount.abs() {
        small if small < 9.995 => format!("{amount:.2}"),
        middle if middle < 99.95 => format!("{amount:.1}"),
        _ => format!("{amount:.0}"),
    }
}

/// The time of day of a moment in nanoseconds since the epoch, in UTC.
pub(super) fn time_of_day(nanoseconds: u64) -> String {
    let second = nanoseconds / 1_000_000_000 % SECONDS_PER_DAY;
    format!(
        "{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_the_right_unit() {
        for (count, wanted) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (1024 * 1000, "1000 KiB"),
            (20 * 1024 * 1024, "20.0 MiB"),
            (300 * 1024 * 1024 * 1024, "300 GiB"),
            (i64::MAX, "8.00 EiB"),
        ] {
            assert_eq!(bytes(count), wanted, "{count}");
        }
    }

    #[test]
    fn times_have_three_digits_and_the_right_unit() {
        for (time, wanted) in [
            (0.0, "0.00 us"),
            (35.25, "35.2 us"),
            (812.4, "812 us"),
            (999.6, "1.00 ms"),
            (1500.0, "1.50 ms"),
            (2_300_000.0, "2.30 s"),
        ] {
            assert_eq!(microseconds(time), wanted, "{time}");
        }
    }

    #[test]
    fn the_time_of_day_is_utc() {
        assert_eq!(time_of_day(1_700_000_010_999_999_999), "22:13:30");
        assert_eq!(time_of_day(0), "00:00:00");
    }
}
