//! The load client: N keep-alive connections in a closed loop, one thread each, against one target.
//!
//! Every answer is checked (status, the answer's text, every chunk of a stream, its usage, its end); what fails
//! is counted and shown, never dropped. Latencies are exact: all samples are kept and sorted. CPU and memory of
//! the target's whole process tree are read at the two ends of the measured window. Prints one JSON object.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use bench_tools::args::Args;
use bench_tools::clock::{now_ns, precise_sleep, process_cpu_ns, sleep_until};
use bench_tools::http::{Connection, find};

const OPTIONS: [&str; 15] = [
    "port",
    "path",
    "header",
    "model",
    "answers",
    "connections",
    "seconds",
    "warmup",
    "prompt-bytes",
    "chunks",
    "every-us",
    "delay-us",
    "requests",
    "target-pid",
    "mock-pid",
];

/// What is counted now: nothing yet, everything, nothing more.
static PHASE: AtomicU8 = AtomicU8::new(WARMING);
const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const ENDING: u8 = 2;

/// After so many failures a target is broken, and going on would only measure how fast it fails.
const TOO_MANY_FAILURES: u64 = 20;
/// No answer of any scenario takes as long as this; a target that hangs must not hang the benchmark.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Sample {
    requests: u64,
    chunks: u64,
    failures: u64,
    first_failure: Option<String>,
    latency_ns: Vec<u64>,
    first_chunk_ns: Vec<u64>,
    chunk_delay_ns: Vec<u64>,
}

struct Job {
    port: u16,
    request: Vec<u8>,
    /// Content chunks each stream must deliver; 0 for a plain answer.
    chunks: u64,
    /// Requests of each connection after which it stops; 0 for no such limit.
    requests: u64,
    marks: Marks,
}

/// What shows in an answer that it is whole: with its usage, and as a stream with its end.
#[derive(Clone, Copy)]
struct Marks {
    usage: &'static [u8],
    end: &'static [u8],
}

