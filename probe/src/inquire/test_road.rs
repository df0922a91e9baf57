//! What tests of a second look stand on: a way over two routers, and somebody who asks.

use std::path::Path;
use std::sync::{Arc, Mutex};

use mesh_net::NetNamespace;
use mesh_proto::wire::Inquire;
use mesh_proto::{Answer, Ask, Inquiry, InquiryId, Millis, Pacing, Port, Seen};
use tokio::sync::mpsc;

use super::{Gate, LONGEST, Work, check, inquire};
use crate::datagram::DatagramEngine;
use crate::moment::Clock;
use crate::responder::Responder;
use crate::run_plan::Means;
use crate::runs::{Run, Runs};
use crate::test_place::{RESPONDER, command, identity_of_b, in_own_network, prepare};

/// Two routers behind the test's own network, and the place where the target is.
pub(super) struct Road {
    pub(super) first: NetNamespace,
    pub(super) second: NetNamespace,
    pub(super) far: NetNamespace,
}

pub(super) const FIRST: &str = "10.0.1.254";
pub(super) const SECOND: &str = "10.0.2.254";
pub(super) const TARGET: &str = "10.0.3.254";
pub(super) const FIRST_V6: &str = "fd00:1::fe";
pub(super) const SECOND_V6: &str = "fd00:2::fe";
pub(super) const TARGET_V6: &str = "fd00:3::fe";

/// Runs a test at the beginning of a road.
pub(super) fn on_road(test: impl AsyncFnOnce(&Road) + Send) {
    in_own_network(&[], async || {
        let road = Road::lay();
        test(&road).await;
    });
}

/// Runs commands in another place.
pub(super) fn inside(place: &NetNamespace, lines: &[&str]) {
    place.run(|| lines.iter().for_each(|line| command(line))).unwrap();
}

/// A firewall rule on what is forwarded there.
pub(super) fn forward_rule(place: &NetNamespace, rule: &str) {
    let rule = format!("nft add rule inet wall forward {rule}");
    let chain = "nft add chain inet wall forward { type filter hook forward priority 0 ; }";
    inside(place, &["nft add table inet wall", chain, &rule]);
}

/// Sets a sysctl under `net`.
pub(super) fn set(place: &NetNamespace, name: &str, value: &str) {
    let path = Path::new("/proc/sys/net").join(name);
    place.run(|| std::fs::write(path, value)).unwrap().unwrap();
}

impl Road {
    fn lay() -> Self {
        let new = || NetNamespace::create().unwrap();
        let road = Self {
            first: new(),
            second: new(),
            far: new(),
        };
        let near = NetNamespace::current().unwrap();
        let places = [&near, &road.first, &road.second, &road.far];
        for place in places {
            // Addresses are good at once.
            set(place, "ipv6/conf/default/accept_dad", "0");
            set(place, "ipv4/ip_forward", "1");
            set(place, "ipv6/conf/all/forwarding", "1");
        }
        for (number, ends) in (1..).zip(places.windows(2)) {
            let (down, up) = (format!("down{number}"), format!("up{number}"));
            let path = ends[1].path();
            let path = path.display();
            inside(
                ends[0],
                &[&format!(
                    "ip link add {down} type veth peer name {up} netns {path}"
                )],
            );
            for (place, device, v4, v6) in [(ends[0], &down, "1", "1"), (ends[1], &up, "254", "fe")] {
                let lines = [
                    format!("ip address add 10.0.{number}.{v4}/24 dev {device}"),
                    format!("ip address add fd00:{number}::{v6}/64 dev {device} nodad"),
                    format!("ip link set {device} up"),
                ];
                inside(place, &lines.each_ref().map(String::as_str));
            }
        }
        let away = |via: &str, via_v6: &str| {
            [
                format!("ip route add default via {via}"),
                format!("ip route add default via {via_v6}"),
            ]
        };
        for (place, via, via_v6) in [
            (&near, FIRST, FIRST_V6),
            (&road.first, SECOND, SECOND_V6),
            (&road.second, "10.0.2.1", "fd00:2::1"),
            (&road.far, "10.0.3.1", "fd00:3::1"),
        ] {
            inside(place, &away(via, via_v6).each_ref().map(String::as_str));
        }
        road
    }

    /// Waits until neighbours know each other: the first solicitations may leave before their group is joined.
    pub(super) fn wait_for_v6() {
        let refused = std::net::TcpStream::connect((TARGET_V6, 1)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }

    /// Answers at the target as agent b, for the rest of the test.
    pub(super) fn answer_at_target(&self, clock: Clock) -> Arc<Mutex<Runs>> {
        let runtime = tokio::runtime::Handle::current();
        let responder = self.far.run(|| {
            let _context = runtime.enter();
            Responder::bind(None, RESPONDER).unwrap()
        });
        let runs = Arc::new(Mutex::new(Runs::default()));
        runs.lock().unwrap().open(prepare(1), clock.now());
        responder.unwrap().start(&identity_of_b(), &runs, clock);
        runs
    }
}

const FAST: Pacing = Pacing {
    packets_per_second: 10_000,
    burst: 1_000,
    spread: Millis(0),
};

fn means_and_run() -> (Means, Run) {
    let clock = Clock::start();
    let means = Means {
        engine: DatagramEngine::start(clock),
        clock,
        resolv_conf: Path::new("/nonexistent").into(),
        api_ca: None,
    };
    let mut runs = Runs::default();
    runs.open(prepare(0), clock.now());
    (means, runs.get("r", clock.now()).unwrap())
}

/// What an inquiry of agent a's is worked on with.
pub(super) fn work() -> Work {
    let (means, run) = means_and_run();
    Work {
        gate: Gate::new(FAST, means.clock),
        deadline: means.clock.now() + LONGEST,
        responder_port: Port(RESPONDER),
        means,
        run,
    }
}

/// Asks agent a all this at once; the answers in the order of the questions.
pub(super) async fn ask_within(within: Millis, asks: &[Ask]) -> Vec<Seen> {
    let (means, run) = means_and_run();
    let inquiries = (0..).map(InquiryId).zip(asks.iter().cloned());
    let asked = Inquire {
        run_id: "r".to_owned(),
        packets_per_second: FAST.packets_per_second,
        burst: FAST.burst,
        within,
        inquiries: inquiries.map(|(id, ask)| Inquiry { id, ask }).collect(),
    };
    check(&asked, 2).unwrap();
    let (out, mut answers) = mpsc::channel(1);
    let gather = async {
        let mut seen = Vec::new();
        while let Some(answer) = answers.recv().await {
            seen.push(answer);
        }
        seen
    };
    let (mut answers, ()) = tokio::join!(gather, inquire(asked, run, means, Port(RESPONDER), out));
    answers.sort_by_key(|answer| answer.id);
    let ids: Vec<u32> = answers.iter().map(|answer| answer.id.0).collect();
    let wanted: Vec<u32> = (0..).take(asks.len()).collect();
    assert_eq!(ids, wanted, "each is answered once");
    answers.into_iter().map(|Answer { seen, .. }| seen).collect()
}

/// Asks one thing.
pub(super) async fn ask(one: Ask) -> Seen {
    let mut seen = ask_within(Millis(60_000), &[one]).await;
    seen.remove(0)
}
