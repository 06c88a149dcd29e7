//! The upstream: OpenAI chat completions, or Anthropic messages where the path ends so, plain or streamed, one
//! thread a connection.
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

const MESSAGE: &str = r#"{"id":"msg_bench00000000000000000","type":"message","role":"assistant","model":"bench-model","content":[{"type":"text","text":"The quick brown fox jumps over the lazy dog, and then it sits down to think about why it did that."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":19,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":24,"service_tier":"standard"}}"#;
/// What a streamed message begins with, and what it ends with: names of events and their data.
const MESSAGE_BEGINS: [(&str, &str); 3] = [
    (
        "message_start",
        r#"{"type":"message_start","message":{"id":"msg_bench00000000000000000","type":"message","role":"assistant","model":"bench-model","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":19,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1,"service_tier":"standard"}}}"#,
    ),
    (
        "content_block_start",
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    ),
    ("ping", r#"{"type":"ping"}"#),
];
const MESSAGE_ENDS: [(&str, &str); 3] = [
    (
        "content_block_stop",
        r#"{"type":"content_block_stop","index":0}"#,
    ),
    (
        "message_delta",
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":19,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":24}}"#,
    ),
    ("message_stop", r#"{"type":"message_stop"}"#),
];

/// A burst is written in pieces of this size, each event still an HTTP chunk of its own.
const BURST_BYTES: usize = 16 * 1024;

static STREAMS_DONE: AtomicU64 = AtomicU64::new(0);
static STREAMS_LOST: AtomicU64 = AtomicU64::new(0);
static LAST_LOST_AFTER: AtomicU64 = AtomicU64::new(0);
static REQUESTS: AtomicU64 = AtomicU64::new(0);

struct Order {
    format: Format,
    chunks: u64,
    every_ns: u64,
    delay_ns: u64,
    usage: bool,
}

/// The wire format of an answer.
#[derive(Clone, Copy, PartialEq)]
enum Format {
    Chat,
    Messages,
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
            let format = match first_line.split(' ').nth(1) {
                Some(path) if path.ends_with("/messages") => Format::Messages,
                _ => Format::Chat,
            };
            let order = Order::read(format, &body);
            if order.delay_ns > 0 {
                sleep_until(now_ns() + order.delay_ns);
            }
            if order.chunks > 0 {
                stream(&mut connection.socket, &order, &mut out)?;
            } else {
                let json = match format {
                    Format::Chat => ANSWER,
                    Format::Messages => MESSAGE,
                };
                answer(&mut connection.socket, json, &mut out)?;
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
    fn read(format: Format, body: &[u8]) -> Order {
        let mut order = Order {
            format,
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
    out.clear();
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n");
    begin(out, order)?;
    let start = now_ns();
    for index in 0..order.chunks {
        if order.every_ns > 0 {
            sleep_until(start + index * order.every_ns);
            if reader_left(socket) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        content(out, order)?;
        if order.every_ns > 0 || out.len() >= BURST_BYTES {
            socket.write_all(out)?;
            out.clear();
        }
        *sent = index + 1;
    }
    end(out, order)?;
    out.extend_from_slice(b"0\r\n\r\n");
    socket.write_all(out)
}

/// The end of a chat chunk.
fn tail(order: &Order) -> &'static str {
    if order.usage {
        r#"],"usage":null}"#
    } else {
        "]}"
    }
}

fn begin(out: &mut Vec<u8>, order: &Order) -> io::Result<()> {
    match order.format {
        Format::Chat => event(
            out,
            format_args!(
                r#"{EVENT}{{"index":0,"delta":{{"role":"assistant","content":"","refusal":null}},"logprobs":null,"finish_reason":null}}{}"#,
                tail(order)
            ),
        ),
        Format::Messages => named(out, &MESSAGE_BEGINS),
    }
}

fn content(out: &mut Vec<u8>, order: &Order) -> io::Result<()> {
    let now = now_ns();
    match order.format {
        Format::Chat => event(
            out,
            format_args!(
                r#"{EVENT}{{"index":0,"delta":{{"content":"t={now}"}},"logprobs":null,"finish_reason":null}}{}"#,
                tail(order)
            ),
        ),
        Format::Messages => event(
            out,
            format_args!(
                "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"t={now}\"}}}}"
            ),
        ),
    }
}

fn end(out: &mut Vec<u8>, order: &Order) -> io::Result<()> {
    if order.format == Format::Messages {
        return named(out, &MESSAGE_ENDS);
    }
    event(
        out,
        format_args!(
            r#"{EVENT}{{"index":0,"delta":{{}},"logprobs":null,"finish_reason":"stop"}}{}"#,
            tail(order)
        ),
    )?;
    if order.usage {
        event(out, format_args!(r#"{EVENT}],"usage":{USAGE}}}"#))?;
    }
    event(out, format_args!("data: [DONE]"))
}

fn named(out: &mut Vec<u8>, events: &[(&str, &str)]) -> io::Result<()> {
    for (name, data) in events {
        event(out, format_args!("event: {name}\ndata: {data}"))?;
    }
    Ok(())
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
