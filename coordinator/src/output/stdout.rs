//! stdout: the result only, with colours on a terminal, and no panic when nobody reads it or the disk is full.

use std::io::{self, BufWriter, Write};

use crate::render::Format;

/// What a terminal has if nobody says how wide it is.
const USUAL_WIDTH: usize = 80;

/// Why the result cannot be shown.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the result to stdout: {cause}; give a file on another disk with -o FORMAT=FILE")]
pub(crate) struct StdoutError {
    cause: io::Error,
}

/// Prints a result, which is told the terminal's width. A reader that went away (`| head`) wanted no more.
pub(crate) fn print(
    format: Format,
    content: impl FnOnce(usize, &mut dyn Write) -> io::Result<()>,
) -> Result<(), StdoutError> {
    let stdout = io::stdout().lock();
    let width = width();
    let written = if format.is_coloured() {
        let mut out = BufWriter::new(anstream::AutoStream::auto(stdout));
        content(width, &mut out).and_then(|()| out.flush())
    } else {
        let mut out = BufWriter::new(stdout);
        content(width, &mut out).and_then(|()| out.flush())
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(StdoutError { cause: error }),
        _ => Ok(()),
    }
}

/// The terminal's width, or 80 where there is none or it is too narrow to be true.
fn width() -> usize {
    let terminal = terminal_size::terminal_size_of(io::stdout());
    terminal
        .map(|(terminal_size::Width(columns), _)| usize::from(columns))
        .filter(|width| *width >= 40)
        .unwrap_or(USUAL_WIDTH)
}
