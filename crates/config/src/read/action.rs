//! What serves a route: an upstream, a folder of files, or a page of weir's own. Each has keys that mean nothing to the others.

use std::time::Duration;

use weir_proxy::settings::{OnDisconnect, StreamPolicy};
use weir_route::{Pattern, Rewrite};

use super::{Known, general::networks, route::value, upstream::timeouts};
use crate::{
    node::Node,
    plan::{Action, Authorization, Cookies, Links, Page},
    table::Table,
};

/// What means something only where an upstream serves.
const TO_KEYS: [&str; 5] = ["timeout", "stream", "rewrite", "authorization", "cookies"];

pub(super) fn action(
    table: &Table<'_>,
    path: Option<&Pattern>,
    known: &Known<'_>,
) -> Option<Action> {
    let (to, files, serve) = (table.get("to"), table.get("files"), table.get("serve"));
    let given: Vec<_> = [&to, &files, &serve].into_iter().flatten().collect();
    if given.len() != 1 {
        match &given[..] {
            [] => table.lacks(
                "needs `to` (an upstream), `files` (a folder) or `serve` (a page of weir's own)",
            ),
            [_, others @ ..] => {
                for other in others {
                    other.mistake("stands beside another of `to`, `files` and `serve`; one of them serves a route");
                }
            }
        }
        // Nothing says which of these belong here, so none of them is a mistake.
        for key in [
            "strip",
            "rewrite",
            "timeout",
            "stream",
            "allow",
            "authorization",
            "cookies",
        ] {
            table.get(key);
        }
        return None;
    }
    if let Some(to) = to {
        table.foreign(&["allow"], "routes with `serve`");
        proxy(table, &to, path, known)
    } else if let Some(files) = files {
        table.foreign(&TO_KEYS, "routes with `to`");
        table.foreign(&["allow"], "routes with `serve`");
        self::files(table, &files, path)
    } else {
        table.foreign(&TO_KEYS, "routes with `to`");
        table.foreign(&["strip"], "routes with `to` or `files`");
        own(table, &serve?)
    }
}

fn proxy(
    table: &Table<'_>,
    to: &Node<'_>,
    path: Option<&Pattern>,
    known: &Known<'_>,
) -> Option<Action> {
    let upstream = to.name(known.upstream_names);
    let default = upstream
        .and_then(|index| known.upstreams[index].as_ref())
        .map(|upstream| upstream.timeout);
    let timeout = timeouts(table, default.unwrap_or_default());
    let stream = table
        .get("stream")
        .map_or_else(|| Some(StreamPolicy::default()), |node| stream(&node));
    let rewrite = match (table.get("strip"), table.get("rewrite")) {
        (Some(_), Some(rewrite)) => {
            rewrite.mistake("stands beside `strip`; one of them says what the upstream sees");
            None
        }
        (Some(node), None) => strip(&node, path?),
        (None, Some(node)) => {
            let path = path?;
            node.parse("a path such as \"/api/*\"", |text| {
                Rewrite::replace(text, path)
            })
        }
        (None, None) => Some(Rewrite::keep()),
    };
    let authorization = table.get("authorization").map(|node| {
        let choices = [
            ("pass", Authorization::Pass),
            ("strip", Authorization::Strip),
            ("replace", Authorization::Replace),
        ];
        let choice = node.choice(&choices);
        if choice == Some(Authorization::Replace) && !known.signs {
            node.mistake("needs an [identity] table, which says what weir signs with");
        }
        choice
    });
    let cookies = table.get("cookies").map(|node| {
        let choices = [("pass", Cookies::Pass), ("strip", Cookies::Strip)];
        node.choice(&choices)
    });
    let upstream = upstream?;
    known.upstreams_used.borrow_mut().insert(upstream);
    Some(Action::Proxy {
        upstream,
        rewrite: rewrite?,
        stream: stream?,
        timeout,
        authorization: authorization.unwrap_or(Some(Authorization::Unless))?,
        cookies: cookies.unwrap_or(Some(Cookies::Pass))?,
    })
}

