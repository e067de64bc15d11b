//! Which rule serves a request. The answer is an index; what a route then does is not known here.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

use http::Method;

use crate::{host::HostPattern, path::NormalPath, rule::Rule, tree::Tree};

/// All rules, in an order that does not depend on how they were written down. The most specific rule serves:
///
/// 1. by host: a name before `*.name`, a longer `*.name` before a shorter one, and rules without hosts last;
/// 2. then by path, segment by segment from the left: literal text before `*` before the rest `/*`; the whole path (`/a`) before `/a/*`;
/// 3. then by method: a rule that lists it, then for HEAD one that lists GET, then one without methods.
///
/// A rule that matches host and path but not the method lets the next one have the request; only when no rule takes it is the answer 405.
#[derive(Clone, Debug)]
pub struct Table {
    exact: HashMap<Box<str>, Tree>,
    /// Longest suffix first.
    below: Vec<(HostPattern, Tree)>,
    any: Tree,
    /// Whether the case of paths does not count.
    caseless: bool,
    /// The methods of each rule.
    methods: Box<[Vec<Method>]>,
    order: Box<[usize]>,
}

/// Two rules for the same requests: nothing could say which one is meant. The numbers are places in what the table was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clash {
    /// The earlier rule.
    pub first: usize,
    /// The later one.
    pub second: usize,
}

/// Why no rule serves a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// None is for this host, whatever the path: the request came to the wrong server, 421 (RFC 9110 section 15.5.20).
    Host,
    /// None is for this host and path: 404.
    NotFound,
    /// Some are, but not with this method: 405.
    Method {
        /// What would be served, for the Allow header. Sorted, HEAD beside GET.
        allow: Vec<Method>,
    },
}

impl Table {
    /// Makes a table. The paths are all compared with case, or all [without](crate::Pattern::without_case).
    ///
    /// # Errors
    /// Every pair of rules with the same path, a host in common and a method in common. A rule without methods is less specific than
    /// one with some and does not clash with it.
    pub fn new(rules: Vec<Rule>) -> Result<Self, Vec<Clash>> {
        let mut exact = HashMap::<Box<str>, Tree>::new();
        let mut below = Vec::<(HostPattern, Tree)>::new();
        let mut any = Tree::default();
        let mut clashes = BTreeSet::new();
        for (at, rule) in rules.iter().enumerate() {
            let mut add = |tree: &mut Tree| {
                let leaf = tree.leaf(&rule.path);
                let others = leaf.iter().filter(|other| {
                    **other != at && overlap(&rule.methods, &rules[**other].methods)
                });
                clashes.extend(others.map(|other| Clash {
                    first: *other,
                    second: at,
                }));
                leaf.push(at);
            };
            if rule.host.is_empty() {
                add(&mut any);
            }
            for host in &rule.host {
                if !host.wildcard {
                    add(exact.entry(host.name.clone()).or_default());
                    continue;
                }
                let known = below.iter().position(|(known, _)| known == host);
                let place = known.unwrap_or_else(|| {
                    below.push((host.clone(), Tree::default()));
                    below.len() - 1
                });
                add(&mut below[place].1);
            }
        }
        if !clashes.is_empty() {
            return Err(clashes.into_iter().collect());
        }
        below.sort_by_key(|(host, _)| Reverse(host.name.len()));
        let mut order = (0..rules.len()).collect::<Box<[_]>>();
        order.sort_by_cached_key(|at| rules[*at].rank());
        Ok(Self {
            exact,
            below,
            any,
            caseless: rules.iter().any(|rule| rule.path.is_caseless()),
            methods: rules.into_iter().map(|rule| rule.methods).collect(),
            order,
        })
    }

