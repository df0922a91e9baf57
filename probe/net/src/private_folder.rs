//! A folder in memory that is mounted nowhere.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use crate::ProcessError;

/// A tmpfs that no path of the system leads to (`fsmount(2)`, Linux 5.2): reached by its descriptor only, and gone with
/// the last process that holds it, however that ended.
#[derive(Debug)]
pub struct PrivateFolder {
    mount: OwnedFd,
}

impl PrivateFolder {
    /// Makes one. Needs CAP_SYS_ADMIN over the mount namespace.
    pub fn create() -> Result<Self, ProcessError> {
        const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
        // SAFETY: the name is a string that ends in zero and outlives the call.
        let context = descriptor("fsopen(tmpfs)", unsafe {
            libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), 1)
        })?;
        let none = std::ptr::null::<libc::c_char>();
        // SAFETY: the descriptor is open; this command takes neither key nor value.
        let created = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                context.as_raw_fd(),
                FSCONFIG_CMD_CREATE,
                none,
                none,
                0,
            )
        };
        if created != 0 {
            return Err(ProcessError::of("fsconfig(create)")(nix::errno::Errno::last()));
        }
        // Not close-on-exec: processes that this one starts reach it by the same path.
        // SAFETY: the descriptor is open; flags and attributes are numbers.
        let mount = descriptor("fsmount", unsafe {
            libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 0, 0)
        })?;
        Ok(Self { mount })
    }

    /// Its path in this process and in those that it starts.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.mount.as_raw_fd()))
    }
}

fn descriptor(call: &'static str, result: libc::c_long) -> Result<OwnedFd, ProcessError> {
    match RawFd::try_from(result) {
        // SAFETY: the kernel has just opened it, and nobody else knows it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(ProcessError::of(call)(nix::errno::Errno::last())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::PrivateFolder;

    #[test]
    fn it_holds_files_and_sockets_and_shows_in_no_mount_table() {
        let before = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let folder = PrivateFolder::create().unwrap();
        std::fs::write(folder.path().join("file"), "x").unwrap();
        let _listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        UnixStream::connect(folder.path().join("socket")).unwrap();
        assert_eq!(std::fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
        let listed = std::process::Command::new("ls")
            .arg(folder.path().join("."))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(listed.stdout).unwrap(),
            "file\nsocket\n",
            "a child sees it"
        );
    }
}
