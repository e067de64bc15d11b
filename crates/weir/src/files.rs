//! Static files, by tower-http's `ServeDir`: ETag, ranges, precompressed `.br` and `.gz`. This file decides only which name is tried
//! (the path, then the path with `.html`, as exported sites expect, then the route's fallback), and what may be opened under it.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts,
    uri::PathAndQuery,
};
use http_body_util::{BodyExt, Empty};
use tower_http::services::ServeDir;
use weir_config::plan::Links;
use weir_proxy::Body;
use weir_route::{Miss, NormalPath};

use crate::{
    pipeline::with_query,
    range::{self, Range},
    refusal::Refusal,
};

/// A folder to serve from.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    dir: ServeDir,
    root: PathBuf,
    links: Links,
    fallback: Option<String>,
}

impl Folder {
    pub(crate) fn new(root: &Path, links: Links, fallback: Option<&str>) -> Self {
        Self {
            root: root.to_owned(),
            links,
            dir: ServeDir::new(root)
                .precompressed_br()
                .ignore_multi_range_requests(true)
                .precompressed_gzip(),
            fallback: fallback.map(|name| format!("/{}", name.trim_start_matches('/'))),
        }
    }
}

/// The file for a path below the folder; `full` is the path as the client knows it, for redirects.
pub(crate) async fn serve(
    folder: &Folder,
    head: &Parts,
    full: &NormalPath<'_>,
    path: &str,
) -> Result<Response<Body>, Refusal> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Refusal::Miss(Miss::Method {
            allow: vec![Method::GET, Method::HEAD],
        }));
    }
    // What begins with a dot is the version control's, the editor's or the operator's, never the site's.
    if path
        .split('/')
        .any(|segment| segment.starts_with('.') && segment != ".well-known")
    {
        return Err(Refusal::NoFile);
    }
    let is_folder = match open(folder, head, path).await? {
        Some(found) if found.status() == StatusCode::TEMPORARY_REDIRECT => true,
        Some(found) => return Ok(found),
        None => false,
    };
    let bare = path.trim_end_matches('/');
    if !bare.is_empty()
        && let Some(page) = open(folder, head, &format!("{bare}.html")).await?
    {
        return Ok(page);
    }
    if is_folder {
        return to_folder(full, head);
    }
    let Some(fallback) = &folder.fallback else {
        return Err(Refusal::NoFile);
    };
    open(folder, head, fallback).await?.ok_or(Refusal::NoFile)
}

pub(crate) fn with_cache_control(
    mut response: Response<Body>,
    value: Option<&HeaderValue>,
) -> Response<Body> {
    if response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED {
        response
            .headers_mut()
            .extend(value.map(|value| (header::CACHE_CONTROL, value.clone())));
    }
    response
}

/// What tower-http answers, or `None` where there is no such file.
async fn open(
    folder: &Folder,
    head: &Parts,
    path: &str,
) -> Result<Option<Response<Body>>, Refusal> {
    let target = PathAndQuery::try_from(path).map_err(|_| Refusal::NoFile)?;
    if !folder.may_open(path).await {
        return Ok(None);
    }
    let range = Range::of(head);
    let value = range.as_ref().map(|range| range.value.clone());
    let mut answered = folder.ask(head, &target, value).await;
    if range.is_some_and(|range| range.is_suffix)
        && let Ok(refused) = &answered
        && refused.status() == StatusCode::RANGE_NOT_SATISFIABLE
    {
        // More bytes from the end than there are mean all of them (RFC 9110 section 14.1.2). Of nothing there is no part to be told.
        let all = HeaderValue::from_static("bytes=0-");
        let all = (!range::is_of_nothing(refused)).then_some(all);
        answered = folder.ask(head, &target, all).await;
    }
    match answered {
        Ok(answer) => match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let size = answer.headers().get(header::CONTENT_RANGE).cloned();
                Err(Refusal::Range(size))
            }
            // tower-http tells of a first byte of an empty file.
            StatusCode::PARTIAL_CONTENT if range::is_of_nothing(&answer) => {
                Err(Refusal::Range(Some(HeaderValue::from_static("bytes */0"))))
            }
            StatusCode::PRECONDITION_FAILED => Err(Refusal::Changed),
            _ => Ok(Some(answer)),
        },
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
            ) =>
        {
            Ok(None)
        }
        Err(error) => {
            tracing::warn!(%error, path, "a file could not be read");
            Err(Refusal::Internal)
        }
    }
}