    /// The rule that serves a request, as its place in what the table was made from. `host` as [`Authority::host`](crate::Authority::host)
    /// gives it.
    ///
    /// # Errors
    /// When no rule is for this host, or for this host and path, or none of those takes the method.
    pub fn find(
        &self,
        host: Option<&str>,
        method: &Method,
        path: &NormalPath<'_>,
    ) -> Result<usize, Miss> {
        let named = host.and_then(|host| self.exact.get(host));
        let below = self
            .below
            .iter()
            .filter(|(pattern, _)| host.is_some_and(|host| pattern.matches(host)));
        let mut trees = named
            .into_iter()
            .chain(below.map(|(_, tree)| tree))
            .chain([&self.any]);
        let mut allow = Vec::new();
        let mut choose = |rules: &[usize]| self.choose(rules, method, &mut allow);
        let found =
            trees.find_map(|tree| tree.walk(Some(&path.as_str()[1..]), self.caseless, &mut choose));
        found.ok_or_else(|| match host {
            Some(host) if !self.knows(host) => Miss::Host,
            _ => miss(allow),
        })
    }

    /// Whether any rule could serve this host: one that names it, or one for all.
    fn knows(&self, host: &str) -> bool {
        !self.any.is_empty()
            || self.exact.contains_key(host)
            || self.below.iter().any(|(pattern, _)| pattern.matches(host))
    }

    /// The rules from the most to the least specific, for people to read. A rule with several hosts stands where its most specific one
    /// puts it.
    pub fn order(&self) -> impl Iterator<Item = usize> {
        self.order.iter().copied()
    }

    /// Among rules of the same host and path. If none takes the method, those that they do take are noted.
    fn choose(&self, rules: &[usize], method: &Method, allow: &mut Vec<Method>) -> Option<usize> {
        let listing = |method: &Method| rules.iter().find(|at| self.methods[**at].contains(method));
        let by_get = || {
            if method == Method::HEAD {
                listing(&Method::GET)
            } else {
                None
            }
        };
        let unlisted = || rules.iter().find(|at| self.methods[**at].is_empty());
        let found = listing(method).or_else(by_get).or_else(unlisted).copied();
        if found.is_none() {
            allow.extend(rules.iter().flat_map(|at| &self.methods[*at]).cloned());
        }
        found
    }
}

fn overlap(one: &[Method], other: &[Method]) -> bool {
    one.is_empty() && other.is_empty() || one.iter().any(|method| other.contains(method))
}

