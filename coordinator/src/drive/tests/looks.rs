//! The second look.

use mesh_proto::wire::Inquire;
use mesh_proto::{AgentIndex, Answer, Ask, Inquiry, InquiryId, Millis, Seen};
use tokio::time::Instant;

use super::super::cut::RunClock;
use super::super::inquire::{Questions, ask, in_turn};
use super::*;
use crate::link::{Link, dial};

/// Three questions to each agent of a scene.
async fn questions(scene: &Scene) -> Vec<Questions> {
    let mut questions = Vec::new();
    for (agent, raised) in (0..).map(AgentIndex).zip(&scene.raised.agents) {
        let Access::Link(address) = &raised.access else {
            panic!("{raised:?}")
        };
        let channel = dial(address, &LinkMeans::default(), LINK_PATIENCE).await.unwrap();
        let target = [192, 0, 2, 1].into();
        let inquiry = |id| Inquiry {
            id: InquiryId(id),
            ask: Ask::Route { target },
        };
        let asked = Inquire {
            run_id: "r".to_owned(),
            packets_per_second: 1,
            burst: 1,
            within: Millis(0),
            inquiries: (agent.0 * 3..).take(3).map(inquiry).collect(),
        };
        questions.push(Questions {
            agent,
            link: Link::new(channel),
            inquire: asked,
            after: Duration::ZERO,
        });
    }
    questions
}

/// Asks all that, and says by whom which inquiries were answered.
#[expect(clippy::disallowed_methods, reason = "the test's own, virtual clock")]
async fn answered(scene: &Scene, clock: &mut RunClock) -> Vec<(u32, u32)> {
    let mut seen = Vec::new();
    let questions = questions(scene).await;
    let deadline = soon();
    ask(questions, clock, deadline, |agent, answers| {
        for Answer { id, seen: what } in answers {
            assert_eq!(what, Seen::Untried("tired".to_owned()));
            seen.push((agent.0, id.0));
        }
    })
    .await;
    assert!(
        Instant::now() <= deadline + Duration::from_millis(10),
        "virtual time"
    );
    seen.sort_unstable();
    seen
}

#[expect(clippy::disallowed_methods, reason = "the test's own, virtual clock")]
fn soon() -> Instant {
    Instant::now() + Duration::from_secs(3)
}

fn clock() -> RunClock {
    let (_nobody, interrupt) = Interrupt::by_hand();
    RunClock::start(Duration::from_mins(10), interrupt)
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_does_not_answer_is_left_out_and_the_others_are_heard() {
    for (manner, first_agent) in [
        (Manner::Honest, 3),
        (Manner::RefusesToLook, 0),
        (Manner::HangsInLook, 1),
        (Manner::BreaksOffLook, 1),
        (Manner::AnswersTheUnasked, 1),
    ] {
        let scene = Scene::of(&[manner, Manner::Honest]);
        let mut expected: Vec<(u32, u32)> = (0..first_agent).map(|id| (0, id)).collect();
        expected.extend([(1, 3), (1, 4), (1, 5)]);
        assert_eq!(answered(&scene, &mut clock()).await, expected, "{manner:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn walks_wait_where_somebody_knocks_and_have_the_rest_of_the_time() {
    let target = [192, 0, 2, 1].into();
    let walk = Ask::Walk {
        target,
        protocol: mesh_proto::Protocol::Icmp,
        port: mesh_proto::Port(0),
        hops: 1,
        timeout: Millis(1),
    };
    let knock = Ask::Knock {
        target,
        port: mesh_proto::Port(1),
        tries: 1,
        interval: mesh_proto::Micros(1),
        timeout: Millis(1),
    };
    let of = |id, ask: &Ask| Inquiry {
        id: InquiryId(id),
        ask: ask.clone(),
    };
    let (a, b) = (AgentIndex(0), AgentIndex(1));
    let both = vec![(a, vec![of(0, &walk), of(1, &knock)]), (b, vec![of(2, &walk)])];
    let late = Duration::from_millis(1_200);
    let turns = [
        (Duration::ZERO, a, vec![of(1, &knock)]),
        (late, a, vec![of(0, &walk)]),
        (late, b, vec![of(2, &walk)]),
    ];
    assert_eq!(in_turn(both), turns);
    let alone = vec![(b, vec![of(2, &walk)])];
    assert_eq!(in_turn(alone), [(Duration::ZERO, b, vec![of(2, &walk)])]);

    let scene = Scene::of(&[Manner::Honest; 2]);
    let mut questions = questions(&scene).await;
    questions[1].after = late;
    let deadline = soon();
    ask(questions, &mut clock(), deadline, |_, _| ()).await;
    let within = |agent: &FakeAgent| agent.looked()[0].within_ms;
    // The way back is kept free.
    let time = [within(&scene.agents[0]), within(&scene.agents[1])];
    assert!((2_600..=2_700).contains(&time[0]), "{time:?}");
    assert!((1_400..=1_500).contains(&time[1]), "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_second_look_after_an_interrupt_or_when_time_is_up() {
    let scene = Scene::of(&[Manner::HangsInLook]);
    let (signal, interrupt) = Interrupt::by_hand();
    let mut interrupted = RunClock::start(Duration::from_mins(10), interrupt);
    signal.send_replace(true);
    assert_eq!(answered(&scene, &mut interrupted).await, []);
    assert!(interrupted.was_interrupted());

    let (_nobody, interrupt) = Interrupt::by_hand();
    let mut short = RunClock::start(Duration::ZERO, interrupt);
    assert_eq!(answered(&scene, &mut short).await, []);
}

#[tokio::test(start_paused = true)]
async fn where_all_is_well_nobody_is_asked_anything_more() {
    let scene = Scene::of(&[Manner::Honest; 3]);
    let report = scene.drive(&options()).await;
    assert_eq!(report.verdict, Verdict::Reachable);
    for agent in &scene.agents {
        assert_eq!((agent.looked(), agent.facts()), (Vec::new(), 0));
    }
}

#[tokio::test(start_paused = true)]
async fn where_something_failed_agents_are_asked_more_and_then_for_facts() {
    let scene = Scene::of(&[Manner::Honest, Manner::Honest, Manner::Unheard]);
    let report = scene.drive(&options()).await;
    assert_eq!(report.verdict, Verdict::Unreachable);
    assert_eq!(report.notes, Vec::<String>::new());
    let asked: Vec<_> = scene.agents.iter().flat_map(FakeAgent::looked).collect();
    assert!(!asked.is_empty(), "somebody is asked");
    for request in asked {
        assert_eq!(request.run_id, report.run.id);
        assert!(!request.inquiries.is_empty() && request.within_ms <= 3_000);
    }
    for agent in &scene.agents {
        assert!(agent.looked().len() <= 4, "two rounds of two turns at the most");
        assert_eq!(agent.facts(), 1);
    }
}
