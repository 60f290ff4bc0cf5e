//! Lines of a body that has no upper bound, one by one as they come.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use egret_wire::problem::Code;
use futures_util::StreamExt;

use super::Failure;

/// The longest line, in bytes.
const MOST_LINE: usize = 1 << 20;
/// A body that brings nothing for this long has broken off.
const IDLE: Duration = Duration::from_secs(30);

/// Reads lines.
pub(super) struct LineReader {
    chunks: BodyDataStream,
    buffer: BytesMut,
    /// Lines read.
    line: u64,
    is_over: bool,
}

impl LineReader {
    pub(super) fn new(body: Body) -> Self {
        Self { chunks: body.into_data_stream(), buffer: BytesMut::new(), line: 0, is_over: false }
    }

    /// The number of the line read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.line
    }

    /// The next line without its end; `None`: that was all. What comes last is a line if it is not empty.
    ///
    /// # Errors
    /// A body that breaks off, or a line of more than 1 MiB.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                return self.taken(line).map(Some);
            }
            if self.is_over {
                let rest = self.buffer.split();
                return if rest.is_empty() { Ok(None) } else { self.taken(rest).map(Some) };
            }
            if self.buffer.len() > MOST_LINE {
                return Err(self.too_long(self.line + 1));
            }
            let broke_off = |why: &str| {
                Failure::new(Code::InvalidJson, format!("the body broke off: {why}; nothing of it will run"))
            };
            let chunk = tokio::time::timeout(IDLE, self.chunks.next()).await;
            match chunk.map_err(|_| broke_off("nothing came for 30 s"))? {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => return Err(broke_off(&error.to_string())),
                None => self.is_over = true,
            }
        }
    }

    /// Counts a line and takes from it what is not its own: a mark of the encoding, and the return of a DOS line.
    fn taken(&mut self, line: BytesMut) -> Result<Bytes, Failure> {
        self.line += 1;
        let mut line = line.freeze();
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        if self.line == 1 && line.starts_with(b"\xef\xbb\xbf") {
            line = line.slice(3..);
        }
        if line.len() > MOST_LINE { Err(self.too_long(self.line)) } else { Ok(line) }
    }

    fn too_long(&self, line: u64) -> Failure {
        Failure::new(
            Code::TooLarge,
            format!("line {line} is longer than 1 MiB; nothing of this body will run"),
        )
    }
}
