//! Spans of time as kubectl takes them: `30s`, `2m`, `1h30m`, `500ms`.

use std::str::FromStr;
use std::time::Duration;

/// A span of time from the command line: longer than nothing, at most a week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// Longer than any run; keeps sums of spans far from overflow.
const LONGEST: Duration = Duration::from_hours(7 * 24);

/// A text that is no span of time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{why}; expected a number with a unit, such as 500ms, 30s, 2m or 1h30m")]
pub(crate) struct BadSpan {
    why: &'static str,
}

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = |why| Err(BadSpan { why });
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return bad(if text.bytes().all(|byte| byte == b'0') {
                "it must be longer than 0"
            } else {
                "the unit is missing"
            });
        }
        let Ok(span) = text.parse::<jiff::SignedDuration>() else {
            return bad("not a span of time");
        };
        match Duration::try_from(span) {
            Ok(span) if span < Duration::from_millis(1) => bad("it must be longer than 0"),
            Ok(span) if span > LONGEST => bad("it is longer than a week"),
            Ok(span) => Ok(Self(span)),
            Err(_) => bad("it must be longer than 0"),
        }
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // `{:#}` is jiff's short form: `1h 30m`.
        match jiff::SignedDuration::try_from(self.0) {
            Ok(span) => write!(f, "{span:#}"),
            Err(_) => write!(f, "{:?}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Span;

    #[test]
    fn spans_as_kubectl_takes_them() {
        let millis = |text: &str| text.parse::<Span>().unwrap().0.as_millis();
        assert_eq!(millis("500ms"), 500);
        assert_eq!(millis("30s"), 30_000);
        assert_eq!(millis("1.5s"), 1_500);
        assert_eq!(millis("2m"), 120_000);
        assert_eq!(millis("1h30m"), 5_400_000);
    }

    #[test]
    fn what_is_no_span_says_what_was_expected() {
        let cases = [
            ("", "not a span"),
            ("0", "longer than 0"),
            ("0s", "longer than 0"),
            ("-3s", "longer than 0"),
            ("30", "unit is missing"),
            ("soon", "not a span"),
            ("9999h", "longer than a week"),
            ("999999999999999999999h", "not a span"),
        ];
        for (text, why) in cases {
            let error = text.parse::<Span>().unwrap_err().to_string();
            assert!(
                error.contains(why) && error.contains("such as 500ms, 30s"),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn a_span_is_printed_short() {
        assert_eq!(Span(Duration::from_mins(90)).to_string(), "1h 30m");
    }
}
