//! Clients that share a connection of HTTP/2 over TLS: each is a stream of its own, at its pace.

use std::{io, time::Duration};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::{
    task::{JoinSet, spawn_local},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Client,
    link::{self, Dial},
    stream::Arrivals,
};
use crate::workloads::Action;

/// Plays all clients of one connection; when it breaks, all of them have failed.
pub(super) async fn group(clients: Vec<Client>) {
    let Ok(sender) = connect(&clients[0]).await else {
        return clients.iter().for_each(Client::failed);
    };
    let mut streams = JoinSet::new();
    for client in clients {
        streams.spawn_local(one(client, sender.clone()));
    }
    while streams.join_next().await.is_some() {}
}

async fn connect(client: &Client) -> io::Result<SendRequest<Bytes>> {
    let link = Dial::new(client)?.connect(client).await?;
    let (sender, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 24)
        .handshake(link)
        .await
        .map_err(io::Error::other)?;
    spawn_local(async move {
        // Its end is seen by every stream on it.
        let _ = connection.await;
    });
    Ok(sender)
}

async fn one(client: Client, sender: SendRequest<Bytes>) {
    if matches!(client.workload.action, Action::Stream(_) | Action::Idle) {
        tokio::select! {
            () = client.course.over.notified() => {}
            _ = stream(&client, sender) => client.failed(),
        }
        return;
    }
    let mut next = Instant::now() + client.offset;
    loop {
        if let Some(interval) = client.interval {
            sleep_until(next).await;
            next = (next + interval).max(Instant::now());
        }
        let began = Instant::now();
        if client.course.is_over(began) {
            return;
        }
        let answered = exchange(&client, sender.clone()).await;
        if answered.is_ok() {
            client.ready();
        }
        let ended = Instant::now();
        if client.course.counts(began) {
            let mut tally = client.tally.borrow_mut();
            if answered.is_ok() {
                tally.done += 1;
                tally.latency.record(ended - began);
            } else {
                tally.failures += 1;
            }
        }
        if answered.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn ask(client: &Client, sender: SendRequest<Bytes>) -> Result<h2::RecvStream, h2::Error> {
    let mut sender = sender.ready().await?;
    let post = client.workload.action == Action::Post;
    let request = Request::builder()
        .method(if post { "POST" } else { "GET" })
        .uri(format!("https://localhost{}", client.path()))
        .header("user-agent", "weir-load")
        .header("accept", "*/*")
        .header(
            "authorization",
            format!("Bearer {}", client.target.secrets.token),
        )
        .body(())
        .expect("a request");
    let (answer, mut body) = sender.send_request(request, !post)?;
    if post {
        body.send_data(link::body().into(), true)?;
    }
    let answer = answer.await?;
    if answer.status() != 200 {
        return Err(h2::Reason::REFUSED_STREAM.into());
    }
    Ok(answer.into_body())
}

async fn exchange(client: &Client, sender: SendRequest<Bytes>) -> Result<(), h2::Error> {
    let mut body = ask(client, sender).await?;
    while let Some(data) = body.data().await {
        let _ = body.flow_control().release_capacity(data?.len());
    }
    Ok(())
}

async fn stream(client: &Client, sender: SendRequest<Bytes>) -> Result<(), h2::Error> {
    let mut arrivals = Arrivals::new(Instant::now());
    let mut body = ask(client, sender).await?;
    let mut buffer = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        buffer.extend(&data);
        arrivals.take(client, &mut buffer);
    }
    Ok(())
}
