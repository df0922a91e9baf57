//! Files that the user gives to read: `-` is stdin, and no file is read without end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a file with at most `longest` bytes. Comes back with its name for messages.
pub(crate) fn read(file: &Path, longest: u64) -> io::Result<(String, Vec<u8>)> {
    let (name, input): (_, Box<dyn Read>) = if file == Path::new("-") {
        ("stdin".to_owned(), Box::new(io::stdin().lock()))
    } else {
        (file.display().to_string(), Box::new(File::open(file)?))
    };
    Ok((name, read_bounded(input, longest)?))
}

fn read_bounded(input: impl Read, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more tells a file of just that length from a longer one.
    input.take(longest.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= longest) {
        return Ok(bytes);
    }
    let most = longest >> 20;
    Err(io::Error::other(format!(
        "it is larger than {most} MiB, the most that is read"
    )))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{read, read_bounded};

    #[test]
    fn a_file_without_end_is_not_read_for_ever() {
        let error = read(Path::new("/dev/zero"), 3 << 20).unwrap_err().to_string();
        assert_eq!(error, "it is larger than 3 MiB, the most that is read");
    }

    #[test]
    fn the_longest_still_is_read() {
        assert_eq!(read_bounded(&b"1234"[..], 4).unwrap(), b"1234");
        assert!(read_bounded(&b"12345"[..], 4).is_err());
    }
}
