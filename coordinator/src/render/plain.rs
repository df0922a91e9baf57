//! Text that may come from anywhere, made fit for a terminal: no control characters, known width, wrapped.

use std::fmt::Write;

/// A text without control characters and marks that turn the writing direction: what a far machine says must not move
/// the cursor, hide lines or change colours here. Line breaks become spaces.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if c.is_control() || turns(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Unicode's bidirectional controls (UAX #9), which make a text look like another one.
pub(super) fn turns(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number and its noun: `1 cell`, `3 cells`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}s"),
    }
}

/// Columns that a text takes on a terminal. Exact for what stands in names of machines; East Asian wide characters
/// count two, combining ones none.
pub(super) fn columns(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x300..=0x36f | 0x200b..=0x200d | 0xfe00..=0xfe0f => 0,
            0x1100..=0x115f
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0xffe0..=0xffe6
            | 0x1f300..=0x1faff
            | 0x20000..=0x3fffd => 2,
            _ => 1,
        })
        .sum()
}

/// A text of at most `room` columns: names differ at their ends, so it is the middle that goes.
pub(super) fn shortened(text: &str, room: usize) -> String {
    if columns(text) <= room {
        return text.to_owned();
    }
    let letters: Vec<char> = text.chars().collect();
    let mut keep = room.saturating_sub(1);
    loop {
        let head: String = letters.iter().take(keep.div_ceil(2)).collect();
        let tail: String = letters
            .iter()
            .skip(letters.len().saturating_sub(keep / 2))
            .collect();
        let short = format!("{head}…{tail}");
        if keep == 0 || columns(&short) <= room {
            return short;
        }
        keep -= 1;
    }
}

/// A text filled up with spaces to `room` columns.
pub(super) fn padded(text: &str, room: usize) -> String {
    let missing = room.saturating_sub(columns(text));
    format!("{text}{:missing$}", "")
}

/// Adds a text in lines of at most `width` columns, the first after `first`, the others indented as far. A word that
/// is longer than a line stays whole: a name or a command that is cut cannot be copied.
pub(crate) fn wrap(out: &mut String, first: &str, text: &str, width: usize) {
    let indent = columns(first);
    let room = width.saturating_sub(indent).max(20);
    out.push_str(first);
    let mut used = 0;
    for word in plain(text).split(' ').filter(|word| !word.is_empty()) {
        let wide = columns(word);
        if used > 0 && used + 1 + wide > room {
            let _ = write!(out, "\n{:indent$}", "");
            used = 0;
        } else if used > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += wide;
    }
    out.push('\n');
}

/// A text that is not endless, cut between words.
pub(super) fn bounded(text: &str, most: usize) -> String {
    let text = plain(text);
    match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => {
            let kept = &text[..end];
            let kept = kept.rsplit_once(' ').map_or(kept, |(whole_words, _)| whole_words);
            format!("{kept} ...")
        }
    }
}

/// A list that is not endless: `a, b, c and 4 more`.
pub(crate) fn some_of(items: impl ExactSizeIterator<Item = String>, shown: usize) -> String {
    let all = items.len();
    let listed: Vec<String> = items.take(shown).collect();
    match all.saturating_sub(listed.len()) {
        0 => listed.join(", "),
        more => format!("{} and {more} more", listed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{bounded, columns, count, plain, shortened, some_of, wrap};

    #[test]
    fn texts_end_between_words() {
        let cases = [
            ("one two", 7, "one two"),
            ("one two", 6, "one ..."),
            ("節点 節点節点", 4, "節点 ..."),
            ("onetwo", 3, "one ..."),
        ];
        for (text, most, short) in cases {
            assert_eq!(bounded(text, most), short);
        }
    }

    #[test]
    fn numbers_agree_with_their_nouns() {
        assert_eq!(
            [0, 1, 2].map(|number| count(number, "cell")),
            ["0 cells", "1 cell", "2 cells"]
        );
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        assert_eq!(
            plain("a\x1b[31mb\u{9b}c\nd\u{202e}e"),
            "a\u{fffd}[31mb\u{fffd}c d\u{fffd}e"
        );
    }

    #[test]
    fn names_are_cut_in_the_middle() {
        let cases = [
            ("node-1", 10, "node-1"),
            ("ip-10-0-0-1.internal", 9, "ip-1…rnal"),
            ("abc", 1, "…"),
            ("節点節点節点", 5, "節…点"),
        ];
        for (name, room, short) in cases {
            assert_eq!(shortened(name, room), short);
            assert!(columns(short) <= room);
        }
    }

    #[test]
    fn lines_are_wrapped_and_hang() {
        let mut out = String::new();
        wrap(&mut out, "  * ", "one two three four  five six seven", 24);
        assert_eq!(out, "  * one two three four\n    five six seven\n");
        out.clear();
        wrap(&mut out, "", "short averyveryverylongwordthatdoesnotfit end", 20);
        assert_eq!(out, "short\naveryveryverylongwordthatdoesnotfit\nend\n");
    }

    #[test]
    fn lists_end() {
        let items = ["a", "b", "c"].map(String::from);
        assert_eq!(some_of(items.clone().into_iter(), 3), "a, b, c");
        assert_eq!(some_of(items.into_iter(), 1), "a and 2 more");
    }
}
