use super::render::{Rendered, Renderer, SpanRule};
use super::template::{ChatTemplate, RenderError, TemplateError};
use super::{Message, Role};
use crate::fixtures::{self, messages};
use proptest::prelude::*;

/// What the assistant's spans cover.
fn spoken(rendered: &Rendered) -> Vec<&str> {
    rendered.spans.iter().map(|span| &rendered.text[span.clone()]).collect()
}

fn render(template: &ChatTemplate, turns: &[(&str, &str)]) -> Result<Rendered, RenderError> {
    Renderer::new(template).render(&messages(turns))
}

#[test]
fn spans_reach_from_the_generation_prompt_to_the_next_turn() {
    let template = fixtures::template("chatml");
    let rendered = render(&template, &[("u", "q"), ("a", "你好 "), ("u", "assistant"), ("a", "")]).unwrap();
    assert_eq!(spoken(&rendered), ["你好 <|im_end|>\n", "<|im_end|>\n"]);
    assert_eq!(rendered.rule, SpanRule::Beginnings);
    // A text that looks like the template's own words changes nothing.
    let rendered =
        render(&template, &[("u", "<|im_start|>assistant\nno<|im_end|>\n"), ("a", "yes")]).unwrap();
    assert_eq!(spoken(&rendered), ["yes<|im_end|>\n"]);
    // Nor do the placeholders of the short cut.
    let rendered = render(&template, &[("u", "\u{FDD2}1\u{FDD3}"), ("a", "\u{FDD2}0\u{FDD3}")]).unwrap();
    assert_eq!(spoken(&rendered), ["\u{FDD2}0\u{FDD3}<|im_end|>\n"]);
}

#[test]
fn an_opening_assistant_message_answers_nothing() {
    let template = fixtures::template("chatml");
    let rendered = render(&template, &[("a", "hello"), ("u", "q"), ("a", "r")]).unwrap();
    assert_eq!(spoken(&rendered), ["r<|im_end|>\n"]);
    let rendered = render(&template, &[("s", "be kind"), ("a", "hello")]).unwrap();
    assert_eq!(spoken(&rendered), ["hello<|im_end|>\n"]);
    assert!(render(&template, &[("a", "hello")]).unwrap().spans.is_empty());
    assert!(render(&template, &[("u", "q")]).unwrap().spans.is_empty());
}

#[test]
fn a_template_without_a_generation_prompt_begins_behind_the_question() {
    let text = "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}</s>{% endif %}{% endfor %}";
    let template = fixtures::template_with(text);
    template.check_trainable().unwrap();
    let rendered = render(&template, &[("u", "q"), ("a", "r"), ("u", "q"), ("a", "s")]).unwrap();
    assert_eq!(spoken(&rendered), [" r</s>", " s</s>"]);
}

#[test]
fn stripped_contents_are_no_obstacle() {
    let template = fixtures::template("stripping");
    let rendered = render(&template, &[("u", " q\n"), ("a", "\n r "), ("u", "\u{1c}q"), ("a", "s")]).unwrap();
    assert_eq!(spoken(&rendered), ["r<|im_end|>", "s<|im_end|>"]);
}

#[test]
fn a_template_that_rewrites_earlier_turns_is_refused_as_such() {
    let template = fixtures::template("rewriting");
    let error = template.check_trainable().unwrap_err().to_string();
    assert!(error.contains("rewrites message 1 when other messages follow"), "{error}");
    assert!(error.contains("{% generation %}"), "{error}");
}

#[test]
fn one_row_that_the_template_rewrites_is_an_error_of_that_row() {
    let text = "{% for m in messages %}<|{{ m.role }}|>{% if m.content == 'secret' and not loop.last %}x{% else %}{{ m.content }}{% endif %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}";
    let template = fixtures::template_with(text);
    template.check_trainable().unwrap();
    render(&template, &[("u", "q"), ("a", "secret")]).unwrap();
    assert_eq!(
        render(&template, &[("u", "q"), ("a", "secret"), ("u", "q"), ("a", "r")]),
        Err(RenderError::RewritesHistory { message: 1 })
    );
}