fn files(table: &Table<'_>, node: &Node<'_>, path: Option<&Pattern>) -> Option<Action> {
    let folder = node.table("a table such as { root = \"web/out\" }")?;
    let root = folder.need("root", "the folder").and_then(|node| {
        let root = table.source.path(&node.string("the path of a folder")?);
        if !table.source.has_folder(&root) {
            node.warning(
                "there is no such folder now (a relative path starts at the folder of this file)",
            );
        }
        Some(root)
    });
    let fallback = folder.get("fallback").and_then(|node| {
        node.parse("a file within `root`, such as \"index.html\"", |text| {
            let within = !text.is_empty()
                && text
                    .split('/')
                    .all(|segment| !matches!(segment, "" | "." | ".."));
            if within {
                Ok(text.to_owned())
            } else {
                Err("it is not a path below `root`")
            }
        })
    });
    let links = folder.get("links").map_or_else(
        || Some(Links::default()),
        |node| node.choice(&[("within", Links::Within), ("anywhere", Links::Anywhere)]),
    );
    let cache_control = folder.get("cache_control").and_then(|node| value(&node));
    folder.finish();
    let rewrite = match table.get("strip") {
        Some(node) => strip(&node, path?),
        None => {
            let pattern = path?.to_string();
            let stripped = folder_of(&pattern);
            if stripped.is_empty() {
                Some(Rewrite::keep())
            } else {
                Rewrite::strip(stripped).ok()
            }
        }
    };
    Some(Action::Files {
        root: root?,
        links: links?,
        fallback,
        cache_control,
        rewrite: rewrite?,
    })
}

/// What a files route strips by default: all before the first `*`, or before the last segment.
fn folder_of(pattern: &str) -> &str {
    let literal = pattern.find('*').map_or(pattern, |star| &pattern[..star]);
    literal.rfind('/').map_or("", |slash| &literal[..slash])
}

/// Stripping must apply to every path of the route, or the upstream would see some of them whole.
fn strip(node: &Node<'_>, path: &Pattern) -> Option<Rewrite> {
    node.parse("a path that this route's `path` begins with", |text| {
        let rewrite = Rewrite::strip(text).map_err(|why| why.to_string())?;
        let pattern = path.to_string();
        match pattern.strip_prefix(text.strip_suffix('/').unwrap_or(text)) {
            Some("") if !pattern.ends_with("/*") => Ok(rewrite),
            Some(rest) if rest.starts_with('/') => Ok(rewrite),
            // Not quoted: unlike this text, the path may have come from outside.
            _ => Err("`path` does not".to_owned()),
        }
    })
}

/// `stream = true` or a table.
fn stream(node: &Node<'_>) -> Option<StreamPolicy> {
    let default = StreamPolicy::default();
    if !node.is_table() {
        let expected = "true, false or a table such as { comment = \"15s\" }";
        let always = if node.is_boolean() || node.is_string() {
            node.boolean()
        } else {
            node.wrong_kind(expected)
        };
        return Some(StreamPolicy {
            always: always?,
            ..default
        });
    }
    let table = node.table("a table")?;
    let drain = table
        .get("on_disconnect")
        .and_then(|node| node.choice(&[("cancel", false), ("drain", true)]))
        .unwrap_or_default();
    let on_disconnect = if drain {
        OnDisconnect::Drain {
            time: table
                .get("drain_time")
                .and_then(|node| node.duration())
                .unwrap_or(Duration::from_secs(300)),
            bytes: table
                .get("drain_bytes")
                .and_then(|node| node.size())
                .unwrap_or(64 << 20),
        }
    } else {
        table.foreign(
            &["drain_time", "drain_bytes"],
            "`on_disconnect = \"drain\"`",
        );
        OnDisconnect::Cancel
    };
    let policy = StreamPolicy {
        always: table
            .get("always")
            .and_then(|node| node.boolean())
            .unwrap_or(default.always),
        comment_every: table.get("comment").and_then(|node| node.duration()),
        error_event: table
            .get("error_event")
            .and_then(|node| node.boolean())
            .unwrap_or(default.error_event),
        on_disconnect,
    };
    table.finish();
    Some(policy)
}

fn own(table: &Table<'_>, serve: &Node<'_>) -> Option<Action> {
    let page = serve.choice(&[
        ("health", Page::Health),
        ("metrics", Page::Metrics),
        ("status", Page::Status),
    ]);
    let allow = match page {
        Some(Page::Health) => {
            table.foreign(
                &["allow"],
                "`serve = \"metrics\"` and `serve = \"status\"`: health is for everyone",
            );
            Vec::new()
        }
        _ => table
            .get("allow")
            .map(|node| networks(&node))
            .unwrap_or_default(),
    };
    Some(Action::Serve { page: page?, allow })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_for_below_the_literal_part_of_the_path() {
        for (pattern, stripped) in [
            ("/chat/*", "/chat"),
            ("/*", ""),
            ("/chat/favicon.ico", "/chat"),
            ("/favicon.ico", ""),
            ("/a/*/b/*", "/a"),
            ("/a/b/*", "/a/b"),
        ] {
            assert_eq!(folder_of(pattern), stripped, "{pattern}");
        }
    }
}
