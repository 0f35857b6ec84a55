//! Making a dialogue fit: whole exchanges go first, the oldest ones; the template's own text is never cut.

use super::reject::Rejection;
use crate::chat::{Message, Renderer, Role};
use crate::tokens::{Encoder, Ending, Tokens};
use evenkeel_shared::config::LongDialogue;
use evenkeel_shared::dataset::TruncationLosses;

/// Renders, tokenizes and, where needed, shortens dialogues; each thread has its own.
#[derive(Debug)]
pub(super) struct Fitter<'t> {
    renderer: Renderer<'t>,
    encoder: Encoder,
    max_length: usize,
    long_dialogue: LongDialogue,
}

/// A dialogue of at most `max_length` tokens with at least one target.
#[derive(Debug)]
pub(super) struct Fitted {
    pub tokens: Tokens,
    pub losses: TruncationLosses,
}

/// Which end of a message's content is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl<'t> Fitter<'t> {
    pub(super) fn new(
        renderer: Renderer<'t>,
        encoder: Encoder,
        max_length: u32,
        long_dialogue: LongDialogue,
    ) -> Self {
        Self { renderer, encoder, max_length: max_length as usize, long_dialogue }
    }

    /// The tokens of a dialogue, shortened to `max_length` where the settings allow it.
    ///
    /// # Errors
    /// When the dialogue cannot be used.
    pub(super) fn fit(&mut self, messages: &[Message]) -> Result<Fitted, Rejection> {
        let whole = self.encode(messages, Ending::Whole)?;
        let targets = whole.target_count();
        if targets == 0 {
            return Err(Rejection::NoTargets);
        }
        let (tokens, max_length) = (whole.ids.len(), self.max_length);
        if tokens <= max_length {
            return Ok(Fitted { tokens: whole, losses: TruncationLosses::default() });
        }
        if self.long_dialogue == LongDialogue::Drop {
            return Err(Rejection::TooLong { tokens, max_length });
        }
        let (kept, messages_kept) =
            self.shorten(messages, tokens)?.ok_or(Rejection::Uncuttable { tokens, max_length })?;
        let losses = TruncationLosses {
            dialogues: 1,
            messages: (messages.len() - messages_kept) as u64,
            tokens: tokens.saturating_sub(kept.ids.len()) as u64,
            target_tokens: targets.saturating_sub(kept.target_count()) as u64,
        };
        Ok(Fitted { tokens: kept, losses })
    }

    /// The tokens of what is kept and the number of messages that stay; `None` when nothing fits.
    fn shorten(&mut self, messages: &[Message], tokens: usize) -> Result<Option<(Tokens, usize)>, Rejection> {
        let parts = Parts::of(messages);
        // Where to begin: as if tokens were spread evenly over the bytes. Then step to the exact place.
        let density = tokens as f64 / (bytes(messages) as f64).max(1.0);
        let fits = |start: &usize| {
            (bytes(parts.head) + bytes(&parts.body[*start..])) as f64 * density <= self.max_length as f64
        };
        let newest = parts.exchanges.len() - 1;
        let mut first = parts.exchanges.iter().position(fits).unwrap_or(newest);
        let mut kept = self.encode_if_it_fits(&parts.from(first), Ending::Whole)?;
        // When the guess is too long, the walk ends at the first exchange that fits: the one before it did not.
        let may_keep_more = kept.is_some();
        while kept.is_none() && first < newest {
            first += 1;
            kept = self.encode_if_it_fits(&parts.from(first), Ending::Whole)?;
        }
        let Some(mut kept) = kept else { return self.cut_newest(parts.from(newest)) };
        while may_keep_more && first > 0 {
            let Some(more) = self.encode_if_it_fits(&parts.from(first - 1), Ending::Whole)? else { break };
            first -= 1;
            kept = more;
        }
        let count = parts.from(first).len();
        Ok((kept.target_count() > 0).then_some((kept, count)))
    }

    /// One exchange that is too long alone: the user's text goes from its beginning, then the answer from its end.
    fn cut_newest(&mut self, mut messages: Vec<Message>) -> Result<Option<(Tokens, usize)>, Rejection> {
        let users: Vec<usize> =
            (0..messages.len()).filter(|&index| messages[index].role == Role::User).collect();
        let cuts = users.into_iter().map(|index| (index, Side::Left, Ending::Whole));
        let answer = messages.len() - 1;
        for (index, side, ending) in cuts.chain([(answer, Side::Right, Ending::Cut)]) {
            if let Some(tokens) = self.cut(&mut messages, index, side, ending)? {
                return Ok((tokens.target_count() > 0).then_some((tokens, messages.len())));
            }
        }
        Ok(None)
    }

    /// Cuts whole tokens off one end of a content until the dialogue fits; `None` when not even an empty one does.
    fn cut(
        &mut self,
        messages: &mut [Message],
        index: usize,
        side: Side,
        ending: Ending,
    ) -> Result<Option<Tokens>, Rejection> {
        let content = std::mem::take(&mut messages[index].content);
        let places = cut_places(&self.encoder, &content, side)?;
        let mut dropped = 0;
        let mut tokens = None;
        loop {
            let rest = match (places.get(dropped), side) {
                (Some(&place), Side::Left) => &content[place..],
                (Some(&place), Side::Right) => &content[..place],
                (None, _) => "",
            };
            messages[index].content = rest.to_owned();
            let length = match tokens.insert(self.encode(messages, ending)?).ids.len() {
                length if length <= self.max_length => return Ok(tokens),
                length => length,
            };
            if rest.is_empty() {
                return Ok(None);
            }
            // Tokens at the seam may merge or split, hence the loop; it almost always ends in its second round.
            dropped += length - self.max_length;
        }
    }

    fn encode(&mut self, messages: &[Message], ending: Ending) -> Result<Tokens, Rejection> {
        let rendered = self.renderer.render(messages)?;
        Ok(self.encoder.encode(&rendered, ending)?)
    }

    fn encode_if_it_fits(
        &mut self,
        messages: &[Message],
        ending: Ending,
    ) -> Result<Option<Tokens>, Rejection> {
        let tokens = self.encode(messages, ending)?;
        Ok((tokens.ids.len() <= self.max_length).then_some(tokens))
    }
}

