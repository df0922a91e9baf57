//! A run that cannot end in time says so before it begins, and what would fit: it is never silently less.

use std::time::Duration;

use mesh_core::{Fitting, Round, Shortage};
use mesh_proto::Millis;

use super::DriveOptions;

/// What the reader should know of the run's time; `None` where it is enough.
pub(super) fn shortage(round: &Round, options: &DriveOptions) -> Option<String> {
    let time = options.timeout.saturating_sub(options.spent);
    let time = Millis(u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
    let Shortage { needs, fitting } = round.shortage(time)?;
    let seconds = |Millis(millis): Millis| Duration::from_secs(u64::from(millis).div_ceil(1_000));
    let pace = options.plan.pacing.packets_per_second;
    let advice = match fitting {
        Some(Fitting { peers, looks }) => {
            format!("With --peers {peers} it would fit, and {looks} such runs look at every pair.")
        }
        None => "Not even with few peers a node (--peers) would it fit.".to_owned(),
    };
    Some(format!(
        "At {pace} packets a second (--max-pps) the probes of this run take {:?}, and it has {:?} left (--timeout): what is not observed by then is \
         unknown. {advice}",
        seconds(needs),
        seconds(time),
    ))
}
