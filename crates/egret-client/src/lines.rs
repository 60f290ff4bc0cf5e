//! Lines out of pieces: newline-delimited text however the network cut it, with a bound on the length of a line.

use bytes::{Buf, Bytes, BytesMut};

/// A line is longer than it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// What has arrived and has not been taken yet.
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// No newline before this offset.
    searched: usize,
    longest: usize,
}

impl Lines {
    pub(crate) fn new(longest: usize) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, longest }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole line that is not blank, without its end.
    ///
    /// # Errors
    /// [`TooLong`] as soon as the line under way exceeds the bound.
    pub(crate) fn next_line(&mut self) -> Result<Option<Bytes>, TooLong> {
        while let Some(at) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(self.searched + at).freeze();
            self.buffer.advance(1);
            self.searched = 0;
            if line.len() > self.longest {
                return Err(TooLong);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(line));
            }
        }
        self.searched = self.buffer.len();
        if self.searched > self.longest { Err(TooLong) } else { Ok(None) }
    }

    /// Ends the last line, if it has no end of its own: nothing more will come.
    pub(crate) fn close(&mut self) {
        if !self.buffer.is_empty() {
            self.buffer.extend_from_slice(b"\n");
        }
    }

    /// Forgets a line that was cut off.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.searched = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pieces: &[&str], expected: &[&str]) {
        let mut lines = Lines::new(8);
        let mut got = Vec::new();
        for piece in pieces {
            lines.push(piece.as_bytes());
            while let Some(line) = lines.next_line().unwrap() {
                got.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        lines.close();
        got.extend(lines.next_line().unwrap().map(|line| String::from_utf8(line.to_vec()).unwrap()));
        assert_eq!(got, expected);
    }

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        check(&["one\ntwo\nthree\n"], &["one", "two", "three"]);
        check(&["o", "n", "e\nt", "wo", "\n"], &["one", "two"]);
        check(&["\n\none\n \n"], &["one"]);
        check(&["one\ntw"], &["one", "tw"]);
        check(&["zwölf\n"], &["zwölf"]);
    }

    #[test]
    fn a_line_without_end_stops_at_the_bound() {
        let mut lines = Lines::new(8);
        lines.push(b"12345678");
        assert_eq!(lines.next_line(), Ok(None));
        lines.push(b"9");
        assert_eq!(lines.next_line(), Err(TooLong));
    }
}
