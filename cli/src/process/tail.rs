//! The last lines of a stream, in bounded memory.

use std::collections::VecDeque;

const LINES: usize = 20;
/// Bytes kept of a line; a progress bar or a binary dump must not grow it without end.
const LINE_BYTES: usize = 2000;

/// Keeps the last 20 lines of what is fed to it.
#[derive(Debug, Default)]
pub struct Tail {
    lines: VecDeque<Vec<u8>>,
    open: Vec<u8>,
}

impl Tail {
    /// Takes the next bytes of the stream; lines may be split over calls anywhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let room = LINE_BYTES.saturating_sub(self.open.len());
            self.open.extend_from_slice(&text[..text.len().min(room)]);
            if ends {
                self.close_line();
            }
        }
    }

    fn close_line(&mut self) {
        let line = std::mem::take(&mut self.open);
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The lines, oldest first; one without a line end counts.
    pub fn lines(&self) -> Vec<String> {
        let open = Some(&self.open).filter(|line| !line.is_empty());
        self.lines
            .iter()
            .chain(open)
            .map(|line| String::from_utf8_lossy(line).trim_end().to_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_and_bounds_each() {
        let mut tail = Tail::default();
        for number in 0..50 {
            tail.feed(format!("line {number}\n").as_bytes());
        }
        tail.feed(&vec![b'x'; 100_000]);
        let lines = tail.lines();
        assert_eq!(lines.len(), LINES + 1);
        assert_eq!(lines[0], "line 30");
        assert_eq!(lines[LINES].len(), LINE_BYTES);
    }

    #[test]
    fn a_line_may_come_in_pieces() {
        let mut tail = Tail::default();
        for piece in ["err", "or: a\r\n\nlast", " words"] {
            tail.feed(piece.as_bytes());
        }
        assert_eq!(tail.lines(), ["error: a", "last words"]);
    }
}
