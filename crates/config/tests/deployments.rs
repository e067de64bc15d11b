//! The files that are shipped in `config/`: each loads without a mistake, and its routes are the ones that were promised.

use std::path::{Path, PathBuf};

use http::Method;
use weir_config::{Map, Plan, plan::Action};
use weir_route::NormalPath;

const KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";

fn load(file: &str, variables: &[(&str, &str)]) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../config")
        .join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut env = Map::new()
        .with("VALIDATION_KEY", KEY)
        .with("DECRYPTION_KEY", KEY);
    for (name, value) in variables {
        env = env.with(*name, *value);
    }
    let plan = weir_config::parse(&Path::new("config").join(file), &text, &env)
        .unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert!(!format!("{plan:?}").contains(KEY));
    plan
}

/// `route (auth): what serves it`, or why nothing does.
fn served(plan: &Plan, method: &str, path: &str) -> String {
    let path = NormalPath::parse(path).unwrap();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let route = match plan.table.find(Some("portal.test"), &method, &path) {
        Ok(index) => &plan.routes[index],
        Err(miss) => return format!("{miss:?}"),
    };
    let auth = route.auth.map_or("public", |index| &plan.auth[index].name);
    let action = match &route.action {
        Action::Proxy {
            upstream, rewrite, ..
        } => {
            format!("{}{}", plan.upstreams[*upstream].name, rewrite.apply(&path))
        }
        Action::Files { rewrite, .. } => format!("file {}", rewrite.apply(&path)),
        Action::Serve { page, .. } => format!("{page:?}"),
    };
    format!("{} ({auth}): {action}", route.name)
}

#[test]
fn the_default_file_needs_nothing() {
    let plan = load("weir.toml", &[]);
    assert_eq!(plan.listeners[0].address.port(), 8080);
    assert_eq!(
        served(&plan, "POST", "/any/thing"),
        "app (public): app/any/thing"
    );
    assert_eq!(served(&plan, "GET", "/health"), "health (public): Health");
}

#[test]
fn ai_endpoint() {
    let plan = load("ai-endpoint.toml", &[("SERVER_NAME", "portal.test")]);
    let [http, https] = &plan.listeners[..] else {
        panic!("{:?}", plan.listeners)
    };
    assert_eq!((http.address.port(), https.address.port()), (80, 443));
    let redirect = http.redirect.as_ref().unwrap();
    assert_eq!(redirect.status.as_u16(), 301);
    assert_eq!(redirect.host.as_ref().unwrap().host(), "portal.test");
    assert!(http.tls.is_empty() && https.tls.len() == 1 && https.redirect.is_none());
    assert_eq!(https.headers.len(), 4);
    assert_eq!(
        served(&plan, "GET", "/v1/x"),
        "endpoint (public): endpoint/v1/x"
    );
    assert_eq!(
        served(&plan, "GET", "/healthz"),
        "healthz (public): endpoint/healthz"
    );
    assert_eq!(plan.upstreams[0].timeout.idle.as_secs(), 90);
}

#[test]
fn dr_migrate_lets_its_sister_sites_in_where_the_assistant_is() {
    let plan = load(
        "dr-migrate.toml",
        &[("PORTAL_ADDRESS", "portal.internal:80")],
    );
    for route in &plan.routes {
        let is_api = ["/chat/copilotkit-api", "/chat/backend", "/chat/data"]
            .iter()
            .any(|api| route.path.starts_with(api));
        assert_eq!(route.cors.is_some(), is_api, "{}", route.name);
    }
}