impl Folder {
    /// What tower-http answers to the request for this file, or this range of it.
    async fn ask(
        &self,
        head: &Parts,
        target: &PathAndQuery,
        range: Option<HeaderValue>,
    ) -> io::Result<Response<Body>> {
        let mut ask = Request::new(Empty::<Bytes>::new());
        *ask.method_mut() = head.method.clone();
        *ask.uri_mut() = Uri::from(target.clone());
        *ask.headers_mut() = head.headers.clone();
        ask.headers_mut().remove(header::RANGE);
        ask.headers_mut()
            .extend(range.map(|range| (header::RANGE, range)));
        let mut answer = self.dir.clone().try_call(ask).await?;
        if answer.status() == StatusCode::NOT_MODIFIED {
            // As its 200 says it, which RFC 9110 section 15.4.5 wants: a cache would keep what it has for clients that cannot unpack it.
            let vary = HeaderValue::from_static("accept-encoding");
            answer.headers_mut().insert(header::VARY, vary);
        }
        Ok(answer.map(|body| Body::file(body.boxed_unsync())))
    }

    /// Whether what lies under this name, and under the names of its precompressed copies, is for everyone who may see the folder: a file or
    /// a folder, and within the root where `links` says so. Opening a FIFO waits for whoever writes to it, which may be nobody.
    ///
    /// Between this look and the opening the name may come to mean something else. It guards against what was left lying there, not against
    /// somebody who may write into the folder: he can put his file there itself.
    async fn may_open(&self, path: &str) -> bool {
        let Some(file) = self.file(path) else {
            return false;
        };
        let (root, links) = (self.root.clone(), self.links);
        let looked = tokio::task::spawn_blocking(move || {
            let copies = ["", ".br", ".gz"].map(|suffix| {
                let mut name = file.clone().into_os_string();
                name.push(suffix);
                PathBuf::from(name)
            });
            let outcome = copies.iter().try_for_each(|name| look(name, &root, links));
            (file, outcome)
        });
        let (file, outcome) = looked.await.expect("looking does not panic");
        if let Err(why) = &outcome {
            let file = file.display();
            tracing::warn!(%file, %why, "not served");
        }
        outcome.is_ok()
    }

    /// The name that tower-http will open.
    fn file(&self, path: &str) -> Option<PathBuf> {
        let decoded = weir_route::decoded(path);
        let decoded = std::str::from_utf8(&decoded).ok()?;
        let mut file = self.root.join(decoded.trim_start_matches('/'));
        if decoded.ends_with('/') {
            file.push("index.html");
        }
        Some(file)
    }
}

/// Why this must not be opened, if it is there at all.
fn look(name: &Path, root: &Path, links: Links) -> io::Result<()> {
    let Ok(found) = fs::metadata(name) else {
        return Ok(());
    };
    if !found.is_file() && !found.is_dir() {
        return Err(io::Error::other("neither a file nor a folder"));
    }
    // The root itself may be a link: that is how releases are switched.
    if links == Links::Within && !fs::canonicalize(name)?.starts_with(fs::canonicalize(root)?) {
        return Err(io::Error::other("a link leads out of the folder"));
    }
    Ok(())
}

/// A folder without its slash: relative links in its page would point beside it.
fn to_folder(full: &NormalPath<'_>, head: &Parts) -> Result<Response<Body>, Refusal> {
    let location = with_query(&format!("{}/", full.as_str()), head);
    let location = HeaderValue::from_str(&location).map_err(|_| Refusal::Internal)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}
