//! Time as it stands on the wire: `YYYY-MM-DDThh:mm:ss.sssZ`
//! (<https://ircv3.net/specs/extensions/server-time>).

const MS_A_DAY: u64 = 86_400_000;

/// Appends `unix_ms`, in milliseconds since 1970, as `YYYY-MM-DDThh:mm:ss.sssZ`.
pub fn put_time(out: &mut Vec<u8>, unix_ms: u64) {
    let (days, in_day) = (unix_ms / MS_A_DAY, unix_ms % MS_A_DAY);
    let (year, month, day) = civil(days);
    let digits = |out: &mut Vec<u8>, value: u64, width: u32| {
        for place in (0..width).rev() {
            out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
        }
    };
    digits(out, year, 4);
    out.push(b'-');
    digits(out, month, 2);
    out.push(b'-');
    digits(out, day, 2);
    out.push(b'T');
    digits(out, in_day / 3_600_000, 2);
    out.push(b':');
    digits(out, in_day / 60_000 % 60, 2);
    out.push(b':');
    digits(out, in_day / 1000 % 60, 2);
    out.push(b'.');
    digits(out, in_day % 1000, 3);
    out.push(b'Z');
}

/// The same as a new string.
pub fn time_text(unix_ms: u64) -> String {
    let mut out = Vec::with_capacity(24);
    put_time(&mut out, unix_ms);
    String::from_utf8(out).unwrap_or_default()
}

/// Milliseconds since 1970 of `YYYY-MM-DDThh:mm:ss[.s…]Z`; `None` where it is anything else.
/// Digits after the third of a second are dropped. A leap second (`:60`) is the second after it.
pub fn parse_time(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<u64> {
        let part = bytes.get(from..to)?;
        part.iter().all(u8::is_ascii_digit).then(|| part.iter().fold(0, |n, d| n * 10 + u64::from(d - b'0')))
    };
    let is = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    if !(is(4, b'-') && is(7, b'-') && is(10, b'T') && is(13, b':') && is(16, b':')) || bytes.last() != Some(&b'Z') {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let mut millis = 0;
    if is(19, b'.') {
        let fraction = bytes.get(20..bytes.len() - 1)?;
        if fraction.is_empty() || fraction.len() > 9 || !fraction.iter().all(u8::is_ascii_digit) {
            return None;
        }
        for place in 0..3 {
            millis = millis * 10 + fraction.get(place).map_or(0, |d| u64::from(d - b'0'));
        }
    } else if bytes.len() != 20 {
        return None;
    }
    if year < 1970 || !(1..=days_in(year, month)).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_from_civil(year, month, day)?;
    Some(days * MS_A_DAY + hour * 3_600_000 + minute * 60_000 + second * 1000 + millis)
}

/// Days of a month; 0 where there is no such month.
fn days_in(year: u64, month: u64) -> u64 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400) => 29,
        2 => 28,
        _ => 0,
    }
}

/// Days since 1970-01-01 (Howard Hinnant's `days_from_civil`).
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let y = if month <= 2 { year - 1 } else { year };
    let (era, yoe) = (y / 400, y % 400);
    let doy = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    (era * 146_097 + doe).checked_sub(719_468)
}

/// Year, month and day of a day counted from 1970-01-01 (`days_from_civil`, turned round).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{parse_time, time_text};

    #[test]
    fn times_are_written_with_milliseconds() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_704_164_645_006, "2024-01-02T03:04:05.006Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(time_text(ms), text);
            assert_eq!(parse_time(text), Some(ms));
        }
    }

    #[test]
    fn a_leap_second_is_the_second_after_it() {
        assert_eq!(parse_time("2016-12-31T23:59:60.000Z"), parse_time("2017-01-01T00:00:00.000Z"));
        assert_eq!(parse_time("2016-12-31T23:59:60.500Z"), parse_time("2017-01-01T00:00:00.500Z"));
    }

    #[test]
    fn fractions_may_be_shorter_longer_or_missing() {
        let second = parse_time("2024-01-02T03:04:05Z");
        assert_eq!(second, Some(1_704_164_645_000));
        assert_eq!(parse_time("2024-01-02T03:04:05.5Z"), second.map(|ms| ms + 500));
        assert_eq!(parse_time("2024-01-02T03:04:05.123999Z"), second.map(|ms| ms + 123));
    }

    #[test]
    fn what_is_not_a_time_is_none() {
        for bad in [
            "",
            "Z",
            "2024-01-02",
            "2024-01-02T03:04:05",
            "2024-01-02T03:04:05.Z",
            "2024-01-02T03:04:05.1234567890Z",
            "2024-01-02T03:04:05+00:00",
            "2024-01-02 03:04:05Z",
            "2024-13-02T03:04:05Z",
            "2024-00-02T03:04:05Z",
            "2024-01-32T03:04:05Z",
            "2024-01-00T03:04:05Z",
            "2023-02-29T03:04:05Z",
            "2100-02-29T03:04:05Z",
            "2024-04-31T03:04:05Z",
            "2024-01-02T24:04:05Z",
            "2024-01-02T03:60:05Z",
            "2024-01-02T03:04:61Z",
            "1969-12-31T23:59:59Z",
            "2024-01-02T03:04:0éZ",
            "+024-01-02T03:04:05Z",
        ] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
        assert!(parse_time("2000-02-29T00:00:00Z").is_some() && parse_time("2024-02-29T00:00:00Z").is_some());
    }
}
