//! HTTP/1.1 on one blocking connection: heads, and bodies by length or in chunks, piece by piece.
//! Trailers are skipped; `100-continue` and upgrades are not spoken.

use std::io::{self, Read};
use std::net::TcpStream;

const READ_SIZE: usize = 64 * 1024;

pub struct Connection {
    pub socket: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

pub struct Head {
    /// Request line or status line.
    pub first_line: String,
    pub body: Body,
    pub keep_alive: bool,
}

impl Head {
    pub fn status(&self) -> u16 {
        self.first_line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }

    pub fn method_and_path(&self) -> (&str, &str) {
        let mut words = self.first_line.split(' ');
        (words.next().unwrap_or(""), words.next().unwrap_or(""))
    }
}

/// What is still to come of a body.
pub enum Body {
    Sized(u64),
    ChunkSize,
    Chunk(u64),
    UntilClose,
    Done,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Connection {
    pub fn new(socket: TcpStream) -> io::Result<Connection> {
        socket.set_nodelay(true)?;
        Ok(Connection {
            socket,
            buffer: vec![0; READ_SIZE],
            start: 0,
            end: 0,
        })
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads once; 0 means that the peer has closed.
    fn fill(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                return Err(broken("a head or chunk line longer than the buffer"));
            }
        }
        let count = self.socket.read(&mut self.buffer[self.end..])?;
        self.end += count;
        Ok(count)
    }

    fn fill_or_fail(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed in the middle of a message",
            )),
            _ => Ok(()),
        }
    }

    /// Bytes up to and without `end`, which is consumed too.
    fn take_until(&mut self, end: &[u8]) -> io::Result<String> {
        loop {
            if let Some(at) = find(self.unread(), end) {
                let text = String::from_utf8_lossy(&self.unread()[..at]).into_owned();
                self.start += at + end.len();
                return Ok(text);
            }
            self.fill_or_fail()?;
        }
    }

    /// The next head, or `None` when the peer closed between messages.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        if self.start == self.end && self.fill()? == 0 {
            return Ok(None);
        }
        let text = self.take_until(b"\r\n\r\n")?;
        let mut lines = text.split("\r\n");
        let first_line = lines.next().unwrap_or("").to_string();
        let is_response = first_line.starts_with("HTTP/");
        let mut body = if is_response {
            Body::UntilClose
        } else {
            Body::Done
        };
        let mut keep_alive = true;
        for line in lines {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| broken("a header without colon"))?;
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") {
                body = Body::Sized(value.parse().map_err(|_| broken("content-length"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding")
                && value.eq_ignore_ascii_case("chunked")
            {
                body = Body::ChunkSize;
            } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close")
            {
                keep_alive = false;
            }
        }
        Ok(Some(Head {
            first_line,
            body,
            keep_alive,
        }))
    }

    /// The next bytes of a body as they arrive, `None` at its end.
    pub fn piece(&mut self, body: &mut Body) -> io::Result<Option<&[u8]>> {
        let left = loop {
            match body {
                Body::Done => return Ok(None),
                Body::Sized(0) => *body = Body::Done,
                Body::Sized(left) => break *left,
                Body::Chunk(0) => {
                    self.take_until(b"\r\n")?;
                    *body = Body::ChunkSize;
                }
                Body::Chunk(left) => break *left,
                Body::ChunkSize => {
                    let line = self.take_until(b"\r\n")?;
                    let digits = line.split(';').next().unwrap_or("").trim();
                    let size = u64::from_str_radix(digits, 16).map_err(|_| broken("chunk size"))?;
                    *body = if size > 0 {
                        Body::Chunk(size)
                    } else {
                        Body::Done
                    };
                    while size == 0 && !self.take_until(b"\r\n")?.is_empty() {}
                }
                Body::UntilClose => break u64::MAX,
            }
        };
        if self.start == self.end {
            if matches!(body, Body::UntilClose) {
                if self.fill()? == 0 {
                    *body = Body::Done;
                    return Ok(None);
                }
            } else {
                self.fill_or_fail()?;
            }
        }
        let count = left.min((self.end - self.start) as u64);
        if let Body::Sized(left) | Body::Chunk(left) = body {
            *left -= count;
        }
        let from = self.start;
        self.start += count as usize;
        Ok(Some(&self.buffer[from..self.start]))
    }

    /// Appends the rest of a body to `into`.
    pub fn read_body(&mut self, body: &mut Body, into: &mut Vec<u8>) -> io::Result<()> {
        while let Some(piece) = self.piece(body)? {
            into.extend_from_slice(piece);
        }
        Ok(())
    }
}

/// Where `needle` begins in `hay`. Looks for the first byte first, which is what makes it fast on long bodies.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = hay.get(from..)?.iter().position(|byte| *byte == needle[0]) {
        if hay[from + at..].starts_with(needle) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}
