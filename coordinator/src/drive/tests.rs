//! The driver against agents that misbehave, over Unix sockets and virtual time.

mod fake_agent;
mod looks;

use std::time::Duration;

use mesh_core::{Cluster, PlanOptions, RosterNode};
use mesh_proto::{AgentKey, Cell, CellState, Ground, Plane, PlaneState, Report, Verdict};

use self::fake_agent::{FakeAgent, Manner};
use super::{DriveOptions, Interrupt, LINK_PATIENCE, Progress, RunSecret, drive};
use crate::ground::{Access, Raised, RaisedAgent};
use crate::link::{LinkAddress, LinkMeans};

fn key(node: &str) -> AgentKey {
    AgentKey {
        node: node.parse().unwrap(),
        plane: Plane::Host,
    }
}

fn options() -> DriveOptions {
    DriveOptions {
        timeout: Duration::from_mins(10),
        plan: PlanOptions::default(),
        strict: false,
        all_cells: false,
        means: LinkMeans::default(),
        link_patience: LINK_PATIENCE,
        spent: Duration::ZERO,
        look_closer: true,
    }
}

/// Nodes n1, n2, ... with an agent each, that behaves so.
struct Scene {
    folder: tempfile::TempDir,
    raised: Raised,
    agents: Vec<FakeAgent>,
}

impl Scene {
    fn of(manners: &[Manner]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut scene = Self {
            raised: Raised {
                ground: Ground::Inventory,
                nodes: Vec::new(),
                agents: Vec::new(),
                cluster: Cluster::default(),
                notes: Vec::new(),
            },
            agents: Vec::new(),
            folder,
        };
        for (number, manner) in (1u8..).zip(manners) {
            let name = format!("n{number}");
            let socket = scene.folder.path().join(&name);
            scene.agents.push(FakeAgent::start(&socket, key(&name), *manner));
            scene.raised.nodes.push(RosterNode {
                name: name.parse().unwrap(),
                zone: None,
                readiness: mesh_core::Readiness::NotWatched,
            });
            scene.raised.agents.push(RaisedAgent {
                key: key(&name),
                address: Some([192, 0, 2, number].into()),
                access: Access::Link(LinkAddress::Unix(socket).into()),
            });
        }
        scene
    }

    async fn drive(&self, options: &DriveOptions) -> Report {
        let (_nobody, interrupt) = Interrupt::by_hand();
        drive(
            self.raised.clone(),
            secret(),
            options,
            interrupt,
            &Progress::silent(),
        )
        .await
    }
}

fn secret() -> RunSecret {
    RunSecret::draw().unwrap()
}

fn cells_from<'a>(report: &'a Report, node: &str) -> Vec<&'a Cell> {
    report
        .cells
        .iter()
        .filter(|cell| cell.from.node.as_str() == node)
        .collect()
}

fn between<'a>(report: &'a Report, from: &str, to: &str) -> Vec<&'a Cell> {
    let to_node = |cell: &&&Cell| cell.to.node.as_ref().is_some_and(|node| node.as_str() == to);
    cells_from(report, from).iter().filter(to_node).copied().collect()
}

#[tokio::test(start_paused = true)]
async fn honest_agents_make_a_green_run_and_are_told_to_forget_it() {
    let scene = Scene::of(&[Manner::Honest; 3]);
    let report = scene.drive(&options()).await;
    assert_eq!(report.verdict, Verdict::Reachable);
    assert_eq!(report.coverage.observed, report.coverage.cells);
    assert_eq!(report.notes, Vec::<String>::new());
    // Four kinds to each of two others, three to loopback.
    assert_eq!(report.coverage.cells, 3 * (2 * 4 + 3));
    for agent in &scene.agents {
        assert_eq!(agent.stopped(), vec![report.run.id.clone()]);
    }
}

#[tokio::test(start_paused = true)]
async fn two_runs_have_two_names_and_two_keys() {
    let scene = Scene::of(&[Manner::Honest]);
    let first = scene.drive(&options()).await;
    let second = scene.drive(&options()).await;
    assert_ne!(first.run.id, second.run.id);
    let keys = scene.agents[0].keys();
    assert_eq!(keys.len(), 2);
    assert_ne!(keys[0], keys[1]);
}