#[test]
fn dr_migrate() {
    let plan = load(
        "dr-migrate.toml",
        &[("PORTAL_ADDRESS", "portal.internal:80")],
    );
    assert_eq!(plan.listeners[0].address.to_string(), "0.0.0.0:8080");
    for (method, path, expected) in [
        // CopilotKit's allow-list, for everyone.
        (
            "GET",
            "/chat/copilotkit-api/info",
            "copilotkit-info (public): copilotkit/info",
        ),
        (
            "POST",
            "/chat/copilotkit-api/agent/default/run",
            "copilotkit-run (public): copilotkit/agent/default/run",
        ),
        (
            "POST",
            "/chat/copilotkit-api/agent/default/connect",
            "copilotkit-connect (public): copilotkit/agent/default/connect",
        ),
        (
            "POST",
            "/chat/copilotkit-api/agent/default/suggest",
            "copilotkit-suggest (public): copilotkit/agent/default/suggest",
        ),
        (
            "POST",
            "/chat/copilotkit-api/agent/default/stop/t1",
            "copilotkit-stop (public): copilotkit/agent/default/stop/t1",
        ),
        (
            "POST",
            "/chat/copilotkit-api",
            "copilotkit (public): copilotkit/",
        ),
        // Nothing else reaches it, whatever the path's spelling.
        (
            "GET",
            "/chat/copilotkit-api/threads",
            "site (portal): file /copilotkit-api/threads",
        ),
        (
            "GET",
            "/chat/copilotkit-api/x/threads",
            "site (portal): file /copilotkit-api/x/threads",
        ),
        (
            "GET",
            "/chat/copilotkit-api/agent/default/run/../../../threads",
            "site (portal): file /copilotkit-api/threads",
        ),
        (
            "GET",
            "/chat/copilotkit-api/agent/default/run",
            "site (portal): file /copilotkit-api/agent/default/run",
        ),
        (
            "POST",
            "/chat/copilotkit-api/agent/a/b/run",
            "site (portal): file /copilotkit-api/agent/a/b/run",
        ),
        // The agents server, with a session.
        ("POST", "/chat/backend/api", "backend (portal): agents/api"),
        ("GET", "/chat/backend", "backend (portal): agents/"),
        ("GET", "/chat/data", "data (portal): agents/data"),
        ("GET", "/chat/data/a/b", "data (portal): agents/data/a/b"),
        // The site: assets for everyone, the rest with a session.
        (
            "GET",
            "/chat/_next/static/x.js",
            "site-assets (public): file /_next/static/x.js",
        ),
        (
            "GET",
            "/chat/_next/../backend/api",
            "backend (portal): agents/api",
        ),
        (
            "GET",
            "/chat/favicon.ico",
            "favicon (public): file /favicon.ico",
        ),
        ("GET", "/chat", "site (portal): file /"),
        ("GET", "/chat/deep/page", "site (portal): file /deep/page"),
        ("GET", "/chat/health", "health (public): Health"),
        // Everything else is the portal's.
        ("GET", "/login", "portal (public): portal/login"),
        ("POST", "/login", "portal (public): portal/login"),
        ("GET", "/", "portal (public): portal/"),
        ("GET", "/chatter", "portal (public): portal/chatter"),
    ] {
        assert_eq!(served(&plan, method, path), expected, "{method} {path}");
    }
}

#[test]
fn dr_migrate_says_what_it_needs() {
    let path = PathBuf::from("config/dr-migrate.toml");
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(&path);
    let text = std::fs::read_to_string(file).unwrap();
    let mistakes = weir_config::parse(&path, &text, &Map::new())
        .unwrap_err()
        .to_string();
    assert_eq!(mistakes.lines().count(), 3, "{mistakes}");
    for name in ["PORTAL_ADDRESS", "VALIDATION_KEY", "DECRYPTION_KEY"] {
        assert!(
            mistakes.contains(&format!("the environment variable {name} is not set")),
            "{mistakes}"
        );
    }
}

#[test]
fn demo() {
    let plan = load(
        "demo.toml",
        &[
            ("WEIR_DEMO_LISTEN", "127.0.0.1:8080"),
            ("WEIR_DEMO_ASSISTANT", "127.0.0.1:1"),
            ("WEIR_DEMO_PORTAL", "127.0.0.1:2"),
            ("WEIR_DEMO_PAGE", "/tmp/weir-demo"),
        ],
    );
    assert_eq!(
        plan.admin.as_ref().unwrap().address.to_string(),
        "127.0.0.1:0"
    );
    for (method, path, expected) in [
        ("GET", "/chat/", "page (portal): file /"),
        ("GET", "/chat/app.js", "page (portal): file /app.js"),
        (
            "POST",
            "/chat/backend/api",
            "backend (portal): assistant/api",
        ),
        (
            "GET",
            "/chat/backend/whoami",
            "backend (portal): assistant/whoami",
        ),
        (
            "GET",
            "/chat/backend/ping",
            "backend-ping (portal): assistant/ping",
        ),
        (
            "POST",
            "/chat/copilotkit-api/agent/default/run",
            "copilotkit-run (public): assistant/agent/default/run",
        ),
        ("GET", "/login", "portal (public): portal/login"),
    ] {
        assert_eq!(served(&plan, method, path), expected, "{method} {path}");
    }
}
