//! The clock that the kernel stamps packets with.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A moment of CLOCK_REALTIME in nanoseconds since 1970. The kernel stamps received packets with this clock
/// (SO_TIMESTAMPNS), so send times are taken from it as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealTime(pub u64);

impl RealTime {
    /// Reads the clock.
    pub fn now() -> Self {
        // The clock always exists (POSIX); a time before 1970 is as good as 0 here.
        clock_gettime(ClockId::CLOCK_REALTIME)
            .map_or(Self(0), |time| Self::from_timespec(time.tv_sec(), time.tv_nsec()))
    }

    pub(crate) fn from_timespec(seconds: i64, nanoseconds: i64) -> Self {
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let nanoseconds = u64::try_from(nanoseconds).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
    }

    /// The time since an earlier moment; `None` if the clock was set back in between.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }
}

impl std::ops::Add<Duration> for RealTime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_gives_no_span() {
        let (early, late) = (
            RealTime::from_timespec(1, 999_999_999),
            RealTime::from_timespec(2, 1),
        );
        assert_eq!(late.since(early), Some(Duration::from_nanos(2)));
        assert_eq!(early.since(late), None);
        assert_eq!(RealTime::from_timespec(-1, 5), RealTime(5));
    }
}
