//! How quickly cells answer, by kind of probe: enough to tell the median.

use hdrhistogram::Histogram;
use mesh_proto::{Micros, ProbeKind};

/// The medians of cells, by kind.
#[derive(Debug, Default)]
pub(crate) struct Quickness {
    of_kind: Vec<Option<Histogram<u64>>>,
}

/// One in a thousand: what is slow is so by a factor of twenty.
const DIGITS: u8 = 3;

impl Quickness {
    pub(crate) fn add(&mut self, kind: ProbeKind, p50: Micros) {
        let kind = kind as usize;
        if self.of_kind.len() <= kind {
            self.of_kind.resize_with(kind + 1, || None);
        }
        if self.of_kind[kind].is_none() {
            self.of_kind[kind] = Histogram::new_with_bounds(1, u32::MAX.into(), DIGITS).ok();
        }
        if let Some(histogram) = &mut self.of_kind[kind] {
            histogram.saturating_record(u64::from(p50.0).max(1));
        }
    }

    /// The median of one kind, the later of the two in the middle.
    pub(crate) fn median(&self, kind: ProbeKind) -> Option<Micros> {
        let histogram = self.of_kind.get(kind as usize)?.as_ref()?;
        #[expect(clippy::cast_precision_loss, reason = "a count of cells, far below 2^52")]
        let (all, middle) = (histogram.len() as f64, (histogram.len() / 2) as f64 + 0.5);
        let median = histogram.value_at_quantile((middle / all).min(1.0));
        Some(Micros(u32::try_from(median).unwrap_or(u32::MAX)))
    }
}
