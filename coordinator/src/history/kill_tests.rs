//! kill -9 at any moment: what was said to be written is there, and the file is whole.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use mesh_proto::ProbeKind;

use super::tests::incident;
use super::{HistoryBounds, open};
use crate::serve::MinuteRow;

const FILE: &str = "MESH_TEST_HISTORY";
const KILLS: u64 = 300;

/// The child: writes until it is killed, and says what is on the disk.
#[test]
#[ignore = "a child of the test below"]
fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(FILE).map(PathBuf::from) else {
        return;
    };
    let (history, said) = open(Some(&path)).unwrap();
    assert_eq!(said, None);
    let mut out = std::io::stdout();
    let first = history.next_incident().unwrap();
    writeln!(out, "\nfirst {first}").unwrap();
    for id in first.. {
        history.put_incident(&incident(id, 100, Some(160))).unwrap();
        writeln!(out, "wrote {id}").unwrap();
        out.flush().unwrap();
        let minute = i64::try_from(id).unwrap();
        let row = MinuteRow {
            looks: 1,
            ..MinuteRow::default()
        };
        let rows: Vec<_> = (0..20)
            .map(|n| ((format!("n{n}").parse().unwrap(), ProbeKind::Tcp), row))
            .collect();
        history.put_minute(minute, &rows).unwrap();
        let bounds = HistoryBounds {
            age: Duration::from_hours(24 * 10_000),
            bytes: 256 << 10,
        };
        history
            .make_room(bounds, Timestamp::from_second(200 + minute * 60).unwrap())
            .unwrap();
    }
}

#[test]
fn kill_dash_nine_at_any_moment_loses_nothing_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history");
    let mut last = 0;
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "history::kill_tests::writes_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed after another number of writes each time, in the midst of the next one.
        let mut left = round % 7 + 1;
        while left > 0 {
            let line = lines.next().expect("the child ended by itself").unwrap();
            if let Some(id) = line.strip_prefix("wrote ") {
                last = id.parse().unwrap();
                left -= 1;
            }
        }
        // Some instructions more, another number each time.
        for spin in 0..(round * 7919) % 60_000 {
            std::hint::black_box(spin);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // Lines that were on their way.
        for line in lines.map_while(Result::ok) {
            if let Some(id) = line.strip_prefix("wrote ") {
                last = id.parse().unwrap();
            }
        }
        if round % 10 == 9 {
            let (history, said) = open(Some(&path)).unwrap();
            assert_eq!(said, None, "round {round}");
            assert!(
                history.next_incident().unwrap() > last,
                "round {round}: {last} is lost"
            );
        }
    }
    let (history, said) = open(Some(&path)).unwrap();
    assert_eq!(said, None);
    // Whole: everything in it can be read.
    assert!(!history.incidents(Timestamp::MIN, usize::MAX).unwrap().is_empty());
    assert!(history.next_incident().unwrap() > last);
}