/// An agent that never gets as far as a plan is absent, and says why.
const UNFIT: &[(Manner, &str)] = &[
    (Manner::NobodyListens, "No such file or directory"),
    (Manner::Refuses, "Connection refused"),
    (Manner::AcceptsAndCloses, "Prepare failed"),
    (Manner::AcceptsAndIsSilent, "no answer to Prepare within 5s"),
    (Manner::SpeaksHttp1, "Prepare failed"),
    (Manner::OtherService, "it answers gRPC, but is no mesh agent"),
    (Manner::HangsInPrepare, "no answer to Prepare within 5s"),
    (
        Manner::OtherVersion,
        "the agent speaks mesh protocol 999 (version 9.9.9)",
    ),
    (
        Manner::RefusesOurVersion,
        "use the same version of mesh on both sides",
    ),
    (Manner::SomebodyElse, "somebody/pod answers there, not n3/host"),
    (
        Manner::GarbageInPrepare,
        "answer to Prepare is garbage: malformed message: boot_id",
    ),
];

#[tokio::test(start_paused = true)]
async fn an_unfit_agent_is_absent_with_its_reason_and_the_others_are_probed() {
    for (manner, why) in UNFIT {
        let report = Scene::of(&[Manner::Honest, Manner::Honest, *manner])
            .drive(&options())
            .await;
        assert_eq!(report.verdict, Verdict::Unknown, "{manner:?}");
        let absent = report.nodes[2].planes.host.as_ref().unwrap();
        assert_eq!(absent.state, PlaneState::Absent, "{manner:?}");
        let said = absent.why.as_deref().unwrap();
        assert!(said.contains(why) && said.contains("unix:"), "{manner:?}: {said}");
        assert!(!said.contains('\u{1b}'), "{manner:?}: {said:?}");
        let theirs = cells_from(&report, "n3");
        assert!(
            !theirs.is_empty() && theirs.iter().all(|cell| cell.state == CellState::Unknown),
            "{manner:?}"
        );
        let others = between(&report, "n1", "n2");
        assert!(
            others.len() == 4 && others.iter().all(|cell| cell.state == CellState::Reachable),
            "{manner:?}"
        );
    }
}

/// An agent that breaks off or breaks the rules while it probes: how many of its cells stand, and what the rest say.
const BROKEN: &[(Manner, usize, &str)] = &[
    (
        Manner::RefusesPlan,
        0,
        "the agent was lost: Probe failed: no plans today",
    ),
    (
        Manner::HangsInProbe,
        2,
        "the agent hangs: its plan was not done within",
    ),
    (Manner::EndsEarly, 2, "ended in the middle of its plan"),
    (Manner::SumsUpEarly, 2, "ended in the middle of its plan"),
    (Manner::BreaksOff, 2, "in the middle of its plan: going home"),
    (Manner::Dies, 2, "in the middle of its plan: the link broke"),
    (
        Manner::GarbageInProbe,
        2,
        "the agent sent garbage: malformed message: received",
    ),
    (
        Manner::ObservesTheUnasked,
        2,
        "the agent lies: it observed probe 4000000000, which nobody asked for",
    ),
    (Manner::ObservesTwice, 2, "the agent lies: it observed probe"),
    (Manner::CountsTooHigh, 2, "tries of probe"),
    (Manner::GarbageSummary, 11, ""),
    (Manner::GoesOnForever, 11, ""),
];