/// Entry `n` is the byte position to cut `content` at to lose about `n` tokens; the pieces of a split character all
/// stand for its beginning.
fn cut_places(encoder: &Encoder, content: &str, side: Side) -> Result<Vec<usize>, Rejection> {
    let boundary = |place: usize| content.floor_char_boundary(place);
    let mut places: Vec<usize> =
        encoder.token_ranges(content)?.into_iter().map(|range| boundary(range.start)).collect();
    match side {
        Side::Left => match places.first_mut() {
            Some(first) => *first = 0,
            None => places.push(0),
        },
        Side::Right => {
            places.push(content.len());
            places.reverse();
        }
    }
    Ok(places)
}

/// A dialogue in the parts that truncation works with.
struct Parts<'m> {
    /// System messages at the beginning: they always stay.
    head: &'m [Message],
    /// From there to the last assistant message; what follows it is read by nobody.
    body: &'m [Message],
    /// Where exchanges begin in `body`: at a user's message that does not follow another one. At least one.
    exchanges: Vec<usize>,
}

impl<'m> Parts<'m> {
    fn of(messages: &'m [Message]) -> Self {
        let head = messages.iter().take_while(|message| message.role == Role::System).count();
        let (head, rest) = messages.split_at(head);
        let end = rest
            .iter()
            .rposition(|message| message.role == Role::Assistant)
            .map_or(rest.len(), |last| last + 1);
        let body = &rest[..end];
        let mut exchanges: Vec<usize> = (0..body.len())
            .filter(|&index| {
                body[index].role == Role::User && (index == 0 || body[index - 1].role != Role::User)
            })
            .collect();
        if exchanges.first() != Some(&0) {
            exchanges.insert(0, 0);
        }
        Self { head, body, exchanges }
    }

    /// The head and the exchanges from this one on.
    fn from(&self, exchange: usize) -> Vec<Message> {
        let start = self.exchanges.get(exchange).copied().unwrap_or(self.body.len());
        self.head.iter().chain(&self.body[start..]).cloned().collect()
    }
}

