//! The end of a connection whose client may still be sending. Its answer is out and weir reads no more requests, but a socket that is
//! closed over unread bytes resets the connection, and a reset takes from the client what it has not read yet: the very answer that says
//! why (RFC 9112 section 9.6). So the sending side is closed, and what comes is read and thrown away until the client has seen that.

use std::{io, net::Shutdown, time::Duration};

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// No longer than this after the last byte, as nginx has it: whoever is silent has read the answer, or never will.
const SILENCE: Duration = Duration::from_secs(5);
/// And in all, also nginx's: 30 s of an upload that nobody wants.
const LONGEST: Duration = Duration::from_secs(30);

/// Once the process stops: long enough for an answer that is on its way to be read, and no reason for the stop to wait.
pub(crate) const AT_A_STOP: Duration = Duration::from_millis(500);

/// Reads on until the client closes, or is silent, or has had its time. `expected`: it may not have said all that it is going to; where
/// nothing is expected, only what has come already is waited for.
pub(crate) async fn linger(stream: &TcpStream, expected: bool) {
    let _ = socket2::SockRef::from(stream).shutdown(Shutdown::Write);
    let end = Instant::now() + LONGEST;
    // On the heap: few connections end so, and every one would carry it.
    let mut thrown_away = vec![0; 16 * 1024];
    let mut expected = expected;
    loop {
        match stream.try_read(&mut thrown_away) {
            Ok(0) => return,
            Ok(_) => expected = true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && expected => {
                let silent = (Instant::now() + SILENCE).min(end);
                if !matches!(timeout_at(silent, stream.readable()).await, Ok(Ok(()))) {
                    return;
                }
            }
            Err(_) => return,
        }
        if Instant::now() >= end {
            return;
        }
        // It must not keep the worker from the others for as long as it sends.
        tokio::task::consume_budget().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncWriteExt, net::TcpListener, time::sleep};

    use super::*;

    /// Our end of a connection, and the client's.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (client, ours) = tokio::join!(TcpStream::connect(address), listener.accept());
        (ours.expect("a connection").0, client.expect("the same"))
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_closes_is_not_waited_for() {
        let (ours, mut client) = pair().await;
        client.write_all(&[0; 50_000]).await.expect("room");
        drop(client);
        let began = Instant::now();
        linger(&ours, true).await;
        assert!(began.elapsed() < SILENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_expected_and_nothing_is_there_it_is_over_at_once() {
        let (ours, _client) = pair().await;
        let began = Instant::now();
        linger(&ours, false).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_silent_has_five_seconds() {
        let (ours, _client) = pair().await;
        let began = Instant::now();
        linger(&ours, true).await;
        assert_eq!(began.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_never_stops_has_thirty() {
        let (ours, mut client) = pair().await;
        let began = Instant::now();
        let drip = async {
            while client.write_all(b"x").await.is_ok() {
                sleep(4 * Duration::from_secs(1)).await;
            }
        };
        tokio::select! {
            () = linger(&ours, true) => {}
            () = drip => panic!("nobody closed it"),
        }
        assert_eq!(began.elapsed().as_secs(), 30);
    }
}
