//! The command `explain`: what would become of a request, told by the same functions that serve it. Nothing is sent anywhere.

use std::{path::Path, process::ExitCode, time::SystemTime};

use anyhow::{Context, bail};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, header, request::Parts};
use weir_auth::{Presented, upgrade::upgrades};
use weir_config::plan::{Action, LimitKind, Plan, Route};

use crate::{
    pipeline::{self, Asked, with_query},
    refusal::Refusal,
    run::{self, say},
};

/// `weir explain`
pub(crate) fn explain(
    config: &Path,
    method: Method,
    url: Uri,
    headers: &[String],
) -> anyhow::Result<ExitCode> {
    let head = request(method, url, headers)?;
    let Some(plan) = run::load(config)? else {
        return Ok(ExitCode::FAILURE);
    };
    let mut steps = Vec::new();
    let verdict = follow(&plan, &head, &mut steps);
    for step in steps {
        say(&step)?;
    }
    match verdict {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(refusal) => {
            say(&format!(
                "refused    {} ({})",
                refusal.status(),
                refusal.reason()
            ))?;
            if let Refusal::Login { location, .. } = refusal {
                say(&format!("           Location: {location}"))?;
            }
            Ok(ExitCode::FAILURE)
        }
    }
}

fn request(method: Method, url: Uri, headers: &[String]) -> anyhow::Result<Parts> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.version_mut() = Version::HTTP_11;
    let authority = url
        .authority()
        .map_or_else(|| "localhost".to_owned(), ToString::to_string);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().context("the URL's path")?;
    request
        .headers_mut()
        .insert(header::HOST, HeaderValue::from_str(&authority)?);
    for line in headers {
        let Some((name, value)) = line.split_once(':') else {
            bail!("-H {line:?}: expected NAME: VALUE")
        };
        let name: HeaderName = name
            .trim()
            .parse()
            .with_context(|| format!("-H {line:?}"))?;
        let value = HeaderValue::from_str(value.trim()).with_context(|| format!("-H {line:?}"))?;
        if name == header::HOST {
            request.headers_mut().insert(name, value);
        } else {
            request.headers_mut().append(name, value);
        }
    }
    Ok(request.into_parts().0)
}

/// The steps of `pipeline::exchange`, up to the send.
fn follow(plan: &Plan, head: &Parts, steps: &mut Vec<String>) -> Result<(), Refusal> {
    let asked = pipeline::locate(plan, head)?;
    let route = &plan.routes[asked.route];
    steps.push(format!("path       {}", asked.path.as_str()));
    steps.push(format!("route      {} ({})", route.name, route.path));
    steps.push(match route.auth {
        Some(auth) => format!("auth       {}", plan.auth[auth].name),
        None => "auth       none".to_owned(),
    });
    if asked.preflight {
        steps.push("cors       answers the preflight".to_owned());
        return Ok(());
    }
    let presented = Presented {
        headers: &head.headers,
        upgrade: upgrades(&head.method, &head.headers)
            .then(|| head.uri.query().unwrap_or_default()),
        certificate: None,
    };
    let caller = pipeline::identify(plan, &asked, head, &presented, SystemTime::now())?;
    if let Some(user) = caller.as_ref().and_then(|caller| caller.user.as_ref()) {
        steps.push(format!("user       {user}"));
    }
    steps.extend(route.limits.iter().map(|limit| limit_line(plan, *limit)));
    steps.push(format!("max body   {} bytes", route.max_body));
    steps.push(served_by(plan, route, &asked, head));
    Ok(())
}

fn limit_line(plan: &Plan, index: usize) -> String {
    let limit = &plan.limits[index];
    let what = match &limit.kind {
        LimitKind::Rate(quota, algorithm) => format!("{quota} {algorithm:?}"),
        LimitKind::Tokens { quota, .. } => format!("{quota} tokens"),
        LimitKind::Streams(most) => format!("{most} at a time"),
    };
    format!("limit      {}: {what} by {}", limit.name, limit.by)
}

fn served_by(plan: &Plan, route: &Route, asked: &Asked<'_>, head: &Parts) -> String {
    match &route.action {
        Action::Serve { page, .. } => format!("serve      {page:?}"),
        Action::Files { root, rewrite, .. } => format!(
            "files      {}{}",
            root.display(),
            rewrite.apply(&asked.path)
        ),
        Action::Proxy {
            upstream, rewrite, ..
        } => {
            let upstream = &plan.upstreams[*upstream];
            let servers: Vec<String> = upstream.servers.iter().map(ToString::to_string).collect();
            format!(
                "upstream   {} ({})\ntarget     {} {}",
                upstream.name,
                servers.join(", "),
                head.method,
                with_query(&rewrite.apply(&asked.path), head)
            )
        }
    }
}