/// Size of the contents.
fn bytes(messages: &[Message]) -> usize {
    messages.iter().map(|message| message.content.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{self, messages};
    use proptest::prelude::*;

    fn fit(
        template: &str,
        max_length: u32,
        long_dialogue: LongDialogue,
        dialogue: &[Message],
    ) -> (Result<Fitted, Rejection>, String) {
        let (files, template) = (fixtures::files(template), fixtures::template(template));
        let encoder = Encoder::new(&files).unwrap();
        let fitted =
            Fitter::new(Renderer::new(&template), encoder.clone(), max_length, long_dialogue).fit(dialogue);
        let text =
            fitted.as_ref().map_or(String::new(), |fitted| encoder.decode(&fitted.tokens.ids).unwrap());
        (fitted, text)
    }

    fn trained(encoder: &Encoder, tokens: &Tokens) -> String {
        let ids: Vec<u32> = tokens
            .ids
            .iter()
            .zip(&tokens.targets)
            .filter(|(_, target)| **target)
            .map(|(&id, _)| id)
            .collect();
        encoder.decode(&ids).unwrap()
    }

    const LONG: &str = "What is six times seven and why is the sky blue and when does the next train leave ";

    #[test]
    fn the_oldest_exchanges_go_first_and_the_system_message_stays() {
        let dialogue = messages(&[
            ("s", "Be calm."),
            ("u", LONG),
            ("a", "one"),
            ("u", "second"),
            ("a", "two"),
            ("t", "tool"),
            ("a", "more"),
            ("u", "third"),
            ("a", "three"),
        ]);
        let (whole, _) = fit("chatml", 1000, LongDialogue::Truncate, &dialogue);
        let whole = whole.unwrap();
        assert_eq!(whole.losses, TruncationLosses::default());
        let (fitted, text) =
            fit("chatml", whole.tokens.ids.len() as u32 - 1, LongDialogue::Truncate, &dialogue);
        let fitted = fitted.unwrap();
        assert!(
            text.starts_with("<|im_start|>system\nBe calm.<|im_end|>\n<|im_start|>user\nsecond<|im_end|>"),
            "{text}"
        );
        assert!(text.ends_with("three<|im_end|>\n"), "{text}");
        assert_eq!((fitted.losses.dialogues, fitted.losses.messages), (1, 2));
        assert_eq!(fitted.losses.tokens as usize, whole.tokens.ids.len() - fitted.tokens.ids.len());
        assert_eq!(
            fitted.losses.target_tokens as usize,
            whole.tokens.target_count() - fitted.tokens.target_count()
        );
        let (dropped, _) = fit("chatml", 30, LongDialogue::Drop, &dialogue);
        assert!(matches!(dropped, Err(Rejection::TooLong { max_length: 30, .. })));
    }

    #[test]
    fn of_a_single_long_exchange_the_question_loses_its_beginning() {
        let question = format!("开头{}结尾？", LONG.repeat(3));
        let dialogue =
            messages(&[("u", "old"), ("a", "old"), ("u", &question), ("a", "fine"), ("u", "unanswered")]);
        let (fitted, text) = fit("chatml", 60, LongDialogue::Truncate, &dialogue);
        let fitted = fitted.unwrap();
        // Tokens at the seam may merge, so that a few more go than needed.
        assert!((56..=60).contains(&fitted.tokens.ids.len()), "{}", fitted.tokens.ids.len());
        assert!(
            text.starts_with("<|im_start|>system\nYou are a calm helper.<|im_end|>\n<|im_start|>user\n"),
            "{text}"
        );
        assert!(text.ends_with("结尾？<|im_end|>\n<|im_start|>assistant\nfine<|im_end|>\n"), "{text}");
        assert!(!text.contains("开头"));
        assert_eq!(fitted.losses.messages, 3);
        assert_eq!(fitted.losses.target_tokens, 4, "the old answer and its end");
    }

    #[test]
    fn an_answer_that_is_cut_is_not_trained_to_end_there() {
        let answer = LONG.repeat(4);
        let dialogue = messages(&[("s", "x"), ("u", "question"), ("a", &answer)]);
        for template in ["chatml", "generation"] {
            let (fitted, text) = fit(template, 50, LongDialogue::Truncate, &dialogue);
            let fitted = fitted.unwrap();
            assert!(fitted.tokens.ids.len() <= 50);
            assert!(
                text.contains("<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\nWhat is six"),
                "{text}"
            );
            let encoder = Encoder::new(&fixtures::files(template)).unwrap();
            let trained = trained(&encoder, &fitted.tokens);
            assert!(trained.len() > 20 && answer.starts_with(&trained), "{trained}");
        }
    }

    #[test]
    fn what_must_stay_may_be_too_long() {
        let dialogue = messages(&[("s", LONG), ("u", "q"), ("a", "r")]);
        let (fitted, _) = fit("chatml", 40, LongDialogue::Truncate, &dialogue);
        assert!(fitted.unwrap_err().to_string().contains("above max_length 40"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn what_is_kept_fits_and_is_an_ending_of_the_dialogue(
            turns in prop::collection::vec((prop_oneof![Just("u"), Just("a"), Just("t")], "[ a字😀é\n]{0,30}"), 1..10),
            system in prop::option::of("[a字]{0,5}"),
            max_length in 2u32..200,
        ) {
            let head = system.iter().map(|text| ("s", text.as_str()));
            let turns: Vec<(&str, &str)> = head.chain(turns.iter().map(|(role, text)| (*role, text.as_str()))).collect();
            let (fitted, text) = fit("chatml", max_length, LongDialogue::Truncate, &messages(&turns));
            if let Ok(fitted) = fitted {
                prop_assert!(fitted.tokens.ids.len() <= max_length as usize);
                prop_assert!(fitted.tokens.target_count() > 0);
                prop_assert!(!text.contains(char::REPLACEMENT_CHARACTER));
                let system = system.as_deref().unwrap_or("You are a calm helper.");
                let start = format!("<|im_start|>system\n{system}<|im_end|>\n");
                prop_assert!(text.starts_with(&start));
            }
        }
    }
}
