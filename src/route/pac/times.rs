//! The helpers about time: `weekdayRange`, `dateRange`, `timeRange`.
//!
//! A range includes both its ends, at the grain it is written in: `timeRange(9, 17)` holds until
//! 17:59:59, as with Mozilla. One whose end comes before its beginning goes round.

use time::OffsetDateTime;

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

/// A point in time, by the calendar of some zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    year: i64,
    /// From 0.
    month: i64,
    /// From 1.
    day: i64,
    /// Sunday is 0.
    weekday: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Moment {
    /// Of seconds since 1970, by a clock that shows the zone's time.
    pub(super) fn of(seconds: i64) -> Self {
        // A clock that is ten thousand years off is as good as none.
        let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        Self {
            year: now.year().into(),
            month: i64::from(u8::from(now.month())) - 1,
            day: now.day().into(),
            weekday: now.weekday().number_days_from_sunday().into(),
            hour: now.hour().into(),
            minute: now.minute().into(),
            second: now.second().into(),
        }
    }
}

/// The words without a last `"GMT"`, and whether there was one.
pub(super) fn split_zone(words: &[String]) -> (Vec<&str>, bool) {
    let mut words: Vec<_> = words.iter().map(String::as_str).collect();
    let in_utc = words.pop_if(|word| word.eq_ignore_ascii_case("GMT")).is_some();
    (words, in_utc)
}

/// `weekdayRange("MON", "FRI")`, or one day.
pub(super) fn weekday(words: &[&str], now: &Moment) -> bool {
    let days: Option<Vec<_>> = words.iter().map(|word| named(&WEEKDAYS, word)).collect();
    match days.as_deref() {
        Some([day]) => now.weekday == *day,
        Some([first, last]) => holds(*first, *last, now.weekday),
        Some(_) | None => false,
    }
}

/// `dateRange`: days of the month, months, years, and combinations of them, once or as from and to.
pub(super) fn date(words: &[&str], now: &Moment) -> bool {
    let parts: Option<Vec<_>> = words.iter().map(|word| Part::read(word)).collect();
    let Some(parts) = parts.filter(|parts| !parts.is_empty()) else { return false };
    let again = parts[1..].iter().position(|part| part.grain == parts[0].grain);
    let (first, last) = match again {
        Some(place) => parts.split_at(place + 1),
        None => (&parts[..], &parts[..]),
    };
    // The same grains, each once, from and to.
    let grains = |parts: &[Part]| parts.iter().map(|part| part.grain).collect::<Vec<_>>();
    let mut distinct = grains(first);
    distinct.sort_unstable();
    distinct.dedup();
    if grains(first) != grains(last) || distinct.len() != first.len() {
        return false;
    }
    let ordered = |parts: &[Part]| {
        let mut parts = parts.to_vec();
        parts.sort_unstable_by_key(|part| part.grain);
        parts.into_iter().map(|part| part.value).collect::<Vec<_>>()
    };
    let today: Vec<_> = distinct
        .iter()
        .map(|grain| match grain {
            Grain::Year => now.year,
            Grain::Month => now.month,
            Grain::Day => now.day,
        })
        .collect();
    holds(ordered(first), ordered(last), today)
}

/// `timeRange`: an hour, or from and to: hours, or with minutes, or with seconds.
pub(super) fn time(words: &[&str], now: &Moment) -> bool {
    let numbers: Option<Vec<i64>> = words.iter().map(|word| word.parse().ok()).collect();
    match numbers.as_deref() {
        Some([hour]) => now.hour == *hour,
        Some([from, to]) => holds(*from, *to, now.hour),
        Some([h1, m1, h2, m2]) => holds((h1, m1), (h2, m2), (&now.hour, &now.minute)),
        Some([h1, m1, s1, h2, m2, s2]) => {
            holds((h1, m1, s1), (h2, m2, s2), (&now.hour, &now.minute, &now.second))
        }
        Some(_) | None => false,
    }
}