#[tokio::test(start_paused = true)]
async fn what_a_broken_agent_did_not_observe_is_unknown_with_the_reason() {
    for (manner, stand, why) in BROKEN {
        let report = Scene::of(&[Manner::Honest, Manner::Honest, *manner])
            .drive(&options())
            .await;
        let theirs = cells_from(&report, "n3");
        let known = theirs
            .iter()
            .filter(|cell| cell.state == CellState::Reachable)
            .count();
        assert_eq!(known, *stand, "{manner:?}: {theirs:#?}");
        for cell in theirs.iter().filter(|cell| cell.state != CellState::Reachable) {
            let said = cell.reason.as_ref().map(ToString::to_string).unwrap_or_default();
            assert!(
                cell.state == CellState::Unknown && said.contains(why),
                "{manner:?}: {said}"
            );
        }
        let unknown = *stand < theirs.len();
        assert_eq!(report.verdict == Verdict::Unknown, unknown, "{manner:?}");
        assert!(
            between(&report, "n1", "n2")
                .iter()
                .all(|cell| cell.state == CellState::Reachable),
            "{manner:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_breaks_is_opened_anew_and_the_rest_of_the_plan_is_asked_for() {
    let scene = Scene::of(&[Manner::Honest, Manner::LinkBreaks]);
    let report = scene.drive(&options()).await;
    assert_eq!(report.verdict, Verdict::Reachable, "{:#?}", report.cells);
    assert_eq!(scene.agents[1].stopped(), vec![report.run.id.clone()]);
    assert_eq!(
        scene.agents[1].keys().len(),
        1,
        "the run goes on, it does not begin again"
    );
}

#[tokio::test(start_paused = true)]
async fn when_time_is_up_the_rest_is_unknown_and_what_is_known_stands() {
    let mut options = options();
    options.timeout = Duration::from_secs(2);
    let scene = Scene::of(&[Manner::Honest, Manner::HangsInProbe]);
    let report = scene.drive(&options).await;
    assert_eq!((report.verdict, report.interrupted), (Verdict::Unknown, false));
    let unknown: Vec<_> = report
        .cells
        .iter()
        .filter(|cell| cell.state == CellState::Unknown)
        .collect();
    assert_eq!(unknown.len(), 5);
    for cell in unknown {
        assert_eq!(
            cell.reason.as_ref().unwrap().to_string(),
            "the run's time was up after 2s (--timeout)"
        );
    }
    assert_eq!(scene.agents[1].stopped(), vec![report.run.id]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_end_in_its_time_says_so() {
    let mut options = options();
    options.timeout = Duration::from_secs(30);
    let scene = Scene::of(&[Manner::Honest, Manner::Honest]);
    assert!(scene.drive(&options).await.notes.is_empty());
    options.plan.pacing.packets_per_second = 1;
    let notes = scene.drive(&options).await.notes;
    let [note] = notes.as_slice() else {
        panic!("{notes:?}")
    };
    assert!(note.starts_with("At 1 packets a second (--max-pps)"), "{note}");
    assert!(note.contains("it has 30s left (--timeout)"), "{note}");
}

#[tokio::test(start_paused = true)]
async fn what_raising_took_is_part_of_the_time() {
    let mut options = options();
    options.timeout = Duration::from_secs(30);
    options.spent = Duration::from_secs(40);
    let report = Scene::of(&[Manner::Honest, Manner::Honest]).drive(&options).await;
    assert_eq!(report.verdict, Verdict::Unknown);
    let reason = report.cells[0].reason.as_ref().unwrap().to_string();
    assert!(reason.contains("after 30s (--timeout)"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn time_may_be_up_before_any_link_is_open() {
    let mut options = options();
    options.timeout = Duration::from_secs(1);
    let report = Scene::of(&[Manner::AcceptsAndIsSilent, Manner::HangsInPrepare])
        .drive(&options)
        .await;
    assert_eq!(report.verdict, Verdict::Unknown);
    for node in &report.nodes {
        let why = node.planes.host.as_ref().unwrap().why.as_deref();
        assert_eq!(why, Some("the run's time was up after 1s (--timeout)"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_ends_the_run_and_what_is_known_is_reported() {
    let scene = Scene::of(&[Manner::Honest, Manner::HangsInProbe]);
    let (signal, interrupt) = Interrupt::by_hand();
    let raised = scene.raised.clone();
    let options = options();
    let progress = Progress::silent();
    let run = drive(raised, secret(), &options, interrupt, &progress);
    let interrupter = async {
        // Virtual time: it passes when nothing else is left to happen.
        tokio::time::sleep(Duration::from_secs(1)).await;
        signal.send_replace(true);
    };
    let (report, ()) = tokio::join!(run, interrupter);
    assert!(report.interrupted);
    assert!(
        cells_from(&report, "n1")
            .iter()
            .all(|cell| cell.state == CellState::Reachable)
    );
    let reasons = report.cells.iter().filter_map(|cell| cell.reason.as_ref());
    assert!(
        reasons
            .map(ToString::to_string)
            .all(|reason| reason == "the run was interrupted")
    );
    assert_eq!(scene.agents[1].stopped(), vec![report.run.id]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_silent_in_the_end_does_not_hold_the_report_back() {
    let report = Scene::of(&[Manner::Honest, Manner::HangsInStop])
        .drive(&options())
        .await;
    assert_eq!(report.verdict, Verdict::Reachable);
    assert_eq!(report.notes.len(), 1);
    assert!(
        report.notes[0].starts_with("not told by n2/host: what they received"),
        "{:?}",
        report.notes
    );
}

#[tokio::test(start_paused = true)]
async fn without_any_agent_all_is_unknown() {
    let mut scene = Scene::of(&[Manner::Honest, Manner::Honest]);
    scene.raised.agents[0].access = Access::Absent("Pending: no room".to_owned());
    scene.raised.agents[1].access = Access::Skipped("not asked for".to_owned());
    let report = scene.drive(&options()).await;
    assert_eq!(report.verdict, Verdict::Unknown);
    let planes: Vec<_> = report
        .nodes
        .iter()
        .map(|node| node.planes.host.as_ref().unwrap())
        .collect();
    assert_eq!(
        (planes[0].state, planes[0].why.as_deref()),
        (PlaneState::Absent, Some("Pending: no room"))
    );
    assert_eq!(
        (planes[1].state, planes[1].why.as_deref()),
        (PlaneState::Skipped, Some("not asked for"))
    );
}
