//! Time as an input: instants and dates that callers give; nothing here reads a clock but [`Timestamp::now`],
//! which only the borders (CLI, API) may call to fill in a missing `as_of`.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 3_600_000;
/// Milliseconds in a day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// A text that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an RFC 3339 time such as 2026-11-01T00:00:00Z. value=`{value}`")]
pub struct InvalidTime {
    /// What was given.
    pub value: String,
}

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Archive, RkyvSerialize, RkyvDeserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The wall clock. Only for the borders: a request without `as_of`, an event without a time.
    #[must_use]
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_millisecond())
    }

    /// Days since the epoch, rounded down.
    #[must_use]
    pub fn day(self) -> i32 {
        i32::try_from(self.0.div_euclid(DAY_MS)).unwrap_or(if self.0 < 0 { i32::MIN } else { i32::MAX })
    }

    /// Hour of the day in UTC, `0..24`.
    #[must_use]
    pub fn hour(self) -> u8 {
        u8::try_from(self.0.rem_euclid(DAY_MS) / HOUR_MS).expect("an hour is below 24")
    }

    /// Day of the week, Monday = 0.
    #[must_use]
    pub fn weekday(self) -> u8 {
        u8::try_from((i64::from(self.day()) + 3).rem_euclid(7)).expect("a weekday is below 7")
    }

    /// The ISO 8601 week in UTC, such as `2026-W44`.
    #[must_use]
    pub fn iso_week(self) -> String {
        // The week belongs to the year that its Thursday is in.
        let thursday = self.day().saturating_sub(i32::from(self.weekday())).saturating_add(3);
        let date = Date(thursday).to_string();
        let (year, _) = date.split_once('-').unwrap_or((&date, ""));
        let first: i32 = format!("{year}-01-01").parse().map_or(thursday, |first: Date| first.0);
        format!("{year}-W{:02}", (thursday - first) / 7 + 1)
    }

    /// The instant `days` earlier (negative: later), saturating.
    #[must_use]
    pub fn minus_days(self, days: i64) -> Self {
        Self(self.0.saturating_sub(days.saturating_mul(DAY_MS)))
    }

    /// Days from `earlier` to `self`, fractional.
    #[must_use]
    pub fn days_since(self, earlier: Self) -> f64 {
        (self.0.saturating_sub(earlier.0)) as f64 / DAY_MS as f64
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = InvalidTime;
    fn from_str(value: &str) -> Result<Self, InvalidTime> {
        value
            .parse::<jiff::Timestamp>()
            .map(|time| Self(time.as_millisecond()))
            .map_err(|_| InvalidTime { value: value.to_owned() })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A calendar day: days since 1970-01-01.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Archive,
    RkyvSerialize,
    RkyvDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
pub struct Date(pub i32);

impl Date {
    /// Midnight UTC at the start of the day.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp(i64::from(self.0) * DAY_MS)
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.start().to_string();
        f.write_str(text.get(..10).unwrap_or(&text))
    }
}

impl std::str::FromStr for Date {
    type Err = InvalidTime;
    fn from_str(value: &str) -> Result<Self, InvalidTime> {
        format!("{value}T00:00:00Z")
            .parse::<Timestamp>()
            .map(|time| Self(time.day()))
            .map_err(|_| InvalidTime { value: value.to_owned() })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn weeks_are_those_of_the_standard() {
        let week = |day: &str| format!("{day}T12:00:00Z").parse::<Timestamp>().unwrap().iso_week();
        assert_eq!(week("2026-11-01"), "2026-W44");
        assert_eq!(week("2026-11-02"), "2026-W45");
        assert_eq!(week("2027-01-01"), "2026-W53");
        assert_eq!(week("2024-12-30"), "2025-W01");
        assert_eq!(week("2023-01-01"), "2022-W52");
    }

    #[test]
    fn times_round_trip_and_know_their_day() {
        let time: Timestamp = "2026-11-01T13:30:00Z".parse().unwrap();
        assert_eq!(time.to_string(), "2026-11-01T13:30:00Z");
        assert_eq!((time.hour(), time.weekday()), (13, 6), "a Sunday, one o'clock");
        assert_eq!("1969-12-31T23:00:00Z".parse::<Timestamp>().unwrap().day(), -1);
        assert_eq!("2026-10-28".parse::<Date>().unwrap().to_string(), "2026-10-28");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
