//! One DaemonSet, read.

use k8s_openapi::api::apps::v1::DaemonSet;
use mesh_proto::Plane;

use super::pod::PLANE_LABEL;

/// What was heard of one of our DaemonSets.
#[derive(Debug, Clone)]
pub(super) struct DaemonSetNote {
    pub(super) plane: Plane,
    pub(super) version: String,
    /// How many pods its controller wants to see, misplaced ones included; nothing before it has looked.
    pub(super) wants: Option<usize>,
}

impl DaemonSetNote {
    /// Reads a DaemonSet; nothing if it is none of ours.
    pub(super) fn read(set: &DaemonSet) -> Option<Self> {
        let plane = set.metadata.labels.as_ref()?.get(PLANE_LABEL)?.parse().ok()?;
        let looked = set.status.as_ref().filter(|status| {
            status.observed_generation.is_some() && status.observed_generation >= set.metadata.generation
        });
        let wants = looked.and_then(|status| {
            let wants = i64::from(status.desired_number_scheduled) + i64::from(status.number_misscheduled);
            usize::try_from(wants).ok()
        });
        Some(Self {
            plane,
            version: set.metadata.resource_version.clone().unwrap_or_default(),
            wants,
        })
    }
}
