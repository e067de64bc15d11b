//! Which label a value that comes from outside counts under. Nobody outside can make the number of series grow.

use std::{collections::HashSet, sync::RwLock};

use http::Method;

/// The label of a name nobody configured.
const OTHER: &str = "other";

/// The label of a name the stream did not tell.
const UNKNOWN: &str = "unknown";

/// The methods with a label of their own; the last one stands for all others.
pub(crate) const METHODS: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "OTHER",
];

/// The method's place in [`METHODS`].
pub(crate) fn method(method: &Method) -> usize {
    // Asked for at every request: the comparisons of the first ones are cheap, and nearly all requests are GET or POST.
    METHODS
        .iter()
        .position(|name| *name == method.as_str())
        .unwrap_or(METHODS.len() - 1)
}

/// Statuses with a label of their own, 100 to 599, and one place before them for what no status can be.
pub(crate) const STATUSES: usize = 501;

/// The status's place: 0 for those outside 100..=599.
pub(crate) fn status(status: u16) -> usize {
    match status {
        100..=599 => usize::from(status) - 99,
        _ => 0,
    }
}

/// The label of a place given by [`status`].
pub(crate) fn status_label(place: usize) -> String {
    if place == 0 {
        "0".to_owned()
    } else {
        (place + 99).to_string()
    }
}

/// The providers as the streams name them: pydantic-ai's and OpenTelemetry's vocabularies.
const PROVIDERS: &[&str] = &[
    "anthropic",
    "aws.bedrock",
    "azure",
    "azure.ai.inference",
    "azure.ai.openai",
    "bedrock",
    "cerebras",
    "cohere",
    "deepseek",
    "fireworks",
    "gcp.gemini",
    "gcp.gen_ai",
    "gcp.vertex_ai",
    "gemini",
    "google",
    "google-gla",
    "google-vertex",
    "groq",
    "huggingface",
    "litellm",
    "mistral",
    "mistral_ai",
    "mistralai",
    "moonshotai",
    "ollama",
    "openai",
    "openrouter",
    "perplexity",
    "together",
    "vertex_ai",
    "x_ai",
    "xai",
];

/// The model names that may stand in a label; the configuration gives them.
#[derive(Debug, Default)]
pub(crate) struct Models(RwLock<HashSet<String>>);

impl Models {
    pub(crate) fn set(&self, names: impl IntoIterator<Item = String>) {
        *self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = names.into_iter().collect();
    }

    /// Calls `then` with the labels of a provider and a model.
    pub(crate) fn with_labels<T>(
        &self,
        provider: Option<&str>,
        model: Option<&str>,
        then: impl FnOnce(&str, &str) -> T,
    ) -> T {
        let names = self
            .0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let provider = match provider {
            None => UNKNOWN,
            Some(name) if PROVIDERS.binary_search(&name).is_ok() || names.contains(name) => name,
            Some(_) => OTHER,
        };
        let model = match model {
            None => UNKNOWN,
            Some(name) if names.contains(name) => name,
            Some(_) => OTHER,
        };
        then(provider, model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        for (name, label) in [
            ("GET", "GET"),
            ("PATCH", "PATCH"),
            ("BREW", "OTHER"),
            ("get", "OTHER"),
            ("OTHER", "OTHER"),
        ] {
            let place = method(&Method::from_bytes(name.as_bytes()).expect("a token"));
            assert_eq!(METHODS[place], label);
        }
    }

    #[test]
    fn statuses() {
        for (code, label) in [
            (0, "0"),
            (99, "0"),
            (100, "100"),
            (200, "200"),
            (599, "599"),
            (600, "0"),
            (999, "0"),
        ] {
            assert!(status(code) < STATUSES);
            assert_eq!(status_label(status(code)), label);
        }
    }

    #[test]
    fn only_configured_models_and_known_providers() {
        assert!(PROVIDERS.is_sorted(), "the search needs it");
        let models = Models::default();
        models.set(["gpt-5".to_owned(), "our-gateway".to_owned()]);
        let table = [
            (Some("openai"), Some("gpt-5"), "openai/gpt-5"),
            (
                Some("azure.ai.openai"),
                Some("gpt-5-mini"),
                "azure.ai.openai/other",
            ),
            (Some("our-gateway"), None, "our-gateway/unknown"),
            (Some("x\"}\n"), Some(""), "other/other"),
            (None, None, "unknown/unknown"),
        ];
        for (provider, model, expected) in table {
            assert_eq!(
                models.with_labels(provider, model, |provider, model| format!(
                    "{provider}/{model}"
                )),
                expected
            );
        }
        models.set([]);
        assert_eq!(
            models.with_labels(None, Some("gpt-5"), |_, model| model.to_owned()),
            "other"
        );
    }
}
