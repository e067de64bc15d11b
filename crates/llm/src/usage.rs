//! How many tokens a stream says it used, per provider and model.

/// Most provider and model pairs kept apart within one stream. An upstream cannot make this grow without bound; what comes beyond is
/// added up without names, so that no token is lost.
const MOST: usize = 16;

/// Bytes kept of a provider's or a model's name.
const NAME: usize = 128;

/// Tokens of one provider's model, as the stream reported them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Who served the model, if the stream says so.
    pub provider: Option<String>,
    /// The model, if the stream says so.
    pub model: Option<String>,
    /// Tokens read, those from a cache included where the provider counts so (OpenAI does).
    pub input: u64,
    /// Tokens written, reasoning included where the provider counts so (OpenAI does).
    pub output: u64,
    /// Of the input, what came from a cache.
    pub cached_input: u64,
    /// Of the output, what was reasoning.
    pub reasoning: u64,
    /// Input that was put into a cache.
    pub cache_write: u64,
}

/// What was read and written, from what a provider tells of it; `None` where that is no figure at all. A total beyond the two counts as
/// written: it is what is billed, whatever the names beside it leave out.
pub(crate) fn figures(
    input: Option<u64>,
    output: Option<u64>,
    total: Option<u64>,
) -> Option<(u64, u64)> {
    input.or(output).or(total)?;
    let input = input.unwrap_or(0);
    let beyond = total.unwrap_or(0).saturating_sub(input);
    Some((input, output.unwrap_or(0).max(beyond)))
}

/// Adds `new` to the entry of the same provider and model.
pub(crate) fn add(all: &mut Vec<Usage>, mut new: Usage) {
    new.provider = new.provider.map(|name| capped(name, NAME));
    new.model = new.model.map(|name| capped(name, NAME));
    let same = |old: &Usage, new: &Usage| old.provider == new.provider && old.model == new.model;
    if all.len() >= MOST && !all.iter().any(|old| same(old, &new)) {
        (new.provider, new.model) = (None, None);
    }
    match all.iter_mut().find(|old| same(old, &new)) {
        Some(old) => {
            old.input = old.input.saturating_add(new.input);
            old.output = old.output.saturating_add(new.output);
            old.cached_input = old.cached_input.saturating_add(new.cached_input);
            old.reasoning = old.reasoning.saturating_add(new.reasoning);
            old.cache_write = old.cache_write.saturating_add(new.cache_write);
        }
        None => all.push(new),
    }
}

/// `text`, cut to at most `most` bytes at the end of a character.
pub(crate) fn capped(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(model: &str, input: u64) -> Usage {
        Usage {
            model: Some(model.to_owned()),
            input,
            output: 1,
            ..Usage::default()
        }
    }

    #[test]
    fn no_token_of_a_total_is_lost() {
        for (told, read) in [
            ((None, None, None), None),
            ((Some(0), None, None), Some((0, 0))),
            ((None, None, Some(12)), Some((0, 12))),
            ((Some(7), None, Some(12)), Some((7, 5))),
            ((Some(7), Some(2), Some(12)), Some((7, 5))),
            ((Some(7), Some(5), Some(3)), Some((7, 5))),
            ((Some(u64::MAX), Some(5), Some(1)), Some((u64::MAX, 5))),
        ] {
            assert_eq!(figures(told.0, told.1, told.2), read, "{told:?}");
        }
    }

    #[test]
    fn the_same_model_adds_up() {
        let mut all = Vec::new();
        add(&mut all, used("a", 1));
        add(&mut all, used("b", 10));
        add(&mut all, used("a", u64::MAX));
        let read: Vec<_> = all
            .iter()
            .map(|usage| (usage.model.as_deref(), usage.input, usage.output))
            .collect();
        assert_eq!(read, [(Some("a"), u64::MAX, 2), (Some("b"), 10, 1)]);
    }

    #[test]
    fn many_models_are_bounded_and_no_token_is_lost() {
        let mut all = Vec::new();
        for index in 0..1000 {
            add(&mut all, used(&format!("model-{index}"), 1));
        }
        assert_eq!(all.len(), MOST + 1);
        assert_eq!(all.iter().map(|usage| usage.input).sum::<u64>(), 1000);
        assert_eq!(all[MOST].model, None);
    }

    #[test]
    fn names_are_cut_at_a_character() {
        assert_eq!(capped("aé".to_owned(), 2), "a");
        assert_eq!(capped("aé".to_owned(), 3), "aé");
    }
}
