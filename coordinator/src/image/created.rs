//! The one time that stands in an image. Never the clock's: then no two archives would be the same.

use std::str::FromStr;

use jiff::Timestamp;

/// When the image says that it and its files were made; 1970-01-01 by default.
/// <https://reproducible-builds.org/specs/source-date-epoch/>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Created {
    /// Since 1970.
    pub(super) seconds: u64,
    pub(super) timestamp: Timestamp,
}

/// What does not tell a time.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is no time: give whole seconds since 1970, as `git log -1 --format=%ct` prints them")]
pub(crate) struct NoTime(String);

impl FromStr for Created {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        let no_time = || NoTime(text.escape_debug().to_string());
        let seconds: u64 = text.parse().map_err(|_| no_time())?;
        let signed = i64::try_from(seconds).map_err(|_| no_time())?;
        let timestamp = Timestamp::from_second(signed).map_err(|_| no_time())?;
        Ok(Self { seconds, timestamp })
    }
}

#[cfg(test)]
mod tests {
    use super::Created;

    #[test]
    fn seconds_since_1970() {
        assert_eq!(Created::default().timestamp.to_string(), "1970-01-01T00:00:00Z");
        assert_eq!("0".parse::<Created>().unwrap(), Created::default());
        let created: Created = "1700000000".parse().unwrap();
        assert_eq!(created.timestamp.to_string(), "2023-11-14T22:13:20Z");
        assert_eq!(created.seconds, 1_700_000_000);
        for text in [
            "",
            "-1",
            "1.5",
            "yesterday",
            "18446744073709551615",
            "99999999999999",
        ] {
            let why = text.parse::<Created>().unwrap_err().to_string();
            assert!(why.starts_with(&format!("'{text}' is no time")), "{why}");
        }
    }
}
