//! The upstream: OpenAI chat completions, plain or streamed, one thread a connection.
//!
//! What a request gets is written in its prompt, so that it survives any gateway:
//! `#bench chunks=100 every_us=5000 delay_us=0#`. No `chunks` means a plain JSON answer, `every_us=0`
//! a burst. The content of each streamed chunk is `t=<CLOCK_MONOTONIC ns>`, its time of sending.
//! `GET /stats` tells how many streams ended or lost their reader, and how many chunks the last lost one had got.
//! Prints its port on the first line of stdout.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bench_tools::args::Args;
use bench_tools::clock::{now_ns, precise_sleep, sleep_until};
use bench_tools::http::{Connection, Head, find};

const ANSWER: &str = r#"{"id":"chatcmpl-bench000000000000000000000","object":"chat.completion","created":1767225600,"model":"bench-model","choices":[{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog, and then it sits down to think about why it did that.","refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":24,"total_tokens":43,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}},"system_fingerprint":"fp_bench"}"#;
const EVENT: &str = r#"data: {"id":"chatcmpl-bench000000000000000000000","object":"chat.completion.chunk","created":1767225600,"model":"bench-model","system_fingerprint":"fp_bench","choices":["#;
const USAGE: &str = r#"{"prompt_tokens":19,"completion_tokens":24,"total_tokens":43,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}"#;

/// A burst is written in pieces of this size, each event still an HTTP chunk of its own.
const BURST_BYTES: usize = 16 * 1024;

static STREAMS_DONE: AtomicU64 = AtomicU64::new(0);
static STREAMS_LOST: AtomicU64 = AtomicU64::new(0);
static LAST_LOST_AFTER: AtomicU64 = AtomicU64::new(0);
static REQUESTS: AtomicU64 = AtomicU64::new(0);

struct Order {
    chunks: u64,
    every_ns: u64,
    delay_ns: u64,
    usage: bool,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::read(&["port"])?;
    let listener = TcpListener::bind(("127.0.0.1", args.number("port", 0)?))?;
    println!("{}", listener.local_addr()?.port());
    precise_sleep();
    for socket in listener.incoming() {
        let socket = socket?;
        std::thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(move || {
                if let Err(error) = serve(socket)
                    && !matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
                    )
                {
                    eprintln!("mock: {error}");
                }
            })?;
    }
    Ok(())
}

fn serve(socket: TcpStream) -> io::Result<()> {
    let mut connection = Connection::new(socket)?;
    let (mut body, mut out) = (Vec::new(), Vec::new());
    while let Some(Head {
        body: mut framing,
        keep_alive,
        first_line,
    }) = connection.head()?
    {
        body.clear();
        connection.read_body(&mut framing, &mut body)?;
        if first_line.starts_with("POST") {
            REQUESTS.fetch_add(1, Relaxed);
            let order = Order::read(&body);
            if order.delay_ns > 0 {
                sleep_until(now_ns() + order.delay_ns);
            }
            if order.chunks > 0 {
                stream(&mut connection.socket, &order, &mut out)?;
            } else {
                answer(&mut connection.socket, ANSWER, &mut out)?;
            }
        } else {
            answer(&mut connection.socket, &stats(), &mut out)?;
        }
        if !keep_alive {
            break;
        }
    }
    Ok(())
}

impl Order {
    fn read(body: &[u8]) -> Order {
        let mut order = Order {
            chunks: 0,
            every_ns: 0,
            delay_ns: 0,
            usage: false,
        };
        let Some(at) = find(body, b"#bench") else {
            return order;
        };
        let rest = &body[at + 1..];
        let text = String::from_utf8_lossy(&rest[..find(rest, b"#").unwrap_or(0)]);
        for (name, value) in text.split(' ').filter_map(|pair| pair.split_once('=')) {
            let value: u64 = value.parse().unwrap_or(0);
            match name {
                "chunks" => order.chunks = value,
                "every_us" => order.every_ns = value * 1000,
                "delay_us" => order.delay_ns = value * 1000,
                _ => {}
            }
        }
        // Streamed requests are short, so the search for the option costs nothing that matters.
        order.usage = order.chunks > 0
            && find(body, b"\"include_usage\"").is_some_and(|at| {
                let value = &body[at + 15..];
                value.iter().find(|byte| !b": ".contains(byte)) == Some(&b't')
            });
        order
    }
}

fn stats() -> String {
    format!(
        r#"{{"requests":{},"streams_done":{},"streams_lost":{},"last_lost_after":{}}}"#,
        REQUESTS.load(Relaxed),
        STREAMS_DONE.load(Relaxed),
        STREAMS_LOST.load(Relaxed),
        LAST_LOST_AFTER.load(Relaxed)
    )
}

fn answer(socket: &mut TcpStream, json: &str, out: &mut Vec<u8>) -> io::Result<()> {
    out.clear();
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{json}",
        json.len()
    )?;
    socket.write_all(out)
}

fn stream(socket: &mut TcpStream, order: &Order, out: &mut Vec<u8>) -> io::Result<()> {
    let mut sent = 0;
    let result = send_stream(socket, order, out, &mut sent);
    if result.is_ok() {
        STREAMS_DONE.fetch_add(1, Relaxed);
    } else {
        LAST_LOST_AFTER.store(sent, Relaxed);
        STREAMS_LOST.fetch_add(1, Relaxed);
    }
    result
}

fn send_stream(
    socket: &mut TcpStream,
    order: &Order,
    out: &mut Vec<u8>,
    sent: &mut u64,
) -> io::Result<()> {
    let tail = if order.usage {
        r#"],"usage":null}"#
    } else {
        "]}"
    };
    out.clear();
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n");
    event(
        out,
        format_args!(
            r#"{EVENT}{{"index":0,"delta":{{"role":"assistant","content":"","refusal":null}},"logprobs":null,"finish_reason":null}}{tail}"#
        ),
    )?;
    let start = now_ns();
    for index in 0..order.chunks {
        if order.every_ns > 0 {
            sleep_until(start + index * order.every_ns);
            if reader_left(socket) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        event(
            out,
            format_args!(
                r#"{EVENT}{{"index":0,"delta":{{"content":"t={}"}},"logprobs":null,"finish_reason":null}}{tail}"#,
                now_ns()
            ),
        )?;
        if order.every_ns > 0 || out.len() >= BURST_BYTES {
            socket.write_all(out)?;
            out.clear();
        }
        *sent = index + 1;
    }
    event(
        out,
        format_args!(
            r#"{EVENT}{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}{tail}"#
        ),
    )?;
    if order.usage {
        event(out, format_args!(r#"{EVENT}],"usage":{USAGE}}}"#))?;
    }
    event(out, format_args!("data: [DONE]"))?;
    out.extend_from_slice(b"0\r\n\r\n");
    socket.write_all(out)
}

/// One server-sent event as one HTTP chunk.
fn event(out: &mut Vec<u8>, text: std::fmt::Arguments) -> io::Result<()> {
    let text = text.to_string();
    write!(out, "{:x}\r\n{text}\n\n\r\n", text.len() + 2)
}

/// Whether the peer has closed its side: a look at the socket, without waiting and without taking bytes.
fn reader_left(socket: &TcpStream) -> bool {
    let mut byte = 0u8;
    // SAFETY: the buffer is one live byte, and the descriptor belongs to `socket`.
    let count = unsafe {
        libc::recv(
            socket.as_raw_fd(),
            (&raw mut byte).cast(),
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    match count {
        0 => true,
        count if count < 0 => io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock,
        _ => false,
    }
}
