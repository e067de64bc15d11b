//! Static files, by tower-http's `ServeDir`: ETag, ranges, precompressed `.br` and `.gz`. This file decides only which name is tried:
//! the path, then the path with `.html` (as exported sites expect), then the route's fallback.

use std::{io::ErrorKind, path::Path};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts,
    uri::PathAndQuery,
};
use http_body_util::{BodyExt, Empty};
use tower_http::services::ServeDir;
use weir_proxy::Body;
use weir_route::{Miss, NormalPath};

use crate::{pipeline::with_query, refusal::Refusal};

/// A folder to serve from.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    dir: ServeDir,
    fallback: Option<String>,
}

impl Folder {
    pub(crate) fn new(root: &Path, fallback: Option<&str>) -> Self {
        Self {
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
    full: &NormalPath,
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
    let mut ask = Request::new(Empty::<Bytes>::new());
    *ask.method_mut() = head.method.clone();
    *ask.uri_mut() = Uri::from(target);
    *ask.headers_mut() = head.headers.clone();
    if ask.headers().contains_key(header::IF_RANGE) {
        // tower-http does not know it. A part of a file that has changed would be joined to a part of the old one; the whole never is,
        // and a server may always send that (RFC 9110 section 14.2).
        ask.headers_mut().remove(header::RANGE);
    }
    match folder.dir.clone().try_call(ask).await {
        Ok(answer) if answer.status() == StatusCode::NOT_FOUND => Ok(None),
        Ok(answer) => Ok(Some(answer.map(|body| Body::file(body.boxed_unsync())))),
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

/// A folder without its slash: relative links in its page would point beside it.
fn to_folder(full: &NormalPath, head: &Parts) -> Result<Response<Body>, Refusal> {
    let location = with_query(&format!("{}/", full.as_str()), head);
    let location = HeaderValue::from_str(&location).map_err(|_| Refusal::Internal)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}