fn miss(mut allow: Vec<Method>) -> Miss {
    if allow.is_empty() {
        return Miss::NotFound;
    }
    if allow.contains(&Method::GET) {
        allow.push(Method::HEAD);
    }
    allow.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    allow.dedup();
    Miss::Method { allow }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Pattern;

    fn rule(hosts: &[&str], methods: &[Method], path: &str) -> Rule {
        Rule {
            host: hosts
                .iter()
                .map(|host| HostPattern::parse(host).unwrap())
                .collect(),
            methods: methods.to_vec(),
            path: Pattern::parse(path).unwrap(),
        }
    }

    fn find(table: &Table, host: &str, method: Method, path: &str) -> Result<usize, Miss> {
        table.find(Some(host), &method, &NormalPath::parse(path).unwrap())
    }

    #[test]
    fn case_counts_unless_told_otherwise() {
        let rule = |path: &str| Rule {
            host: Vec::new(),
            methods: Vec::new(),
            path: Pattern::parse(path).unwrap().without_case(),
        };
        let table = Table::new(vec![rule("/*"), rule("/Admin/*"), rule("/%C3%9Cber/k")]).unwrap();
        for (path, expected) in [
            ("/admin/x", 1),
            ("/ADMIN", 1),
            ("/aDm%49n/X", 1),
            ("/administrator", 0),
            ("/%c3%bcBER/K", 2),
            // The Kelvin sign, and a byte that is no text.
            ("/%C3%9Cber/%E2%84%AA", 2),
            ("/%FFAdmin", 0),
        ] {
            assert_eq!(
                find(&table, "a.test", Method::GET, path),
                Ok(expected),
                "{path}"
            );
        }
        let clash = Table::new(vec![rule("/a/B"), rule("/A/b")]).unwrap_err();
        assert_eq!((clash[0].first, clash[0].second), (0, 1));
        let exact = |path| Rule {
            host: Vec::new(),
            methods: Vec::new(),
            path: Pattern::parse(path).unwrap(),
        };
        let table = Table::new(vec![exact("/*"), exact("/Admin/*"), exact("/admin/*")]).unwrap();
        assert_eq!(find(&table, "a.test", Method::GET, "/ADMIN/x"), Ok(0));
        assert_eq!(find(&table, "a.test", Method::GET, "/Admin/x"), Ok(1));
    }

    #[test]
    fn most_specific_path() {
        let paths = [
            "/*",
            "/chat/*",
            "/chat",
            "/chat/*/run",
            "/chat/api/*",
            "/chat/api/*/run",
            "/chat/api/x/*",
        ];
        let table = Table::new(paths.iter().map(|path| rule(&[], &[], path)).collect()).unwrap();
        for (path, expected) in [
            ("/", "/*"),
            ("/chatty", "/*"),
            ("/chat", "/chat"),
            ("/chat/", "/chat/*"),
            ("/chat/x", "/chat/*"),
            ("/chat/x/run", "/chat/*/run"),
            ("/chat/api", "/chat/api/*"),
            ("/chat/api/run", "/chat/api/*"),
            ("/chat/api/x/run", "/chat/api/x/*"),
            ("/chat/api/y/run", "/chat/api/*/run"),
            ("/chat/api/y/run/z", "/chat/api/*"),
            ("/chat/%61pi/y/../x", "/chat/api/x/*"),
        ] {
            assert_eq!(
                find(&table, "a.test", Method::GET, path).map(|at| paths[at]),
                Ok(expected),
                "{path}"
            );
        }
        let order = table.order().map(|at| paths[at]).collect::<Vec<_>>();
        assert_eq!(
            order,
            [
                "/chat/api/x/*",
                "/chat/api/*/run",
                "/chat/api/*",
                "/chat/*/run",
                "/chat",
                "/chat/*",
                "/*"
            ]
        );
    }

    #[test]
    fn most_specific_host() {
        let table = Table::new(vec![
            rule(&[], &[], "/*"),
            rule(&["*.test"], &[], "/*"),
            rule(&["*.a.test"], &[], "/*"),
            rule(&["x.a.test", "y.a.test"], &[], "/only"),
        ])
        .unwrap();
        for (host, path, expected) in [
            ("other", "/only", 0),
            ("b.test", "/only", 1),
            ("a.test", "/only", 1),
            ("z.a.test", "/only", 2),
            ("x.a.test", "/only", 3),
            ("y.a.test", "/only", 3),
            ("y.a.test", "/else", 2),
        ] {
            assert_eq!(
                find(&table, host, Method::GET, path),
                Ok(expected),
                "{host} {path}"
            );
        }
        assert_eq!(
            table.find(None, &Method::GET, &NormalPath::parse("/").unwrap()),
            Ok(0)
        );
        assert_eq!(table.order().collect::<Vec<_>>(), [3, 2, 1, 0]);
    }

    #[test]
    fn methods_decide_last() {
        let table = Table::new(vec![
            rule(&[], &[Method::GET], "/a"),
            rule(&[], &[Method::POST, Method::PUT], "/a"),
            rule(&[], &[Method::DELETE], "/*"),
            rule(&["h.test"], &[Method::HEAD], "/b"),
            rule(&["h.test"], &[Method::GET], "/b"),
            rule(&["h.test"], &[], "/b"),
        ])
        .unwrap();
        let allowed = |allow: &[Method]| {
            Err(Miss::Method {
                allow: allow.to_vec(),
            })
        };
        for (host, method, path, expected) in [
            ("a.test", Method::GET, "/a", Ok(0)),
            ("a.test", Method::HEAD, "/a", Ok(0)),
            ("a.test", Method::PUT, "/a", Ok(1)),
            ("a.test", Method::DELETE, "/a", Ok(2)),
            (
                "a.test",
                Method::PATCH,
                "/a",
                allowed(&[
                    Method::DELETE,
                    Method::GET,
                    Method::HEAD,
                    Method::POST,
                    Method::PUT,
                ]),
            ),
            ("a.test", Method::GET, "/b", allowed(&[Method::DELETE])),
            ("h.test", Method::HEAD, "/b", Ok(3)),
            ("h.test", Method::GET, "/b", Ok(4)),
            ("h.test", Method::POST, "/b", Ok(5)),
        ] {
            assert_eq!(
                find(&table, host, method.clone(), path),
                expected,
                "{host} {method} {path}"
            );
        }
    }

    #[test]
    fn nothing_found() {
        let table = Table::new(vec![rule(&["a.test"], &[], "/a/*")]).unwrap();
        assert_eq!(
            find(&table, "a.test", Method::GET, "/"),
            Err(Miss::NotFound)
        );
        assert_eq!(find(&table, "b.test", Method::GET, "/a"), Err(Miss::Host));
        assert_eq!(
            table.find(None, &Method::GET, &NormalPath::parse("/a").unwrap()),
            Err(Miss::NotFound)
        );
        let empty = Table::new(Vec::new()).unwrap();
        assert_eq!(find(&empty, "a.test", Method::GET, "/"), Err(Miss::Host));
    }

    #[test]
    fn a_host_is_unknown_where_every_rule_names_others() {
        let named = [rule(&["a.test", "*.b.test"], &[Method::GET], "/a/*")];
        let table = Table::new(named.to_vec()).unwrap();
        for (host, miss) in [
            ("a.test", Miss::NotFound),
            ("x.b.test", Miss::NotFound),
            ("b.test", Miss::Host),
            ("x.a.test", Miss::Host),
        ] {
            assert_eq!(
                find(&table, host, Method::GET, "/"),
                Err(miss.clone()),
                "{host}"
            );
            // Nor is it said what another method would find.
            let other = find(&table, host, Method::POST, "/a");
            assert_eq!(other == Err(Miss::Host), miss == Miss::Host, "{host}");
        }
        let mut with_default = named.to_vec();
        with_default.push(rule(&[], &[], "/health"));
        let table = Table::new(with_default).unwrap();
        assert_eq!(
            find(&table, "b.test", Method::GET, "/a"),
            Err(Miss::NotFound)
        );
    }

    #[test]
    fn clashes() {
        let clash = |first, second| Clash { first, second };
        for (rules, expected) in [
            (
                vec![rule(&[], &[], "/a"), rule(&[], &[], "/a")],
                vec![clash(0, 1)],
            ),
            (
                vec![rule(&[], &[], "/a(b)"), rule(&[], &[], "/a%28b%29")],
                vec![clash(0, 1)],
            ),
            (
                vec![
                    rule(&["a.test", "b.test"], &[], "/*"),
                    rule(&["*.a.test"], &[], "/*"),
                    rule(&["b.test", "c.test", "c.test"], &[], "/*"),
                    rule(&["a.test", "b.test"], &[], "/*"),
                ],
                vec![clash(0, 2), clash(0, 3), clash(2, 3)],
            ),
            (
                vec![
                    rule(&[], &[Method::GET, Method::PUT], "/a"),
                    rule(&[], &[Method::PUT], "/a"),
                ],
                vec![clash(0, 1)],
            ),
            (
                vec![
                    rule(&[], &[Method::GET], "/a"),
                    rule(&[], &[Method::HEAD], "/a"),
                    rule(&[], &[], "/a"),
                    rule(&["a.test"], &[], "/a"),
                    rule(&[], &[], "/a/"),
                    rule(&[], &[], "/a/*"),
                    rule(&[], &[], "/a/*/*"),
                ],
                Vec::new(),
            ),
        ] {
            let clashes = Table::new(rules.clone()).err().unwrap_or_default();
            assert_eq!(clashes, expected, "{rules:?}");
        }
    }
}