impl Marks {
    fn of(format: &str) -> Result<Marks, String> {
        match format {
            "chat" => Ok(Marks {
                usage: b"\"total_tokens\"",
                end: b"[DONE]",
            }),
            "messages" => Ok(Marks {
                usage: b"\"output_tokens\"",
                end: b"\"message_stop\"",
            }),
            other => Err(format!("--answers {other}: neither chat nor messages")),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::read(&OPTIONS)?;
    let job = Job {
        port: args.number("port", 0)?,
        request: request(&args)?,
        chunks: args.number("chunks", 0)?,
        requests: args.number("requests", 0)?,
        marks: Marks::of(args.text("answers", "chat"))?,
    };
    let connections: u64 = args.number("connections", 1)?;
    let warmup = Duration::from_secs_f64(args.number("warmup", 0.0)?);
    let window = Duration::from_secs_f64(args.number("seconds", 1.0)?);
    let spread_ns = args.number::<u64>("every-us", 0)? * 1000;
    let probe = Probe {
        target: process_tree(args.number("target-pid", 0)?),
        tools: vec![args.number("mock-pid", 0)?, std::process::id() as i32],
    };
    precise_sleep();

    let total = Mutex::new(Sample::default());
    let mut seconds = 0.0;
    let (mut before, mut after) = (Usage::default(), Usage::default());
    thread::scope(|scope| {
        let start = now_ns();
        if job.requests > 0 {
            before = probe.read();
            PHASE.store(MEASURING, Relaxed);
        }
        let workers: Vec<_> = (0..connections)
            .map(|index| {
                let (job, total) = (&job, &total);
                scope.spawn(move || {
                    // Streams of one pace would otherwise all send their chunks in the same moment.
                    sleep_until(start + index * spread_ns / connections);
                    let sample = work(job);
                    total
                        .lock()
                        .expect("no worker panics while it adds its sample")
                        .add(sample);
                })
            })
            .collect();
        let mut from = start;
        if job.requests == 0 {
            thread::sleep(warmup);
            before = probe.read();
            from = now_ns();
            PHASE.store(MEASURING, Relaxed);
            thread::sleep(window);
        } else {
            while workers.iter().any(|worker| !worker.is_finished()) {
                thread::sleep(Duration::from_micros(200));
            }
        }
        PHASE.store(ENDING, Relaxed);
        seconds = (now_ns() - from) as f64 / 1e9;
        after = probe.read();
    });
    let sample = total.into_inner().expect("the workers have ended");
    println!("{}", report(sample, seconds, &before, &after));
    Ok(())
}

fn request(args: &Args) -> Result<Vec<u8>, String> {
    let chunks: u64 = args.number("chunks", 0)?;
    let (every, delay): (u64, u64) = (args.number("every-us", 0)?, args.number("delay-us", 0)?);
    let order = format!("#bench chunks={chunks} every_us={every} delay_us={delay}#");
    let body = format!(
        r#"{{"model":"{}","messages":[{}],"temperature":0.5,"max_tokens":256{}}}"#,
        args.text("model", "bench-model"),
        messages(&order, args.number("prompt-bytes", 0)?),
        if chunks > 0 {
            r#","stream":true,"stream_options":{"include_usage":true}"#
        } else {
            ""
        }
    );
    let mut head = format!(
        "POST {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\ncontent-type: application/json\r\naccept: */*\r\nuser-agent: bench\r\ncontent-length: {}\r\n",
        args.text("path", "/v1/chat/completions"),
        args.text("port", ""),
        body.len()
    );
    for header in args.all("header") {
        head.push_str(header);
        head.push_str("\r\n");
    }
    Ok([head.as_bytes(), b"\r\n", body.as_bytes()].concat())
}

/// A conversation of about `bytes`: turns of 2 KB with line ends and quotes, as prompts with code have.
fn messages(order: &str, bytes: usize) -> String {
    let line = r#"The function returns \"none\" when the list is empty; see the note below.\n"#;
    let mut text = format!(
        r#"{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"{order} Why does the fox jump?"}}"#
    );
    let mut role = "assistant";
    while text.len() < bytes {
        text.push_str(&format!(
            r#",{{"role":"{role}","content":"{}"}}"#,
            line.repeat(26)
        ));
        role = if role == "user" { "assistant" } else { "user" };
    }
    text
}

fn work(job: &Job) -> Sample {
    let mut sample = Sample::default();
    let mut connection = None;
    let mut done = 0;
    while PHASE.load(Relaxed) != ENDING && (job.requests == 0 || done < job.requests) {
        done += 1;
        if let Err(error) = exchange(job, &mut connection, &mut sample) {
            connection = None;
            sample.failures += 1;
            sample.first_failure.get_or_insert(error.to_string());
            if sample.failures >= TOO_MANY_FAILURES {
                break;
            }
        }
    }
    sample
}

/// One request and its whole answer. The connection is put back only when it can be used again.
fn exchange(job: &Job, kept: &mut Option<Connection>, sample: &mut Sample) -> io::Result<()> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => {
            let socket = TcpStream::connect(("127.0.0.1", job.port))?;
            socket.set_read_timeout(Some(READ_TIMEOUT))?;
            Connection::new(socket)?
        }
    };
    let started_in = PHASE.load(Relaxed);
    let start = now_ns();
    connection.socket.write_all(&job.request)?;
    let mut head = connection
        .head()?
        .ok_or_else(|| wrong("closed without an answer"))?;
    if head.status() != 200 {
        let mut text = Vec::new();
        connection.read_body(&mut head.body, &mut text)?;
        return Err(wrong(&format!(
            "{}: {}",
            head.first_line,
            String::from_utf8_lossy(&text)
        )));
    }
    let mut check = Check::default();
    while let Some(piece) = connection.piece(&mut head.body)? {
        if job.chunks > 0 {
            check.feed(piece, job.marks, start, sample);
        } else {
            check.text.extend_from_slice(piece);
        }
    }
    check.finish(job.chunks, job.marks)?;
    if started_in != ENDING && PHASE.load(Relaxed) == MEASURING {
        sample.requests += 1;
        if started_in == MEASURING {
            sample.latency_ns.push(now_ns() - start);
        }
    }
    if head.keep_alive {
        *kept = Some(connection);
    }
    Ok(())
}

/// What has been seen of one answer.
#[derive(Default)]
struct Check {
    /// The whole plain answer, or the begun line of a stream.
    text: Vec<u8>,
    chunks: u64,
    usage: bool,
    done: bool,
}

impl Check {
    fn feed(&mut self, piece: &[u8], marks: Marks, start: u64, sample: &mut Sample) {
        let now = now_ns();
        let measuring = PHASE.load(Relaxed) == MEASURING;
        let mut rest = piece;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let line: &[u8] = if self.text.is_empty() {
                &rest[..at]
            } else {
                self.text.extend_from_slice(&rest[..at]);
                &self.text
            };
            match Line::read(line, marks) {
                Line::Chunk(sent) => {
                    self.chunks += 1;
                    if measuring {
                        sample.chunks += 1;
                        sample.chunk_delay_ns.push(now.saturating_sub(sent));
                        if self.chunks == 1 {
                            sample.first_chunk_ns.push(now - start);
                        }
                    }
                }
                Line::Usage => self.usage = true,
                Line::Done => self.done = true,
                Line::Other => {}
            }
            self.text.clear();
            rest = &rest[at + 1..];
        }
        self.text.extend_from_slice(rest);
    }

    fn finish(&self, chunks: u64, marks: Marks) -> io::Result<()> {
        if chunks == 0 {
            let whole =
                find(&self.text, b"lazy dog").is_some() && find(&self.text, marks.usage).is_some();
            return if whole {
                Ok(())
            } else {
                Err(wrong("an answer without its text or usage"))
            };
        }
        if self.chunks == chunks && self.usage && self.done {
            return Ok(());
        }
        Err(wrong(&format!(
            "a stream with {} of {chunks} chunks, usage {}, end mark {}",
            self.chunks, self.usage, self.done
        )))
    }
}

