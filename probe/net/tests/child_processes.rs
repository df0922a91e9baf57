//! What a process does to itself, tried in processes of its own: this binary starts itself again, where it must as an
//! ordinary user. It has no harness, since the harness has threads and a user namespace wants none.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mesh_net::{
    Errno, IcmpAccess, IcmpSocket, NetNamespace, become_root_in_user_namespace, die_with_parent,
    private_run_directory, raise_open_file_limit,
};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::geteuid;

/// What a process of ours is for is its first argument.
fn main() {
    let role = std::env::args().nth(1).unwrap_or_default();
    match role.as_str() {
        "as-builder" => build_a_network(),
        "as-late-one" => refuse_a_process_with_threads(),
        "as-one-too-many" => refuse_where_none_are_allowed(),
        "as-pinger" => ping_without_privilege(),
        "as-parent" => start_a_child(),
        "as-child" => end_with_the_parent(),
        "as-opener" => open_many_files(),
        "--list" => {}
        _ => run_all(),
    }
}

fn run_all() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Where the build directory lies, an ordinary user may not come.
    let own = place.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &own).unwrap();

    expect_success(&as_ordinary_user(&own, "as-builder"));
    assert!(
        !Path::new("/run/mesh-net-test").exists(),
        "it wrote into the real /run"
    );
    expect_success(&as_ordinary_user(&own, "as-late-one"));
    expect_success(&as_ordinary_user(&own, "as-one-too-many"));
    expect_success(&as_ordinary_user(&own, "as-pinger"));
    let mut parent = Command::new(&own);
    parent.arg("as-parent");
    the_child_of_a_killed_parent_ends(parent);
    // As in a container, where the program is process 1.
    let mut parent = Command::new("unshare");
    parent.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !geteuid().is_root() {
        parent.arg("--map-root-user");
    }
    parent.arg(&own).arg("as-parent");
    the_child_of_a_killed_parent_ends(parent);
    let opener = Command::new(&own).arg("as-opener").output();
    expect_success(&opener.unwrap());
}

fn as_ordinary_user(own: &Path, role: &str) -> Output {
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(own);
        command
    } else {
        Command::new(own)
    };
    command.arg(role).stdin(Stdio::null()).output().unwrap()
}

fn expect_success(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn build_a_network() {
    assert!(!geteuid().is_root());
    become_root_in_user_namespace().unwrap();
    assert!(geteuid().is_root());
    private_run_directory().unwrap();
    fs::write("/run/mesh-net-test", "").unwrap();
    assert_eq!(fs::read_dir("/run").unwrap().count(), 1);

    // Its own namespace, another one, a cable, a firewall, a ping.
    let there = NetNamespace::create().unwrap();
    let path = there.path();
    ip(&format!(
        "link add near type veth peer name far netns {}",
        path.display()
    ));
    ip("address add 10.0.0.1/24 dev near");
    ip("link set near up");
    there.run(|| ip("address add 10.0.0.2/24 dev far")).unwrap();
    there.run(|| ip("link set far up")).unwrap();
    fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").unwrap();
    for access in [IcmpAccess::Raw, IcmpAccess::Ping] {
        let socket = IcmpSocket::open_as(false, access).unwrap();
        let echo = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
        socket.send(&echo, "10.0.0.2".parse().unwrap()).unwrap();
    }
    // The legacy back end's lock is in /run.
    let iptables = Command::new("iptables")
        .args(["-w", "-A", "OUTPUT", "-p", "icmp", "-j", "DROP"])
        .output();
    expect_success(&iptables.unwrap());
    let socket = IcmpSocket::open(false).unwrap();
    let dropped = socket.send(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0], "10.0.0.2".parse().unwrap());
    assert_eq!(dropped, Err(Errno::NOT_PERMITTED));
}

fn ip(line: &str) {
    let output = Command::new("ip").args(line.split_whitespace()).output();
    expect_success(&output.unwrap());
}

fn refuse_a_process_with_threads() {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv());
    let error = become_root_in_user_namespace().unwrap_err();
    assert_eq!(
        (error.call(), error.errno()),
        ("unshare(CLONE_NEWUSER)", Errno::INVALID)
    );
    assert!(error.to_string().contains("more than one thread"), "{error}");
    drop(end);
    assert!(thread.join().unwrap().is_err());
}

fn refuse_where_none_are_allowed() {
    let none = NetNamespace::create().unwrap_err();
    assert_eq!(none.errno(), Errno::NOT_PERMITTED);
    assert!(
        none.to_string().contains("unshare(CLONE_NEWNET): EPERM: be root"),
        "{none}"
    );

    become_root_in_user_namespace().unwrap();
    fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
    let error = become_root_in_user_namespace().unwrap_err();
    assert_eq!(error.errno(), Errno::NO_SPACE);
    assert!(error.to_string().contains("user.max_user_namespaces"), "{error}");
}

fn ping_without_privilege() {
    match IcmpSocket::open(false) {
        // Some distributions let everybody ping.
        Ok(socket) => assert_eq!(socket.access(), IcmpAccess::Ping),
        Err(error) => {
            let said = error.to_string();
            assert!(
                said.contains("a raw socket gave EPERM, a ping socket gave EACCES"),
                "{said}"
            );
            assert!(
                said.contains("CAP_NET_RAW") && said.contains("ping_group_range"),
                "{said}"
            );
        }
    }
}

fn the_child_of_a_killed_parent_ends(mut parent: Command) {
    let mut parent = parent
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(parent.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "parent there: true\n");
    parent.kill().unwrap();
    parent.wait().unwrap();
    // The child holds the other end of this pipe, and says so if it outlives its parent.
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
}

fn start_a_child() {
    let own = std::env::current_exe().unwrap();
    let mut child = Command::new(own).arg("as-child").spawn().unwrap();
    child.wait().unwrap();
}

fn end_with_the_parent() {
    let there = die_with_parent().unwrap();
    println!("parent there: {there}");
    std::io::stdout().flush().unwrap();
    // Ends a test that has failed.
    std::thread::sleep(std::time::Duration::from_secs(20));
    println!("still alive");
}

fn open_many_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    nix::sys::resource::setrlimit(Resource::RLIMIT_NOFILE, 16.min(hard), hard).unwrap();
    assert_eq!(raise_open_file_limit(), Ok(hard));
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
}
