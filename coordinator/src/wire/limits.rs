//! What a message may hold.

/// Largest message that is accepted, in bytes. The largest honest one carries the last lines of a process's stderr.
pub const MAX_MESSAGE_BYTES: usize = 256 << 10;

/// Longest name of a worker, host, device or address, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Longest free text that is kept, in characters; what follows is cut off.
const MAX_TEXT_CHARS: usize = 4000;

/// Longest word that is kept, such as a phase, in characters.
const MAX_WORD_CHARS: usize = 40;

/// Lines of stderr that are kept of a process, and characters of each.
const MAX_STDERR_LINES: usize = 20;
const MAX_STDERR_CHARS: usize = 500;

/// Open segments that are kept of a worker.
const MAX_OPEN_SEGMENTS: usize = 64;

/// A message that no honest worker or agent sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// A name: visible characters without spaces, so that it can be shown in tables and logs as it is.
pub(super) fn name(field: &str, value: String) -> Result<String, Malformed> {
    let visible = |c: char| !c.is_control() && !c.is_whitespace();
    if value.is_empty() || value.len() > MAX_NAME_BYTES || !value.chars().all(visible) {
        return Err(Malformed(format!(
            "{field} must be 1 to {MAX_NAME_BYTES} bytes of visible characters; found {:?} of {} bytes",
            value.chars().take(40).collect::<String>(),
            value.len()
        )));
    }
    Ok(value)
}

/// Free text for people: without control characters (they could steer a terminal), and not too long.
#[must_use]
pub fn text(value: &str) -> String {
    clean(value, MAX_TEXT_CHARS)
}

/// A word for a table's cell.
pub(super) fn word(value: &str) -> String {
    clean(value, MAX_WORD_CHARS).split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn stderr_tail(lines: &[String]) -> Vec<String> {
    let newest = lines.len().saturating_sub(MAX_STDERR_LINES);
    lines[newest..].iter().map(|line| clean(line, MAX_STDERR_CHARS)).collect()
}

pub(super) fn open_segments(mut segments: Vec<u32>) -> Vec<u32> {
    segments.truncate(MAX_OPEN_SEGMENTS);
    segments
}

fn clean(value: &str, most: usize) -> String {
    value.chars().filter(|c| !c.is_control() || *c == '\n' || *c == '\t').take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_visible_and_bounded() {
        assert_eq!(name("host", "node-1.example".into()), Ok("node-1.example".into()));
        for bad in ["", "two words", "line\nbreak", "\u{1b}[2J", &"x".repeat(256)] {
            assert!(name("host", bad.into()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn text_cannot_steer_a_terminal() {
        assert_eq!(text("a\u{1b}[31mb\r\nc"), "a[31mb\nc");
        assert_eq!(text(&"é".repeat(5000)).chars().count(), MAX_TEXT_CHARS);
    }

    #[test]
    fn the_newest_lines_of_stderr_are_kept() {
        let lines: Vec<_> = (0..30).map(|n| format!("line {n}")).collect();
        let kept = stderr_tail(&lines);
        assert_eq!((kept.len(), kept[19].as_str()), (20, "line 29"));
    }
}
