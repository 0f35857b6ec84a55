//! Samples of a data set as text.

use evenkeel_prepare::sample::{Part, Sample};
use std::fmt::Write;

/// How trained text is told from the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marking {
    /// Green, for a terminal.
    Colour,
    /// Between « and ».
    Brackets,
}

const GREEN: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// The documents of a sample, each under a line that says what it is.
pub fn sample(sample: &Sample, marking: Marking) -> String {
    let mut out = String::new();
    for document in &sample.documents {
        let _ = writeln!(
            out,
            "── row {}: segment {}, pack {}, {} tokens, {} trained ──",
            document.row, sample.segment, sample.pack, document.tokens, document.targets
        );
        for run in &document.runs {
            let (before, after) = match (marking, run.part) {
                (Marking::Colour, Part::Target) => (GREEN, RESET),
                (Marking::Colour, Part::Context) => (DIM, RESET),
                (Marking::Brackets, Part::Target) => ("«", "»"),
                (Marking::Brackets, Part::Context) => ("", ""),
            };
            let _ = write!(out, "{before}{}{after}", visible(&run.text));
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

/// Data must not steer the terminal: control characters other than line ends and tabs are shown as escapes.
fn visible(text: &str) -> String {
    let is_kept = |character: char| !character.is_control() || matches!(character, '\n' | '\t');
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        if is_kept(character) {
            out.push(character);
        } else {
            out.extend(character.escape_default());
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_prepare::sample::{Run, SampleDocument};
    use evenkeel_shared::ids::{RowId, SegmentId};

    #[test]
    fn trained_text_is_marked_and_control_characters_are_harmless() {
        let run = |text: &str, part| Run { text: text.to_owned(), part };
        let document = SampleDocument {
            row: RowId(7),
            tokens: 4,
            targets: 2,
            runs: vec![
                run("<|user|>\nhi \x1b[31m", Part::Context),
                run("你好", Part::Target),
                run("\n", Part::Context),
            ],
        };
        let shown = Sample { segment: SegmentId(1), pack: 2, documents: vec![document] };
        assert_eq!(
            sample(&shown, Marking::Brackets),
            "── row 7: segment 1, pack 2, 4 tokens, 2 trained ──\n<|user|>\nhi \\u{1b}[31m«你好»\n"
        );
        assert!(sample(&shown, Marking::Colour).contains("\x1b[32m你好\x1b[0m"));
    }
}