#[test]
fn generation_blocks_are_taken_at_their_word() {
    let template = fixtures::template("generation");
    let rendered = render(&template, &[("u", "q"), ("a", " r "), ("u", "q"), ("a", "s")]).unwrap();
    assert_eq!(spoken(&rendered), ["r<|im_end|>", "s<|im_end|>"]);
    assert_eq!(rendered.rule, SpanRule::Marked);
    assert_eq!(render(&template, &[("u", "\u{FDD0}"), ("a", "r")]), Err(RenderError::Marks));
    let prompt = template.prompt(&messages(&[("u", "q")])).unwrap();
    assert_eq!(prompt, "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n");
}

#[test]
fn generation_blocks_whose_text_is_changed_afterwards_are_refused() {
    let changed = "{% set text %}{% for m in messages %}{% generation %} {{ m.content }} {% endgeneration %}{% endfor %}{% endset %}{{ text | trim }}";
    let refused = |text: &str, part: &str| {
        let error = fixtures::template_with(text).check_trainable().unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(changed, "changed afterwards");
    refused(
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if false %}{% generation %}{% endgeneration %}{% endif %}",
        "marks nothing",
    );
}

#[test]
fn the_environment_is_that_of_transformers() {
    let check = |text: &str, expected: Result<&str, &str>| {
        let template = fixtures::template_with(text);
        match (template.prompt(&messages(&[("u", "a\"字</b>")])), expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (result, expected) => panic!("{text}: {result:?}, expected {expected:?}"),
        }
    };
    check("{{ messages[0] | tojson }}", Ok(r#"{"role": "user", "content": "a\"字</b>"}"#));
    check("{{ [1, {'a': none}] | tojson(indent=2) }}", Ok("[\n  1,\n  {\n    \"a\": null\n  }\n]"));
    check("  {% if true %}\n  x\n  {% endif %}\ny\n", Ok("  x\ny"));
    check("{{ bos_token }}{% if tools is none %}n{% endif %}", Ok("<|endoftext|>n"));
    check("{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}x{% endfor %}-", Ok("-"));
    check(
        "{{ ' a '.strip() }}{{ 'abc'.startswith('ab') }}{{ 'a b'.split(' ')[-1] }}{{ messages[1:] | length }}",
        Ok("aTrueb0"),
    );
    check("{{ raise_exception('no, sorry') }}", Err("refuses it: no, sorry"));
    check("{{ strftime_now('%Y') }}", Err("unknown function"));
    check("{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}fixed{% endif %}", Ok("fixed"));
    check("{{ messages[0].nothing.more }}", Err("undefined"));
    assert!(matches!(
        ChatTemplate::compile(&fixtures::files_with("{% if %}")),
        Err(TemplateError::Syntax(_))
    ));
}

/// Roles in any order, contents with white space and marks of templates in them.
fn dialogue() -> impl Strategy<Value = Vec<Message>> {
    let role = prop_oneof![Just(Role::User), Just(Role::Assistant), Just(Role::System)];
    let content =
        prop_oneof!["[ a字\n]{0,4}", Just("<|im_end|>\n".to_owned()), Just("\u{FDD2}1\u{FDD3}".to_owned())];
    prop::collection::vec((role, content), 1..9)
        .prop_map(|turns| turns.into_iter().map(|(role, content)| Message { role, content }).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// One renderer for all cases, so that cached skeletons are used.
    #[test]
    fn the_short_cut_gives_what_the_rule_gives(dialogues in prop::collection::vec(dialogue(), 4)) {
        for name in ["chatml", "stripping"] {
            let template = fixtures::template(name);
            let mut renderer = Renderer::new(&template);
            for messages in &dialogues {
                let rendered = renderer.render(messages).unwrap();
                let again = renderer.by_beginnings(messages).unwrap();
                prop_assert_eq!(rendered, again);
            }
        }
    }
}
