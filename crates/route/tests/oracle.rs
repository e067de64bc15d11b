//! The table against the documented order taken literally: look at every rule, keep the best. The oracle knows patterns only as text.

use std::cmp::Reverse;

use http::Method;
use proptest::{collection::vec, prelude::*, sample::subsequence};
use weir_route::{HostPattern, NormalPath, Pattern, Rule, Table};

fn oracle(rules: &[Rule], host: &str, method: &Method, path: &NormalPath<'_>) -> Option<usize> {
    let serving = rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.path.matches(path));
    let ranked = serving.filter_map(|(at, rule)| {
        let segments = path_rank(&rule.path.to_string());
        Some((
            host_rank(&rule.host, host)?,
            segments,
            method_rank(&rule.methods, method)?,
            at,
        ))
    });
    ranked.min().map(|(.., at)| at)
}

/// A name before `*.name`, the longer before the shorter, any host last.
fn host_rank(patterns: &[HostPattern], host: &str) -> Option<(u8, Reverse<usize>)> {
    if patterns.is_empty() {
        return Some((2, Reverse(0)));
    }
    let meant = patterns
        .iter()
        .filter(|pattern| pattern.matches(host))
        .map(ToString::to_string);
    let rank = |text: String| {
        if text.starts_with('*') {
            (1, Reverse(text.len()))
        } else {
            (0, Reverse(0))
        }
    };
    meant.map(rank).min()
}

/// Segment by segment: literal text, `*`, the end, the rest.
fn path_rank(pattern: &str) -> Vec<u8> {
    let body = pattern.strip_suffix("/*");
    let segments = body
        .unwrap_or(pattern)
        .split('/')
        .skip(1)
        .map(|segment| u8::from(segment == "*"));
    segments
        .chain([if body.is_some() { 3 } else { 2 }])
        .collect()
}

/// Listed, HEAD by way of GET, and rules for any method.
fn method_rank(listed: &[Method], method: &Method) -> Option<u8> {
    let by_get = method == Method::HEAD && listed.contains(&Method::GET);
    let ranks = [listed.contains(method), by_get, listed.is_empty()];
    ranks.iter().position(|fits| *fits).map(|rank| rank as u8)
}

fn rule() -> impl Strategy<Value = Rule> {
    let hosts = subsequence(vec!["a.test", "b.a.test", "*.a.test", "*.test"], 0..=2);
    let methods = subsequence(vec![Method::GET, Method::HEAD, Method::POST], 0..=2);
    (hosts, methods, "(/(a|b|\\*)){1,4}/?").prop_filter_map(
        "not a pattern",
        |(hosts, methods, path)| {
            let host = hosts
                .iter()
                .map(|host| HostPattern::parse(host))
                .collect::<Result<_, _>>()
                .ok()?;
            let path = Pattern::parse(&path).ok()?;
            Some(Rule {
                host,
                methods,
                path,
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_table_agrees(
        candidates in vec(rule(), 0..12),
        host in prop_oneof![Just("a.test"), Just("b.a.test"), Just("c.a.test"), Just("c.test"), Just("c")],
        method in prop_oneof![Just(Method::GET), Just(Method::HEAD), Just(Method::POST)],
        path in "(/(a|b|c)?){1,5}",
    ) {
        let mut rules = Vec::new();
        for rule in candidates {
            rules.push(rule);
            if Table::new(rules.clone()).is_err() {
                rules.pop();
            }
        }
        let path = NormalPath::parse(&path).unwrap();
        let table = Table::new(rules.clone()).unwrap();
        let found = table.find(Some(host), &method, &path).ok();
        prop_assert_eq!(found, oracle(&rules, host, &method, &path));
        prop_assert_eq!(table.order().count(), rules.len());
    }
}
