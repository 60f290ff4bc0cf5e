//! What a client goes on sending after its answer: taken for a while, and thrown away.
//!
//! A connection that is closed with something unread in it is reset, and the reset overtakes the answer: a
//! client in the middle of an upload would see a broken pipe where it was told that its key is wrong.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::HttpBody;
use futures_util::future::poll_fn;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

/// For how long a client may go on; it has read its answer long before (chosen).
const LINGER: Duration = Duration::from_secs(5);

/// The body of a request, which whoever answers the request may leave unread.
pub(crate) struct Lingering {
    /// `None` once it has ended.
    rest: Option<Incoming>,
}

impl Lingering {
    pub(crate) fn new(body: Incoming) -> Self {
        Self { rest: Some(body).filter(|body| !body.is_end_stream()) }
    }
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.rest else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.rest = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        // Without a runtime the connection is gone as well.
        if let (Some(body), Ok(runtime)) = (self.rest.take(), Handle::try_current())
            && !body.is_end_stream()
        {
            runtime.spawn(tokio::time::timeout(LINGER, throw_away(body)));
        }
    }
}

async fn throw_away(mut body: Incoming) {
    while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {}
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::watch;

    /// Sends a head and 32 MiB of body to a server that answers without reading any, and then reads the answer.
    async fn answer_to(head: &str, piece: &[u8]) -> String {
        let router = Router::new().fallback(|| async { StatusCode::UNAUTHORIZED });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let server = tokio::spawn(crate::server::serve(listener, router, None, stopping));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..512 {
            client.write_all(piece).await.expect("the server goes on reading");
        }
        let mut answer = vec![0; 64];
        let length = client.read(&mut answer).await.unwrap();
        drop(client);
        stop.send(true).unwrap();
        server.await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    #[tokio::test]
    async fn a_client_that_is_refused_in_the_middle_of_an_upload_reads_why() {
        let whole = "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n";
        let pieces = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = [b"10000\r\n".as_slice(), &[b'a'; 1 << 16], b"\r\n"].concat();
        for (head, piece) in [(whole, &[b'a'; 1 << 16][..]), (pieces, &chunk)] {
            let answer = answer_to(head, piece).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        }
    }
}