enum Line {
    Chunk(u64),
    Usage,
    Done,
    Other,
}

impl Line {
    fn read(line: &[u8], marks: Marks) -> Line {
        if !line.starts_with(b"data:") {
            return Line::Other;
        }
        if let Some(at) = find(line, b"\"t=") {
            let digits = line[at + 3..]
                .iter()
                .take_while(|byte| byte.is_ascii_digit());
            return Line::Chunk(digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')));
        }
        if find(line, marks.usage).is_some() {
            return Line::Usage;
        }
        if find(line, marks.end).is_some() {
            Line::Done
        } else {
            Line::Other
        }
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl Sample {
    fn add(&mut self, other: Sample) {
        self.requests += other.requests;
        self.chunks += other.chunks;
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.latency_ns.extend(other.latency_ns);
        self.first_chunk_ns.extend(other.first_chunk_ns);
        self.chunk_delay_ns.extend(other.chunk_delay_ns);
    }
}

/// The processes whose CPU is read.
struct Probe {
    target: Vec<i32>,
    tools: Vec<i32>,
}

/// CPU of the target, of mock and client, and of the whole machine; the target's resident memory.
#[derive(Default)]
struct Usage {
    target_ns: u64,
    tools_ns: u64,
    machine_ns: u64,
    rss_kb: u64,
}

impl Probe {
    fn read(&self) -> Usage {
        Usage {
            target_ns: self
                .target
                .iter()
                .filter_map(|pid| process_cpu_ns(*pid))
                .sum(),
            tools_ns: self
                .tools
                .iter()
                .filter_map(|pid| process_cpu_ns(*pid))
                .sum(),
            machine_ns: machine_busy_ns(),
            rss_kb: self.target.iter().map(|pid| rss_kb(*pid)).sum(),
        }
    }
}

/// A process and all its descendants; nothing for process 0, which stands for none.
fn process_tree(root: i32) -> Vec<i32> {
    if root == 0 {
        return Vec::new();
    }
    let parents: Vec<(i32, i32)> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid: i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // The name may hold spaces and brackets; the parent is the second field after the last bracket.
            let parent = stat
                .rsplit(')')
                .next()?
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(parent) = tree.get(next).copied() {
        tree.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    tree
}

fn rss_kb(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Time all cores together have not been idle, in the kernel's ticks of 10 ms.
fn machine_busy_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or("")
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal
    let busy = fields
        .iter()
        .take(8)
        .enumerate()
        .filter(|(index, _)| ![3, 4].contains(index));
    busy.map(|(_, ticks)| ticks).sum::<u64>() * 10_000_000
}

fn percentiles(mut samples: Vec<u64>) -> String {
    samples.sort_unstable();
    let at = |share: f64| {
        let index = (samples.len() as f64 * share) as usize;
        samples
            .get(index.min(samples.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0) as f64
            / 1000.0
    };
    format!(
        r#"{{"count":{},"p50":{},"p90":{},"p99":{},"max":{}}}"#,
        samples.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    )
}

fn report(sample: Sample, seconds: f64, before: &Usage, after: &Usage) -> String {
    let failure = sample.first_failure.unwrap_or_default();
    let failure = failure
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace(|c: char| c.is_control(), " ");
    format!(
        r#"{{"seconds":{seconds},"requests":{},"chunks":{},"failures":{},"first_failure":"{failure}","cpu_us":{},"cpu_since_start_us":{},"tools_cpu_us":{},"machine_cpu_us":{},"rss_kb":{},"latency_us":{},"first_chunk_us":{},"chunk_delay_us":{}}}"#,
        sample.requests,
        sample.chunks,
        sample.failures,
        (after.target_ns - before.target_ns) / 1000,
        after.target_ns / 1000,
        (after.tools_ns - before.tools_ns) / 1000,
        (after.machine_ns.saturating_sub(before.machine_ns)) / 1000,
        after.rss_kb,
        percentiles(sample.latency_ns),
        percentiles(sample.first_chunk_ns),
        percentiles(sample.chunk_delay_ns),
    )
}
