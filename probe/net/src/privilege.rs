//! Building networks as an ordinary user: namespaces of the own process (`user_namespaces(7)`).

use std::fs;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use crate::namespace::why_no_network;
use crate::{Errno, ProcessError};

/// Puts the process into new user, network and mount namespaces in which the caller is root, so that an ordinary user
/// may build networks. **Before any thread starts**: the kernel refuses a process of several threads (`EINVAL`).
///
/// The user and the group of the caller are mapped to 0 and nobody else is, so `setgroups` is off and files of other
/// users belong to nobody.
pub fn become_root_in_user_namespace() -> Result<(), ProcessError> {
    // Asked before: inside, they read as the overflow ids until the maps are written.
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(ProcessError::with_advice(
        "unshare(CLONE_NEWUSER)",
        why_no_user_namespace,
    ))?;
    write("/proc/self/setgroups", "deny", "write(/proc/self/setgroups)")?;
    write(
        "/proc/self/uid_map",
        &format!("0 {uid} 1"),
        "write(/proc/self/uid_map)",
    )?;
    write(
        "/proc/self/gid_map",
        &format!("0 {gid} 1"),
        "write(/proc/self/gid_map)",
    )?;
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(ProcessError::with_advice(
        "unshare(CLONE_NEWNET | CLONE_NEWNS)",
        |errno| match errno {
            Errno::NOT_PERMITTED => APPARMOR,
            errno => why_no_network(errno),
        },
    ))?;
    keep_mounts_private()?;
    // Whoever gains capabilities is closed to others of the same user: even `ip`, started from here, could not open the
    // namespaces that this process holds (proc(5), /proc/PID/fd).
    nix::sys::prctl::set_dumpable(true).map_err(ProcessError::of("prctl(PR_SET_DUMPABLE)"))
}

/// Whether this process may make network namespaces and what belongs into them as it is: it has CAP_SYS_ADMIN and
/// CAP_NET_ADMIN (`capabilities(7)`).
pub fn may_make_networks() -> bool {
    const CAP_NET_ADMIN: u32 = 12;
    const CAP_SYS_ADMIN: u32 = 21;
    const NEEDED: u64 = 1 << CAP_NET_ADMIN | 1 << CAP_SYS_ADMIN;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & NEEDED == NEEDED)
}

/// Joins the user namespace of another process of the same user, and so its privileges there. **Before any thread
/// starts.** Nothing is done where both share one.
pub fn join_user_namespace_of(pid: u32) -> Result<(), ProcessError> {
    let path = format!("/proc/{pid}/ns/user");
    if fs::read_link(&path).ok() == fs::read_link("/proc/self/ns/user").ok() {
        return Ok(());
    }
    let user = fs::File::open(path)
        .map_err(crate::datagram::errno)
        .map_err(ProcessError::of("open(/proc/PID/ns/user)"))?;
    nix::sched::setns(user, CloneFlags::CLONE_NEWUSER).map_err(ProcessError::of("setns(CLONE_NEWUSER)"))
}

/// Puts the calling thread into a mount namespace of its own with an empty tmpfs on `/run`, so that what wants to write
/// there (`ip netns`, the lock `/run/xtables.lock`) neither needs root's own `/run` nor leaves anything in it. Needs
/// CAP_SYS_ADMIN. Call it before other threads start: they would not see it.
pub fn private_run_directory() -> Result<(), ProcessError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(ProcessError::of("unshare(CLONE_NEWNS)"))?;
    keep_mounts_private()?;
    mount(
        Some("tmpfs"),
        "/run",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=755"),
    )
    .map_err(ProcessError::of("mount(tmpfs on /run)"))
}

/// Mounts made here must not show up outside, nor the other way round.
fn keep_mounts_private() -> Result<(), ProcessError> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(ProcessError::of("mount(MS_PRIVATE on /)"))
}

fn write(path: &str, text: &str, call: &'static str) -> Result<(), ProcessError> {
    fs::write(path, text).map_err(|error| {
        ProcessError::with_advice(call, |errno| match errno {
            Errno::NOT_PERMITTED | Errno::ACCESS => APPARMOR,
            _ => "",
        })(crate::datagram::errno(error))
    })
}

/// Where it is on, a user namespace can be made but gives no privilege.
const APPARMOR: &str = "the namespace gives no privilege here: set the sysctl \
                        kernel.apparmor_restrict_unprivileged_userns=0, or be root";

fn why_no_user_namespace(errno: Errno) -> &'static str {
    match errno {
        Errno::NOT_PERMITTED | Errno::ACCESS => {
            "user namespaces are forbidden to ordinary users: set the sysctl kernel.unprivileged_userns_clone=1 \
             (Debian) or kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); in a container, allow unshare \
             (docker: --security-opt seccomp=unconfined); or be root"
        }
        Errno::NO_SPACE => {
            "there are too many user namespaces, or none are allowed: raise the sysctl user.max_user_namespaces"
        }
        Errno::INVALID => "the process has more than one thread: do it first",
        _ => "",
    }
}

/// Takes CAP_NET_ADMIN from the **calling thread**, for good, as an agent has it that was not given it (`capabilities(7)`).
pub fn give_up_network_administration() -> Result<(), ProcessError> {
    const VERSION_3: u32 = 0x2008_0522;
    const CAP_NET_ADMIN: u32 = 12;
    /// `struct __user_cap_header_struct`: the version, and 0 for the calling thread.
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    /// `struct __user_cap_data_struct`, of which version 3 has two.
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let mut data = [Data::default(); 2];
    let call = |name, errno: nix::errno::Errno| ProcessError::of(name)(Errno::from(errno));
    // SAFETY: header and data have the layout that this version has, and outlive the call, which writes into both.
    if unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) } != 0 {
        return Err(call("capget", nix::errno::Errno::last()));
    }
    for set in [
        &mut data[0].effective,
        &mut data[0].permitted,
        &mut data[0].inheritable,
    ] {
        *set &= !(1 << CAP_NET_ADMIN);
    }
    // SAFETY: as above; the call reads both.
    if unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) } != 0 {
        return Err(call("capset", nix::errno::Errno::last()));
    }
    Ok(())
}
