//! A document from somebody else's server, such as an issuer's keys: one GET on a connection of its own, with a clock and a bound.
//! Redirects are not followed: who may answer for a URL is the operator's choice, not the server's.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::{
    connect,
    settings::{Roots, Server, Tls},
    tls::Secure,
};

/// The body of a 200. `https` is verified against `roots`.
///
/// # Errors
/// Whatever goes wrong, more than `most` bytes, or more than `within`.
pub async fn get(url: &Uri, roots: &Roots, most: usize, within: Duration) -> io::Result<Bytes> {
    timeout(within, ask(url, roots, most)).await.map_err(|_| {
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {within:?}"),
        )
    })?
}

async fn ask(url: &Uri, roots: &Roots, most: usize) -> io::Result<Bytes> {
    let host = url
        .host()
        .ok_or_else(|| io::Error::other("the URL has no host"))?;
    let https = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if https { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let server = match bare.parse() {
        Ok(address) => Server::Address((std::net::IpAddr::V4(address), port).into()),
        Err(_) => match bare.parse() {
            Ok(address) => Server::Address((std::net::IpAddr::V6(address), port).into()),
            Err(_) => Server::Name {
                host: host.to_owned(),
                port,
            },
        },
    };
    let secure = if https {
        let settings = Tls {
            roots: roots.clone(),
            server_name: None,
        };
        Some(Secure::new(&settings, false)?)
    } else {
        None
    };
    let stream = connect::dial(&server, secure.as_ref()).await?;
    let (mut send, driver) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().map_or(host, |authority| authority.as_str());
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, "weir")
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    let driver = tokio::spawn(driver);
    let answer = send.send_request(request).await.map_err(io::Error::other);
    let body = match answer {
        Ok(answer) if answer.status() == StatusCode::OK => collect(answer.into_body(), most).await,
        Ok(answer) => Err(io::Error::other(format!(
            "answered {}",
            answer.status().as_u16()
        ))),
        Err(error) => Err(error),
    };
    driver.abort();
    body
}

async fn collect(mut body: hyper::body::Incoming, most: usize) -> io::Result<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            if whole.len() + data.len() > most {
                return Err(io::Error::other(format!("answered more than {most} bytes")));
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}
