//! Which metrics there are: the one table, from which the exporter and docs/metrics.md take names, labels and meanings.

/// A metric.
#[derive(Debug)]
pub(crate) struct Metric {
    /// Without the `_total` that a counter's series end in.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [&'static str],
    pub(crate) help: &'static str,
    /// How many series there are at the most, for docs/metrics.md.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the page of docs is made, and compared, by a test")
    )]
    pub(crate) series: &'static str,
}

/// What sort of metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

macro_rules! metrics {
    ($( $constant:ident = $kind:ident $name:literal [$($label:literal),*] $series:literal, $help:literal; )+) => {
        $( pub(super) const $constant: &Metric = &Metric {
            name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help, series: $series,
        }; )+

        /// All of them.
        #[cfg(test)]
        pub(crate) const METRICS: &[&Metric] = &[$( $constant, )+];
    };
}

metrics! {
    VERDICT = Gauge "mesh_verdict" ["verdict"] "3", "1 for the verdict that stands now: reachable, unreachable or unknown; 0 for the others";
    DOUBT = Gauge "mesh_coordinator_doubt" [] "1", "1 while the coordinator takes itself for cut off, and blames nobody";
    LEADS = Gauge "mesh_coordinator_leads" [] "1", "1 where the coordinator looks, 0 where it stands by for another; of those that share a Lease one looks";
    NODES = Gauge "mesh_nodes" [] "1", "Nodes that take part";
    AGENT = Gauge "mesh_agent_up" ["node", "plane"] "2 per node", "1 if the agent of a node and plane probed in the last look, 0 if it is absent; none if it is not asked for";
    EXCUSED = Gauge "mesh_node_excused" ["node"] "1 per node at the most", "1 for a node that nobody expects to be whole now: it came a moment ago, or Kubernetes says that it is not ready";
    CELLS = Gauge "mesh_cells" ["state"] "5", "Cells of the matrix by state";
    FAILED_FROM = Gauge "mesh_node_failed_cells_from" ["node"] "1 per node", "Failed cells that begin at a node";
    FAILED_TO = Gauge "mesh_node_failed_cells_to" ["node"] "1 per node", "Failed cells that end at a node";
    PAIR = Gauge "mesh_pair_failed_cells" ["from", "to"] "200", "Failed cells of a pair of nodes; only of pairs that have some, those with most of them";
    PAIRS = Gauge "mesh_failed_pairs" [] "1", "Pairs of nodes with failed cells, however many have a series";
    PAIRS_BEYOND = Gauge "mesh_failed_pairs_without_series" [] "1", "Pairs of nodes with failed cells that have no series of their own";
    FINDING = Gauge "mesh_finding" ["cause", "severity", "confidence", "place", "incident"] "100", "1 for each open incident, with its cause and place";
    FINDINGS = Gauge "mesh_findings" ["severity"] "2", "Open incidents, however many have a series";
    FINDINGS_BEYOND = Gauge "mesh_findings_without_series" [] "1", "Open incidents that have no series of their own";
    OPENED = Counter "mesh_incidents_opened" ["cause"] "1 per cause", "Incidents that were opened, by the cause that they were opened with";
    CLOSED = Counter "mesh_incidents_closed" [] "1", "Incidents that were closed";
    RTT = Histogram "mesh_rtt_seconds" ["probe"] "17 per kind of probe", "Median round-trip time of each agent's answered tries in each look, by kind of probe";
    LOOKS = Histogram "mesh_look_seconds" ["depth"] "12 per depth", "How long looks took: light ones and full ones";
    LAST_LOOK = Gauge "mesh_last_look_timestamp_seconds" [] "1", "When the last look ended, in seconds since 1970";
    HISTORY_BYTES = Gauge "mesh_history_bytes" [] "1", "What the history holds";
    HISTORY_LOST = Counter "mesh_history_lost" [] "1", "Entries that the history could not take";
    NOTICES = Counter "mesh_notices" ["outlet", "outcome"] "2 per outlet", "Events and webhook calls about incidents: told, or lost";
    PAGES = Gauge "mesh_pages_open" [] "1", "Pages that follow the looks";
    MEMORY = Gauge "mesh_process_resident_bytes" [] "1", "Memory of the coordinator";
    CPU = Counter "mesh_process_cpu_seconds" [] "1", "CPU time of the coordinator";
    BUILD = Gauge "mesh_build_info" ["version"] "1", "1, with the coordinator's version";
}
