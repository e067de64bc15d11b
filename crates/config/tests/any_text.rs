//! Whatever stands in the file, reading it gives a plan or mistakes with their places, and never a panic.

use std::path::Path;

use proptest::prelude::*;
use weir_config::Map;

/// Lines of configurations in any order, some with a mistake.
fn nearly() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "workers = 2",
        "workers = -1",
        "max_body = \"10MB\"",
        "max_body = \"10 parsecs\"",
        "[[listen]]",
        "[listen]",
        "address = \"127.0.0.1:0\"",
        "address = 5",
        "tls = { certificate = \"a\", key = \"b\" }",
        "[admin]",
        "[upstream.a]",
        "[upstream.b]",
        "servers = [\"127.0.0.1:1\"]",
        "servers = []",
        "servers = [\"\u{e9}:x\"]",
        "health = { path = \"/h\", interval = \"1s\" }",
        "[auth.a]",
        "type = \"jwt\"",
        "type = \"aspnet-cookie\"",
        "secret = \"${env:NONE}\"",
        "secret = \"${\"",
        "machine_key = { validation = \"zz\", decryption = \"\" }",
        "[limit.a]",
        "by = \"user\"",
        "rate = \"1/0s\"",
        "rate = \"5/s\"",
        "[[route]]",
        "name = \"a\"",
        "path = \"/*\"",
        "path = \"/a/*/b\"",
        "path = \"a*\"",
        "to = \"a\"",
        "to = \"nowhere\"",
        "auth = \"a\"",
        "limit = [\"a\", \"a\"]",
        "strip = \"/a\"",
        "rewrite = \"/*/*\"",
        "serve = \"health\"",
        "files = { root = \"/\", fallback = \"x\" }",
        "method = [\"GET\", \"\"]",
        "host = [\"*.a.test\"]",
        "[log]",
        "format = \"json\"",
        "nonsense = 1",
        "= 1",
        "[",
        "\"\"\"",
    ]);
    prop::collection::vec(line, 0..20).prop_map(|lines| lines.join("\n"))
}

fn read(text: &str) {
    if let Err(mistakes) = weir_config::parse(Path::new("weir.toml"), text, &Map::new()) {
        assert!(!mistakes.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn lines_in_any_order(text in nearly()) {
        read(&text);
    }

    #[test]
    fn any_text(text: String) {
        read(&text);
    }
}
