//! What of the program stays in memory.

use crate::Errno;

/// Lets go of the program's code: pages that are needed again come back from the file's cache, and those of start-up alone,
/// such as the parser of the command line, do not count as this process's memory any more.
pub fn let_go_of_code() -> std::io::Result<()> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    for (start, len) in maps.lines().filter_map(code) {
        let address = std::ptr::without_provenance_mut(start);
        // SAFETY: the range is a mapping of this process, private, of a file, executable and not writable (proc(5)). Such
        // pages were never written to, so that dropping them (madvise(2), MADV_DONTNEED) changes nothing that can be read
        // there: the next access brings the file's content back.
        let dropped = unsafe { libc::madvise(address, len, libc::MADV_DONTNEED) };
        if dropped != 0 {
            return Err(Errno::of(&std::io::Error::last_os_error())
                .unwrap_or(Errno::INVALID)
                .into());
        }
    }
    Ok(())
}

/// Start and length of a mapping, if a line of `/proc/self/maps` tells of code from a file.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, access) = (fields.next()?, fields.next()?);
    let path = fields.nth(3)?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (
        usize::from_str_radix(start, 16).ok()?,
        usize::from_str_radix(end, 16).ok()?,
    );
    (access == "r-xp" && path.starts_with('/')).then(|| (start, end.saturating_sub(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_let_go() {
        let table = [
            (
                "55d0-55e0 r-xp 00010000 08:01 42    /usr/bin/mesh",
                Some((0x55d0, 0x10)),
            ),
            ("55d0-55e0 rw-p 00010000 08:01 42    /usr/bin/mesh", None),
            ("55d0-55e0 r--p 00010000 08:01 42    /usr/bin/mesh", None),
            ("7ffe0000-7ffe2000 r-xp 00000000 00:00 0    [vdso]", None),
            ("7ffe0000-7ffe2000 r-xp 00000000 00:00 0", None),
            ("", None),
        ];
        for (line, expected) in table {
            assert_eq!(code(line), expected, "{line}");
        }
    }

    #[test]
    fn the_program_goes_on_without_its_code() {
        let_go_of_code().unwrap();
        assert_eq!("12".parse::<u8>(), Ok(12));
    }
}
