//! Which tokens are trained on.

use crate::chat::{Rendered, SpanRule};

/// How the last answer of a dialogue ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// As it was written.
    Whole,
    /// Cut off to fit: its end-of-turn token is not trained, or the model would learn to stop in mid-sentence.
    Cut,
}

/// The target mask of a text's tokens, whose `offsets` are in bytes.
///
/// A token belongs to a span when it begins inside: one that straddles the beginning was in part given, one that
/// straddles the end is still to be predicted. A piece of a character that is split over tokens has the whole
/// character's offsets. The first token of a document has nothing before it and is never a target.
pub(super) fn mask(
    rendered: &Rendered,
    ending: Ending,
    offsets: &[(usize, usize)],
    is_special: impl Fn(usize) -> bool,
) -> Vec<bool> {
    let mut targets = vec![false; offsets.len()];
    let mut token = 0;
    for (index, span) in rendered.spans.iter().enumerate() {
        while token < offsets.len() && offsets[token].0 < span.start {
            token += 1;
        }
        let first = token;
        while token < offsets.len() && offsets[token].0 < span.end {
            token += 1;
        }
        let mut end = token;
        if rendered.rule == SpanRule::Beginnings {
            end = without_white_space(rendered, span.end, offsets, first..end, &is_special);
        }
        if ending == Ending::Cut && index + 1 == rendered.spans.len() {
            end = before_end_of_turn(rendered, span.end, offsets, first..end, &is_special);
        }
        // Zero-width tokens stand for nothing in the text.
        for at in first.max(1)..end.max(first.max(1)) {
            targets[at] = offsets[at].1 > offsets[at].0;
        }
    }
    targets
}

/// Drops the tokens behind the last special token of the span when they are only white space.
fn without_white_space(
    rendered: &Rendered,
    span_end: usize,
    offsets: &[(usize, usize)],
    tokens: std::ops::Range<usize>,
    is_special: &impl Fn(usize) -> bool,
) -> usize {
    let Some(special) = tokens.clone().rev().find(|&token| is_special(token)) else { return tokens.end };
    match rendered.text.get(offsets[special].1..span_end) {
        Some(rest) if rest.trim().is_empty() => special + 1,
        _ => tokens.end,
    }
}

/// Drops the last special token of the span and what follows it, when only white space follows.
fn before_end_of_turn(
    rendered: &Rendered,
    span_end: usize,
    offsets: &[(usize, usize)],
    tokens: std::ops::Range<usize>,
    is_special: &impl Fn(usize) -> bool,
) -> usize {
    let end = without_white_space(rendered, span_end, offsets, tokens.clone(), is_special);
    if end > tokens.start && is_special(end - 1) { end - 1 } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens are written `a|b`, special ones `<x>`; the spans of the joined text lie between `[` and `]`.
    fn check(written: &str, rule: SpanRule, ending: Ending, expected: &str) {
        let (mut text, mut spans, mut offsets, mut start) = (String::new(), Vec::new(), Vec::new(), 0);
        for character in written.chars() {
            match character {
                '[' => spans.push(text.len()..text.len()),
                ']' => spans.last_mut().unwrap().end = text.len(),
                '|' => {
                    offsets.push((start, text.len()));
                    start = text.len();
                }
                other => text.push(other),
            }
        }
        offsets.push((start, text.len()));
        let tokens: Vec<&str> = offsets.iter().map(|&(start, end)| &text[start..end]).collect();
        let specials: Vec<bool> = tokens.iter().map(|token| token.starts_with('<')).collect();
        let rendered = Rendered { text: text.clone(), spans, rule };
        let targets = mask(&rendered, ending, &offsets, |token| specials[token]);
        let trained: Vec<&str> =
            tokens.iter().zip(targets).filter(|(_, target)| *target).map(|(token, _)| *token).collect();
        assert_eq!(trained.join("|"), expected, "{written}");
    }

    #[test]
    fn white_space_behind_the_end_of_turn_is_not_trained() {
        check(
            "<u>|q|\n|[yes|<e>|\n]|<u>|r|[no|<e>|\n]",
            SpanRule::Beginnings,
            Ending::Whole,
            "yes|<e>|no|<e>",
        );
        check("<u>|q|[yes|<e>|\n]", SpanRule::Marked, Ending::Whole, "yes|<e>|\n");
        // Without an end-of-turn token, or with words behind it, all is kept.
        check("q|[yes|\n]", SpanRule::Beginnings, Ending::Whole, "yes|\n");
        check("q|[<t>|yes|\n]", SpanRule::Beginnings, Ending::Whole, "<t>|yes|\n");
        check("q|[yes|<e>]", SpanRule::Beginnings, Ending::Whole, "yes|<e>");
    }

    #[test]
    fn a_token_across_the_beginning_is_not_trained_and_one_across_the_end_is() {
        check("q|: [y|es|.]x|r", SpanRule::Marked, Ending::Whole, "es|.x");
    }

    #[test]
    fn the_first_token_is_never_trained() {
        check("[a|b]", SpanRule::Marked, Ending::Whole, "b");
        check("[a]", SpanRule::Marked, Ending::Cut, "");
        check("q|[]|r", SpanRule::Marked, Ending::Whole, "");
    }

    #[test]
    fn a_cut_answer_is_not_trained_to_end() {
        check("q|[one|<e>|\n]|q|[yes|<e>|\n]", SpanRule::Beginnings, Ending::Cut, "one|<e>|yes");
        check("q|[yes|<e>]|\n", SpanRule::Marked, Ending::Cut, "yes");
        check("q|[yes]", SpanRule::Marked, Ending::Cut, "yes");
    }

    #[test]
    fn pieces_of_one_character_share_its_offsets() {
        let rendered =
            Rendered { text: "a字b".into(), spans: std::iter::once(1..4).collect(), rule: SpanRule::Marked };
        let offsets = [(0, 1), (1, 4), (1, 4), (4, 5)];
        assert_eq!(mask(&rendered, Ending::Whole, &offsets, |_| false), [false, true, true, false]);
    }
}
