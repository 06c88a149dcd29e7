//! What a request of either format spells alike: the parameters of sampling, `stop`, and the members that
//! are for the gateway alone.
//!
//! `top_k`, `min_p` and `repetition_penalty` are not OpenAI's: OpenRouter and the servers of open models
//! (`vLLM`, `SGLang`, llama.cpp, Together, Fireworks, DeepInfra) take them, and OpenAI, Groq, Mistral and
//! others answer 400. They are sent to a provider whose row has the quirk `open_sampling` (or
//! `openrouter`), and are losses elsewhere. Mistral calls the seed `random_seed` (quirk of that name).

use serde_json::{Map, Number, Value};

use super::Members;
use crate::{
    chat::{Losses, Sampling},
    dialect::call::GATEWAY_OWNED,
    error::Result,
};

/// Takes out what the gateway itself has acted on: it asks nothing of a provider.
pub fn take_owned(body: &mut Members) {
    for member in GATEWAY_OWNED.iter().chain(&["stream_options"]) {
        body.take(member);
    }
}

/// Words that end the answer: one, or a list.
pub fn read_stop(body: &mut Members) -> Result<Vec<String>> {
    match body.take("stop") {
        Some(Value::String(word)) => Ok(vec![word]),
        Some(other) => {
            body.put_back("stop", other);
            body.strings("stop")
        }
        None => Ok(Vec::new()),
    }
}

/// Takes them out of a request; `logprobs` is left, because the formats differ there.
pub fn read_sampling(body: &mut Members) -> Result<Sampling> {
    let random_seed = body.number("random_seed")?;
    Ok(Sampling {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        top_k: body.number("top_k")?,
        min_p: body.number("min_p")?,
        frequency_penalty: body.number("frequency_penalty")?,
        presence_penalty: body.number("presence_penalty")?,
        repetition_penalty: body.number("repetition_penalty")?,
        seed: body.number("seed")?.or(random_seed),
        logit_bias: body.object("logit_bias")?.map(|bias| Value::Object(bias.rest())),
        logprobs: None,
        top_logprobs: None,
    })
}

/// Writes them into a request, `logprobs` excepted.
pub fn write_sampling(
    sampling: &Sampling,
    quirk: impl Fn(&str) -> bool,
    body: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    let Sampling {
        temperature,
        top_p,
        top_k,
        min_p,
        frequency_penalty,
        presence_penalty,
        repetition_penalty,
        seed,
        logit_bias,
        logprobs: _,
        top_logprobs: _,
    } = sampling;
    let open = quirk("open_sampling") || quirk("openrouter");
    let seed_name = if quirk("random_seed") { "random_seed" } else { "seed" };
    let numbers: [(&str, &Option<Number>, bool); 8] = [
        ("temperature", temperature, true),
        ("top_p", top_p, true),
        ("top_k", top_k, open),
        ("min_p", min_p, open),
        ("frequency_penalty", frequency_penalty, true),
        ("presence_penalty", presence_penalty, true),
        ("repetition_penalty", repetition_penalty, open),
        (seed_name, seed, true),
    ];
    for (name, number, known) in numbers {
        match number {
            Some(number) if known => {
                body.insert(name.to_owned(), Value::Number(number.clone()));
            }
            Some(_) => losses.add(name),
            None => {}
        }
    }
    if let Some(bias) = logit_bias {
        body.insert("logit_bias".to_owned(), bias.clone());
    }
}
