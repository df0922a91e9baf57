//! Namespaces themselves.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use mesh_net::{Errno, NetNamespace};

use crate::topology::{command, node};

/// The kernel's name for the namespace of the calling thread.
fn own() -> PathBuf {
    std::fs::read_link("/proc/thread-self/ns/net").unwrap()
}

fn devices() -> String {
    std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()
}

#[test]
fn a_new_namespace_is_empty_and_the_caller_stays_where_it_is() {
    let before = own();
    let made = NetNamespace::create().unwrap();
    let (inside, devices) = made.run(|| (own(), devices())).unwrap();
    assert_ne!(inside, before);
    assert_eq!(own(), before);
    let names = devices.lines().skip(2).filter_map(|line| line.split(':').next());
    assert_eq!(names.map(str::trim).collect::<Vec<_>>(), ["lo"]);
}

#[test]
fn entering_moves_the_calling_thread_alone() {
    let made = NetNamespace::create().unwrap();
    let before = own();
    let (entered, started_there) = std::thread::scope(|scope| {
        let entered = scope.spawn(|| {
            made.enter().unwrap();
            (own(), std::thread::spawn(own).join().unwrap())
        });
        entered.join().unwrap()
    });
    assert_eq!(entered, made.run(own).unwrap());
    assert_eq!(started_there, entered, "what it starts stands there too");
    assert_eq!(own(), before);
}

#[test]
fn a_namespace_lasts_as_long_as_it_is_held() {
    let made = NetNamespace::create().unwrap();
    command(&made, "ip link add kept type veth peer name other");
    assert!(made.run(devices).unwrap().contains("kept"));
    let again = made.run(NetNamespace::current).unwrap().unwrap();
    drop(made);
    assert!(again.run(devices).unwrap().contains("kept"));
}

#[test]
fn a_process_is_found_where_it_stands() {
    let made = NetNamespace::create().unwrap();
    let mut child = made
        .run(|| {
            Command::new("cat")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
        })
        .unwrap()
        .unwrap();
    // Once it echoes, it is no longer the fork of this process on its way.
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"?").unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
    let found = NetNamespace::of_process(child.id()).unwrap();
    assert_eq!(found.run(own).unwrap(), made.run(own).unwrap());
    drop(stdin);
    child.wait().unwrap();

    let gone = NetNamespace::of_process(child.id()).unwrap_err();
    assert_eq!(gone.errno(), Errno(nix::libc::ENOENT));
    assert!(gone.to_string().contains("open(/proc/"), "{gone}");
}

#[test]
fn other_processes_reach_it_by_its_path() {
    let made = node();
    command(&made, "ip link add marked type veth peer name other");
    let path = made.path();
    let output = Command::new("nsenter")
        .arg(format!("--net={}", path.display()))
        .args(["cat", "/proc/net/dev"])
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("marked"),
        "{output:?}"
    );
}

#[test]
fn a_panic_inside_goes_on_outside() {
    let made = NetNamespace::create().unwrap();
    let panic = std::panic::catch_unwind(|| made.run(|| panic!("told you"))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"told you"));
}
