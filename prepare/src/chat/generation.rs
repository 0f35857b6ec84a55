//! `{% generation %} … {% endgeneration %}`: the template itself says what the assistant writes.
//!
//! The tags become a filter block, which has the same rules for white space around it. The filter puts marks around
//! its text; the marks are noncharacters, which Unicode keeps for use inside a program, and are taken out again.

use std::ops::Range;

/// The filter that stands for the tags.
pub(super) const FILTER: &str = "evenkeel_generation";
const START: char = '\u{FDD0}';
const END: char = '\u{FDD1}';

/// Whether the text has one of the marks in it already.
pub(super) fn has_marks(text: &str) -> bool {
    text.contains([START, END])
}

/// The filter: marks around the text.
pub(super) fn mark(text: String) -> String {
    format!("{START}{text}{END}")
}

/// The template with the tags replaced by the filter block, or `None` when it has none.
pub(super) fn rewrite(template: &str) -> Option<String> {
    let mut out = String::with_capacity(template.len() + 64);
    let mut rest = template;
    let mut found = false;
    while let Some(start) = rest.find("{%") {
        let Some(length) = rest[start..].find("%}") else { break };
        let tag = &rest[start..start + length + 2];
        out.push_str(&rest[..start]);
        match replacement(tag) {
            Some(tag) => {
                found = true;
                out.push_str(&tag);
            }
            None => out.push_str(tag),
        }
        rest = &rest[start + tag.len()..];
    }
    out.push_str(rest);
    found.then_some(out)
}

/// Keeps the signs that control white space: `{%- generation -%}`.
fn replacement(tag: &str) -> Option<String> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let name = inner.trim_matches(['-', '+']).trim();
    let block = match name {
        "generation" => format!("filter {FILTER}"),
        "endgeneration" => "endfilter".to_owned(),
        _ => return None,
    };
    let sign = |text: Option<char>| {
        text.filter(|sign| matches!(sign, '-' | '+')).map_or(String::new(), String::from)
    };
    Some(format!("{{%{} {block} {}%}}", sign(inner.chars().next()), sign(inner.chars().last())))
}

/// Takes the marks out; `None` when they do not pair.
pub(super) fn take_out(marked: &str) -> Option<(String, Vec<Range<usize>>)> {
    let mut text = String::with_capacity(marked.len());
    let mut spans = Vec::new();
    let mut open: Option<usize> = None;
    let mut rest = marked;
    while let Some(at) = rest.find([START, END]) {
        text.push_str(&rest[..at]);
        let mark = rest[at..].chars().next()?;
        match (mark, open) {
            (START, None) => open = Some(text.len()),
            (END, Some(start)) => {
                spans.push(start..text.len());
                open = None;
            }
            _ => return None,
        }
        rest = &rest[at + mark.len_utf8()..];
    }
    text.push_str(rest);
    open.is_none().then_some((text, spans))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_a_filter_block_with_their_signs() {
        let rewritten =
            rewrite("a{%- generation -%}b{% set x = 1 %}{%endgeneration%}c{% generation +%}").unwrap();
        assert_eq!(
            rewritten,
            "a{%- filter evenkeel_generation -%}b{% set x = 1 %}{% endfilter %}c{% filter evenkeel_generation +%}"
        );
        assert_eq!(rewrite("{% if add_generation_prompt %}{{ generation }}{% endif %}{% broken"), None);
    }

    #[test]
    fn marks_are_taken_out_and_give_byte_spans() {
        let marked = format!("é{}x字{}", mark("ab".into()), mark(String::new()));
        assert_eq!(take_out(&marked), Some(("éabx字".into(), vec![2..4, 8..8])));
        assert_eq!(take_out("\u{FDD0}a"), None);
        assert_eq!(take_out("\u{FDD1}a"), None);
        assert_eq!(take_out("\u{FDD0}\u{FDD0}a\u{FDD1}\u{FDD1}"), None);
    }
}
