//! Round-trip times of one cell, from its few samples.

use std::time::Duration;

use mesh_proto::{Micros, Rtt};

/// Whole microseconds, at most what fits.
pub(crate) fn micros(span: Duration) -> Micros {
    Micros(u32::try_from(span.as_micros()).unwrap_or(u32::MAX))
}

/// Minimum, median, 99th percentile and maximum, by rank; `None` without samples.
pub(crate) fn summary(samples: &[Micros]) -> Option<Rtt> {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = |percent: usize| sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1];
    Some(Rtt {
        min: *sorted.first()?,
        p50: rank(50),
        p99: rank(99),
        max: *sorted.last()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_rank() {
        let samples: Vec<Micros> = (1..=200).rev().map(Micros).collect();
        let expected = Rtt {
            min: Micros(1),
            p50: Micros(100),
            p99: Micros(198),
            max: Micros(200),
        };
        assert_eq!(summary(&samples), Some(expected));
        assert_eq!(summary(&[]), None);
        let one = Rtt {
            min: Micros(7),
            p50: Micros(7),
            p99: Micros(7),
            max: Micros(7),
        };
        assert_eq!(summary(&[Micros(7)]), Some(one));
    }
}
