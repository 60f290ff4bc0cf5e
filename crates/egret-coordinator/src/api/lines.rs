//! Lines of a body that has no upper bound, one by one as they come.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use egret_wire::problem::Code;
use futures_util::StreamExt;

use super::Failure;

/// The longest line, in bytes.
const MOST_LINE: usize = 1 << 20;
/// The mark of the encoding, with which some programs begin a file.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// A line with all that is not its own.
const LONGEST_KEPT: usize = MARK.len() + MOST_LINE + b"\r".len();
/// A body that brings nothing for this long has broken off.
const IDLE: Duration = Duration::from_secs(30);

/// A line without its end, or why it is not taken.
pub(super) type Line = Result<Bytes, Failure>;

/// Reads lines.
pub(super) struct LineReader {
    chunks: BodyDataStream,
    buffer: BytesMut,
    /// So much of it has no line's end.
    searched: usize,
    /// Lines read.
    line: u64,
    is_over: bool,
    /// What comes up to the next line's end belongs to a line that is too long.
    is_skipping: bool,
    /// A line was too long.
    any_too_long: bool,
    /// A line was not.
    is_list: bool,
}

impl LineReader {
    pub(super) fn new(body: Body) -> Self {
        Self {
            chunks: body.into_data_stream(),
            buffer: BytesMut::new(),
            searched: 0,
            line: 0,
            is_over: false,
            is_skipping: false,
            any_too_long: false,
            is_list: false,
        }
    }

    /// The number of the line read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.line
    }

    /// The next line; `None`: that was all. What comes last is a line if it is not empty. One that is too long is
    /// passed over as it comes.
    ///
    /// # Errors
    /// A body that breaks off, or that held nothing but lines that are too long.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, Failure> {
        loop {
            let end = self.buffer.iter().skip(self.searched).position(|byte| *byte == b'\n');
            if let Some(end) = end.map(|end| self.searched + end) {
                self.searched = 0;
                let mut line = self.buffer.split_to(end + 1);
                line.truncate(end);
                return Ok(Some(self.taken(line)));
            }
            if self.is_over {
                let rest = self.buffer.split();
                if !rest.is_empty() || self.is_skipping {
                    return Ok(Some(self.taken(rest)));
                }
                return if self.any_too_long && !self.is_list { Err(no_list()) } else { Ok(None) };
            }
            if self.buffer.len() > LONGEST_KEPT {
                self.is_skipping = true;
            }
            if self.is_skipping {
                self.buffer.clear();
            }
            self.searched = self.buffer.len();
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
    fn taken(&mut self, line: BytesMut) -> Line {
        self.line += 1;
        let mut line = line.freeze();
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        if self.line == 1 && line.starts_with(MARK) {
            line = line.slice(MARK.len()..);
        }
        if std::mem::take(&mut self.is_skipping) || line.len() > MOST_LINE {
            self.any_too_long = true;
            return Err(Failure::new(Code::TooLarge, "the line is longer than 1 MiB"));
        }
        self.is_list |= !line.iter().all(u8::is_ascii_whitespace);
        Ok(line)
    }
}

/// Whoever sends such a body has taken another file for a list.
fn no_list() -> Failure {
    Failure::new(
        Code::TooLarge,
        "no line of the body is at most 1 MiB long; send one target or one object a line",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    /// The lengths of the lines of a body that comes in pieces, `None` for one that is too long; then how it ended.
    fn read(pieces: &[Vec<u8>]) -> (Vec<Option<usize>>, bool) {
        let longest = pieces.iter().map(Vec::len).max().unwrap_or_default();
        let pieces = pieces.iter().cloned().map(Ok::<_, std::io::Error>);
        let mut lines = LineReader::new(Body::from_stream(stream::iter(pieces.collect::<Vec<_>>())));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut lengths = Vec::new();
        let ended = runtime.block_on(async {
            while let Some(line) = lines.next().await? {
                lengths.push(line.ok().map(|line| line.len()));
                let kept = lines.buffer.capacity();
                assert!(kept < 4 * MOST_LINE + longest, "{kept} bytes are kept");
            }
            Ok::<_, Failure>(())
        });
        assert_eq!(lines.number(), lengths.len() as u64);
        (lengths, ended.is_ok())
    }

    fn pieces(body: &[u8], size: usize) -> Vec<Vec<u8>> {
        body.chunks(size).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn a_line_that_is_too_long_takes_no_other_with_it() {
        let long = "x".repeat(5 * MOST_LINE);
        let body = format!("a.example\n{long}\r\n\nb.example\n{long}");
        for size in [1_000, 65_536, body.len()] {
            let (lengths, ended) = read(&pieces(body.as_bytes(), size));
            assert_eq!((lengths, ended), (vec![Some(9), None, Some(0), Some(9), None], true), "{size}");
        }
    }

    #[test]
    fn the_longest_line_is_measured_without_what_is_not_its_own() {
        let longest = "x".repeat(MOST_LINE);
        for (body, is_taken) in [
            (longest.clone(), true),
            (format!("\u{feff}{longest}\r\n"), true),
            (format!("a\n{longest}\r\n"), true),
            (format!("a\n{longest}x\n"), false),
        ] {
            for size in [4_099, body.len()] {
                let last = read(&pieces(body.as_bytes(), size)).0.pop().unwrap();
                assert_eq!(last.is_some(), is_taken, "{} in pieces of {size}", body.len());
            }
        }
    }

    #[test]
    fn a_body_of_nothing_but_such_lines_is_no_list() {
        let long = "x".repeat(2 * MOST_LINE);
        assert_eq!(read(&pieces(long.as_bytes(), 65_536)), (vec![None], false));
        assert_eq!(
            read(&pieces(format!("{long}\n\n{long}\n").as_bytes(), 65_536)),
            (vec![None, Some(0), None], false)
        );
        assert_eq!(read(&[]), (vec![], true));
    }
}
