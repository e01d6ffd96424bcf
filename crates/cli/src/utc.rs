//! Moments as ISO 8601 in UTC, the same wherever the command runs.

use filepact::Time;

const DAY_SECONDS: i64 = 86_400;

/// `2026-01-31T23:59:59Z`
pub(crate) fn seconds(time: Time) -> String {
    format!("{}Z", date_time(time))
}

/// `2026-01-31T23:59:59.123456789Z`
pub(crate) fn nanoseconds(time: Time) -> String {
    format!("{}.{:09}Z", date_time(time), time.0.rem_euclid(1_000_000_000))
}

fn date_time(time: Time) -> String {
    let seconds = time.0.div_euclid(1_000_000_000);
    let (year, month, day) = date(seconds.div_euclid(DAY_SECONDS));
    let second = seconds.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years begin in March here, so that the leap day is the last of its year (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn date(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097; // 400 years
    let days = days + 719_468; // from 0000-03-01
    let day_of_era = days.rem_euclid(ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + days.div_euclid(ERA_DAYS) * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_as_the_calendar_has_them() {
        for (unix, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_709_164_799, "2024-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(seconds(Time(unix * 1_000_000_000)), text);
        }
        assert_eq!(nanoseconds(Time(-1)), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(nanoseconds(Time(7)), "1970-01-01T00:00:00.000000007Z");
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let mut last = date(-200_000);
        for day in -199_999..200_000 {
            let next = date(day);
            let (year, month, day) = last;
            assert!(
                next == (year, month, day + 1)
                    || next == (year, month + 1, 1)
                    || next == (year + 1, 1, 1),
                "{last:?} {next:?}"
            );
            last = next;
        }
    }
}
