//! Providers by script: what they answer, what they bill, and what they say of it.

use serde_json::json;

use crate::{draw::Draw, faults::Faults};

/// What a provider says of what was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    Truth,
    /// In two chunks.
    Twice,
    Nothing,
    Negative,
    NotANumber,
    Huge,
    /// The largest number that is believed.
    Edge,
}

/// How an attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goes {
    Well,
    Refused,
    /// It never answers.
    Hangs,
    Status(u16),
    Garbage,
    /// A stream is cut in the middle.
    Cut,
    /// A stream says nothing more, from the middle on.
    Stalls,
}

/// What a provider does with one call.
#[derive(Clone, Debug)]
pub struct Script {
    pub goes: Goes,
    pub says: Says,
    pub prompt: i64,
    pub completion: i64,
    /// Bills no more than the request allows it to.
    pub honest: bool,
    /// Bills what it writes, and writes more than it was asked for.
    pub wordy: bool,
    /// Of a stream: pieces to come, and tokens of each.
    pub pieces: i64,
    pub piece: i64,
    pub sent: i64,
    pub pace: i64,
}

impl Script {
    /// For a call of so many bytes that asks for at most so many tokens.
    pub fn draw(draw: &mut Draw, faults: &Faults, model: usize, bytes: usize, most: i64, stream: bool) -> Self {
        let goes = if draw.chance(faults.provider_fails) {
            *draw.pick(&[
                Goes::Refused,
                Goes::Hangs,
                Goes::Status(500),
                Goes::Status(429),
                Goes::Garbage,
                Goes::Cut,
                Goes::Stalls,
            ])
        } else {
            Goes::Well
        };
        let says = if draw.chance(faults.usage_ill) {
            *draw.pick(&[
                Says::Twice,
                Says::Nothing,
                Says::Negative,
                Says::NotANumber,
                Says::Huge,
                Says::Nothing,
                Says::Edge,
            ])
        } else {
            Says::Truth
        };
        let wordy = stream && draw.chance(faults.overbills / 2.0);
        let dishonest = !wordy && draw.chance(faults.overbills);
        // Tokens a byte: each model its own, at most one for every two bytes.
        let per_mille = 150 + 110 * model as i64;
        let mut prompt = bytes as i64 * per_mille / 1_000;
        let mut completion = draw.wide(1, most.max(1)).min(most.max(1));
        if draw.chance(0.3) {
            completion = most.max(1);
        }
        let mut piece = if dishonest { draw.range(1, 600) } else { draw.range(4, 22) };
        let mut pieces = (completion / piece).clamp(1, 120);
        if wordy {
            (piece, pieces) = (draw.range(20, 60), draw.range(20, 120));
            completion = pieces * piece;
        } else if stream {
            completion = (pieces * piece).min(completion.max(1));
        }
        if dishonest {
            prompt = prompt * draw.range(1, 4) + draw.range(0, 50);
            completion = completion * draw.range(1, 3) + draw.range(0, 300);
        }
        let mut pace = draw.wide(1, 3_000);
        if draw.chance(0.1) {
            // Long enough for half a minute to pass after a stop.
            pace = 90_000 / pieces;
        }
        let honest = !dishonest && !wordy && says == Says::Truth;
        Self { goes, says, prompt, completion, honest, wordy, pieces, piece, sent: 0, pace }
    }

    fn usage(&self) -> String {
        match self.says {
            Says::Nothing => "null".to_owned(),
            Says::Negative => {
                json!({ "prompt_tokens": -self.prompt, "completion_tokens": self.completion }).to_string()
            }
            Says::NotANumber => r#"{"prompt_tokens":"NaN","completion_tokens":1}"#.to_owned(),
            Says::Huge => r#"{"prompt_tokens":9007199254740993,"completion_tokens":18446744073709551615}"#.to_owned(),
            Says::Edge => r#"{"prompt_tokens":100000000,"completion_tokens":100000000}"#.to_owned(),
            Says::Truth | Says::Twice => {
                let total = self.prompt + self.completion;
                json!({ "prompt_tokens": self.prompt, "completion_tokens": self.completion, "total_tokens": total })
                    .to_string()
            }
        }
    }

    /// A whole answer.
    pub fn answer(&self) -> String {
        if self.goes == Goes::Garbage {
            return "<html>".to_owned();
        }
        format!(
            r#"{{"id":"up","choices":[{{"index":0,"message":{{"role":"assistant","content":"x"}},"finish_reason":"stop"}}],"usage":{}}}"#,
            self.usage()
        )
    }

    /// The next bytes of a stream; nothing once it is over.
    pub fn chunk(&mut self) -> Option<String> {
        self.sent += 1;
        if self.goes == Goes::Garbage {
            return (self.sent == 1).then(|| "data: {\"nonsense\n\n".to_owned());
        }
        if self.sent <= self.pieces {
            // Four bytes a token: the gateway counts one for every three, and so rather too many.
            let text = "x".repeat((self.piece * 4).min(4_000) as usize);
            return Some(format!(
                "data: {{\"id\":\"up\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
            ));
        }
        if self.sent > self.pieces + 1 {
            return None;
        }
        let end = format!(
            "data: {{\"id\":\"up\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}],\"usage\":{}}}\n\n",
            self.usage()
        );
        let again = if self.says == Says::Twice { end.as_str() } else { "" };
        Some(format!("{end}{again}data: [DONE]\n\n"))
    }
}