fn holds<T: PartialOrd>(first: T, last: T, now: T) -> bool {
    if first <= last { first <= now && now <= last } else { now >= first || now <= last }
}

/// The coarsest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Grain {
    Year,
    Month,
    Day,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    grain: Grain,
    value: i64,
}

impl Part {
    fn read(word: &str) -> Option<Self> {
        let (grain, value) = match word.parse::<i64>() {
            Ok(day @ 1..=31) => (Grain::Day, day),
            Ok(year @ 32..) => (Grain::Year, year),
            Ok(_) => return None,
            Err(_) => (Grain::Month, named(&MONTHS, word)?),
        };
        Some(Self { grain, value })
    }
}

fn named(names: &[&str], word: &str) -> Option<i64> {
    names.iter().zip(0..).find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wednesday, 2026-11-25 04:11:46 UTC.
    const NOW: i64 = 1_795_579_906;

    fn ask(function: fn(&[&str], &Moment) -> bool, call: &str) -> bool {
        let words: Vec<_> = call.split(' ').map(str::to_owned).collect();
        let (words, _) = split_zone(&words);
        function(&words, &Moment::of(NOW))
    }

    #[test]
    fn a_moment_is_that_of_the_calendar() {
        let moment = Moment { year: 2026, month: 10, day: 25, weekday: 3, hour: 4, minute: 11, second: 46 };
        assert_eq!(Moment::of(NOW), moment);
        for (seconds, year, month, day, weekday) in [
            (0, 1970, 0, 1, 4),
            (-1, 1969, 11, 31, 3),
            (951_782_400, 2000, 1, 29, 2),
            (951_868_800, 2000, 2, 1, 3),
            (4_107_542_400, 2100, 2, 1, 1),
        ] {
            let found = Moment::of(seconds);
            assert_eq!(
                (found.year, found.month, found.day, found.weekday),
                (year, month, day, weekday),
                "{seconds}"
            );
        }
    }

    #[test]
    fn ranges_include_their_ends_and_go_round() {
        for (function, call, holds) in [
            (weekday as fn(&[&str], &Moment) -> bool, "WED", true),
            (weekday, "MON FRI", true),
            (weekday, "mon wed gmt", true),
            (weekday, "SAT SUN", false),
            (weekday, "FRI WED", true),
            (weekday, "THU TUE", false),
            (weekday, "WEDNESDAY", false),
            (weekday, "MON TUE WED", false),
            (date, "25", true),
            (date, "24", false),
            (date, "NOV", true),
            (date, "2026", true),
            (date, "25 NOV", true),
            (date, "25 NOV 2026", true),
            (date, "25 NOV 2025", false),
            (date, "1 25", true),
            (date, "26 24", false),
            (date, "OCT DEC", true),
            (date, "DEC JAN", false),
            (date, "NOV MAR", true),
            (date, "2025 2026", true),
            (date, "1 JUN 15 AUG", false),
            (date, "20 NOV 5 JAN", true),
            (date, "JUN 1995 MAR 2027", true),
            (date, "1 JUN 1995 24 NOV 2026", false),
            (date, "1 JUN 1995 25 NOV 2026 GMT", true),
            (date, "1 JUN 1995 AUG", false),
            (date, "0", false),
            (date, "x", false),
            (time, "4", true),
            (time, "5", false),
            (time, "3 4", true),
            (time, "22 6", true),
            (time, "5 3", false),
            (time, "4 11 4 11", true),
            (time, "4 12 4 10", false),
            (time, "4 11 46 4 11 46", true),
            (time, "4 11 47 4 11 45", false),
            (time, "0 0 0 0 0 30 GMT", false),
            (time, "1 2 3", false),
            (time, "x", false),
        ] {
            assert_eq!(ask(function, call), holds, "{call}");
        }
    }

    #[test]
    fn no_words_are_no_range() {
        for function in [weekday as fn(&[&str], &Moment) -> bool, date, time] {
            assert!(!function(&[], &Moment::of(NOW)));
        }
    }
}
