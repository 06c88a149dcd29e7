//! Tests of this format: recorded traffic, our own cases, and bodies that were spoilt.

use serde_json::{Value, json};

use super::*;
use crate::{
    chat::{
        Answer, Block, Choice, Collector, Delta, Event, Extra, Finish, FinishReason, Format, Part, PartKind, Reasoning,
        Request, Role, Tool, Turn,
    },
    dialect::{Frame, Names, Target, testing::records},
    error::{Error, ErrorKind},
    framing::sse::{self, Splitter},
};

const TARGET: Target<'static> = Target { model: "m", quirks: &[], longest: None, model_longest: None };

fn names() -> Names {
    Names { id: "gen-1".to_owned(), model: "a/b".to_owned(), provider: "P".to_owned(), created: 7, ..Names::default() }
}

fn events(stream: &[u8], piece: usize) -> Vec<Event> {
    let (mut splitter, mut decoder, mut out) = (Splitter::default(), Decoder::new(), Vec::new());
    for chunk in stream.chunks(piece) {
        let each = |event: &[u8]| {
            if let Some(data) = sse::data(event) {
                decoder.push(&Frame { event: None, data: &data.bytes }, &mut out);
            }
        };
        splitter.push(chunk, each).unwrap();
    }
    decoder.finish(&mut out);
    out
}

fn collected(events: &[Event]) -> Result<Answer, ProviderError> {
    let mut collector = Collector::default();
    for event in events {
        collector.push(event.clone());
    }
    collector.finish()
}

fn written(events: &[Event]) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(names()), Vec::new());
    for event in events {
        encoder.push(event, &mut out);
    }
    let usage = events.iter().rev().find_map(|event| if let Event::Usage(usage) = event { Some(usage) } else { None });
    encoder.end(usage, json!({ "cost": 0.5 }).as_object().unwrap().clone(), &mut out);
    out
}

fn chunks(stream: &[u8]) -> Vec<Value> {
    let text = String::from_utf8(stream.to_vec()).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok()).collect()
}

/// Text, finish reason and count of probabilities by choice, then the tokens used.
type Gist = (Vec<(String, Option<String>, usize)>, Option<(u64, u64)>);

fn walked(bodies: &[Value]) -> Gist {
    let mut gist = Gist::default();
    for body in bodies {
        for choice in body["choices"].as_array().into_iter().flatten() {
            let at = usize::try_from(choice["index"].as_u64().unwrap()).unwrap();
            gist.0.resize_with(gist.0.len().max(at + 1), Default::default);
            let said = &mut gist.0[at];
            said.0.push_str(choice["text"].as_str().unwrap());
            said.1 = choice["finish_reason"].as_str().map(str::to_owned).or(said.1.take());
            said.2 += choice["logprobs"]["tokens"].as_array().map_or(0, Vec::len);
        }
        let usage = &body["usage"];
        gist.1 = usage["prompt_tokens"].as_u64().zip(usage["completion_tokens"].as_u64()).or(gist.1);
    }
    gist
}

fn said(answer: &Answer) -> Gist {
    let choice = |choice: &Choice| {
        let text = choice.parts.iter().map(|part| match &part.kind {
            PartKind::Text { text, .. } => text.as_str(),
            other => panic!("{other:?}"),
        });
        let logprobs = choice.logprobs.as_ref().map_or(0, |logprobs| logprobs["content"].as_array().unwrap().len());
        (text.collect(), choice.finish.as_ref().map(|finish| finish.reason.as_str().to_owned()), logprobs)
    };
    let usage = answer.usage.as_ref().map(|usage| (usage.tokens.prompt, usage.tokens.completion));
    (answer.choices.iter().map(choice).collect(), usage)
}

/// Requests that are refused as their provider refused them, and the field at fault.
const REFUSED: [(&str, &str); 1] = [("openai/completions-unary-error-6cf93b03", "max_tokens")];

#[test]
fn every_recorded_exchange_keeps_its_meaning() {
    let (mut requests, mut answers, mut streams, mut errors) = (0, 0, 0, 0);
    for record in records("openai.completions") {
        let mut was = record.request.clone();
        let request = decode_request(record.request);
        if let Some((_, field)) = REFUSED.iter().find(|(name, _)| *name == record.name) {
            assert_eq!(request.unwrap_err().param.as_deref(), Some(*field));
            assert_eq!(
                read_error(record.status, record.body.unwrap().to_string().as_bytes()).param.as_deref(),
                Some(*field)
            );
            continue;
        }
        let body = encode_request(&request.unwrap(), &TARGET).unwrap();
        assert!(body.losses.list().is_empty());
        let was = was.as_object_mut().unwrap();
        was.retain(|_, value| !value.is_null() && *value != json!(false) || value.is_boolean());
        was.insert("model".to_owned(), "m".into());
        if let Some(word) = was.get("stop").filter(|stop| stop.is_string()).cloned() {
            was.insert("stop".to_owned(), json!([word]));
        }
        if was.get("stream") == Some(&json!(true)) {
            was.insert("stream_options".to_owned(), json!({ "include_usage": true }));
        } else {
            was.shift_remove("stream");
        }
        assert_eq!(body.body, Value::Object(was.clone()), "{}", record.name);
        requests += 1;
        match (record.status, record.body, record.text) {
            (200, Some(body), _) => {
                let expected = walked(std::slice::from_ref(&body));
                let answer = decode_answer(body).unwrap();
                assert_eq!(said(&answer), expected, "{}", record.name);
                assert_eq!(walked(&[encode_answer(&answer, &names())]), expected, "{}", record.name);
                answers += 1;
            }
            (200, None, Some(text)) => {
                let seen = events(text.as_bytes(), text.len());
                for piece in [1, 7, 100] {
                    assert_eq!(events(text.as_bytes(), piece), seen, "{}", record.name);
                }
                let expected = walked(&chunks(text.as_bytes()));
                let out = written(&seen);
                assert_eq!(said(&collected(&seen).unwrap()), expected, "{}", record.name);
                assert_eq!(walked(&chunks(&out)), expected, "{}", record.name);
                assert_eq!(said(&collected(&events(&out, 30)).unwrap()), expected, "{}", record.name);
                streams += 1;
            }
            (status, body, text) => {
                let body = body.map(|body| body.to_string()).or(text).unwrap();
                assert!(read_error(status, body.as_bytes()).message.is_some(), "{}", record.name);
                errors += 1;
            }
        }
    }
    println!("{requests} requests, {answers} answers, {streams} streams, {errors} errors");
}

#[test]
fn a_prompt_is_a_users_turn() {
    let body = json!({ "model": "a/b", "prompt": ["hi"], "logprobs": 0, "suffix": "x", "best_of": 2, "max_tokens": 5 });
    let request = decode_request(body).unwrap();
    assert_eq!(request.turns, [Turn::new(Role::User, vec![Part::text("hi")])]);
    assert_eq!((request.sampling.logprobs, request.sampling.top_logprobs), (Some(true), Some(0)));
    assert_eq!(request.extra.members.keys().collect::<Vec<_>>(), ["suffix", "best_of"]);
    let back = encode_request(&request, &TARGET).unwrap().body;
    assert_eq!(
        back,
        json!({ "model": "m", "prompt": "hi", "logprobs": 0, "max_tokens": 5, "suffix": "x", "best_of": 2 })
    );
}

#[test]
fn token_numbers_are_this_formats_own() {
    for prompt in [json!([1, 2]), json!([[1, 2]])] {
        let request = decode_request(json!({ "prompt": prompt })).unwrap();
        let numbers = PartKind::Foreign(Wire::OpenaiCompletions, json!([1, 2]));
        assert_eq!(request.turns, [Turn::new(Role::User, vec![Part::new(numbers)])]);
        assert_eq!(encode_request(&request, &TARGET).unwrap().body["prompt"], json!([1, 2]));
    }
}

#[test]
fn what_is_wrong_names_its_field() {
    for (body, field) in [
        (json!({}), "prompt"),
        (json!({ "prompt": 5 }), "prompt"),
        (json!({ "prompt": [] }), "prompt"),
        (json!({ "prompt": ["a", "b"] }), "prompt"),
        (json!({ "prompt": [{}] }), "prompt[0]"),
        (json!({ "prompt": "a", "logprobs": true }), "logprobs"),
        (json!({ "prompt": "a", "stop": {} }), "stop"),
    ] {
        assert_eq!(decode_request(body.clone()).unwrap_err().param.as_deref(), Some(field), "{body}");
    }
}

#[test]
fn a_conversation_is_a_prompt_as_far_as_it_is_one_question() {
    let turn = |role, text: &str| Turn::new(role, vec![Part::text(text)]);
    let request = Request { turns: vec![turn(Role::System, "be brief"), turn(Role::User, "hi")], ..Request::default() };
    let encoded = encode_request(&request, &TARGET).unwrap();
    assert_eq!(
        (&encoded.body["prompt"], encoded.losses.list()[0].field.as_str()),
        (&json!("be brief\n\nhi"), "messages[0].role")
    );
    let tool = Tool::Foreign(Wire::OpenaiChat, json!({}));
    let picture = Part::new(PartKind::Foreign(Wire::Gemini, json!({})));
    for (request, field) in [
        (
            Request { turns: vec![turn(Role::Assistant, "a"), turn(Role::User, "b")], ..Request::default() },
            "messages[0]",
        ),
        (Request { turns: vec![turn(Role::User, "a"), turn(Role::User, "b")], ..Request::default() }, "messages[0]"),
        (Request { turns: vec![Turn::new(Role::User, vec![picture])], ..Request::default() }, "messages[0].content[0]"),
        (Request { tools: vec![tool], ..request.clone() }, "tools"),
        (Request { format: Format::Json, ..request.clone() }, "response_format"),
        (Request { modalities: vec!["audio".to_owned()], ..request.clone() }, "modalities"),
    ] {
        assert_eq!(encode_request(&request, &TARGET).unwrap_err().param.as_deref(), Some(field));
    }
}

#[test]
fn probabilities_change_their_form_and_back() {
    let own = json!({ "tokens": ["é", "b"], "token_logprobs": [-0.5, null], "top_logprobs": [{ "é": -0.5 }, null], "text_offset": [0, 1] });
    let chat = logprobs::to_chat(&own).unwrap();
    let first = json!({ "token": "é", "logprob": -0.5, "bytes": [195, 169] });
    assert_eq!(chat["content"][0]["top_logprobs"], json!([first]));
    assert_eq!(logprobs::from_chat(&chat, &mut 0), own);
    let bare = json!({ "content": [{ "token": "a", "logprob": -1, "top_logprobs": [] }] });
    assert_eq!(logprobs::from_chat(&bare, &mut 0)["top_logprobs"], json!(null));
}

#[test]
fn a_client_sees_words_thoughts_and_the_end() {
    let thought = Reasoning { text: Some("hm".to_owned()), ..Reasoning::default() };
    let parts =
        vec![Part::new(PartKind::Reasoning(thought)), Part::text("a"), Part::new(PartKind::Refusal("b".to_owned()))];
    let finish = Some(Finish::new(FinishReason::Length, "max_tokens"));
    let choice = Choice { parts, finish, logprobs: None, extra: Extra::default() };
    let body = encode_answer(&Answer { choices: vec![choice], ..Answer::default() }, &names());
    assert_eq!(
        (&body["object"], &body["id"], &body["created"]),
        (&json!("text_completion"), &json!("gen-1"), &json!(7))
    );
    assert_eq!(
        body["choices"],
        json!([{ "index": 0, "text": "ab", "logprobs": null, "finish_reason": "length", "native_finish_reason": "max_tokens", "reasoning": "hm" }])
    );
}

#[test]
fn a_client_sees_summaries_of_thoughts_where_there_is_no_more() {
    let summary = vec!["One".to_owned(), "Two".to_owned()];
    let thought = Part::new(PartKind::Reasoning(Reasoning { summary, ..Reasoning::default() }));
    let choice = Choice { parts: vec![thought], finish: None, logprobs: None, extra: Extra::default() };
    let body = encode_answer(&Answer { choices: vec![choice], ..Answer::default() }, &names());
    assert_eq!(body["choices"][0]["reasoning"], "One\n\nTwo");
    let delta = |paragraph, text: &str| Event::Delta { block: 0, delta: Delta::Summary(paragraph, text.to_owned()) };
    let kind = Block::Reasoning { id: None, format: None };
    let open = Event::Open { block: 0, choice: 0, kind };
    let stream =
        written(&[open, delta(0, "O"), delta(0, "ne"), delta(1, "T"), delta(1, "wo"), Event::Close { block: 0 }]);
    let told: String = chunks(&stream)
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["reasoning"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(told, "One\n\nTwo");
}

#[test]
fn a_stream_ends_properly_or_with_an_error() {
    let chunk = |choice: Value| format!("data: {}\n\n", json!({ "id": "c", "choices": [choice] }));
    let words = chunk(json!({ "index": 0, "text": "a", "finish_reason": null }));
    let end = chunk(json!({ "index": 0, "text": "", "finish_reason": "stop" }));
    assert!(collected(&events((words.clone() + &end).as_bytes(), 5)).is_ok());
    for broken in [
        words.clone(),
        String::new(),
        "data: [DONE]\n\n".to_owned(),
        words.clone() + "data: {\n\n",
        words + "data: {\"error\":\"x\"}\n\n",
    ] {
        assert!(collected(&events(broken.as_bytes(), 5)).is_err(), "{broken}");
    }
    let mut out = Vec::new();
    Encoder::new(names()).fail(&Error::new(ErrorKind::ProviderTimeout, "slow"), &mut out);
    assert_eq!(chunks(&out)[0]["error"]["code"], 504);
    assert!(!String::from_utf8(out).unwrap().contains("[DONE]"));
    assert_eq!(write_error(&Error::invalid("prompt", "bad"))["error"]["param"], "prompt");
}

#[test]
fn spoilt_bodies_do_no_harm() {
    let put = [json!(null), json!(""), json!(-1), json!([]), json!({}), json!([[1, "a"]]), json!(true)];
    let answer = json!({ "id": "x", "created": 1, "choices": [{ "index": 0, "text": "a", "finish_reason": "stop", "logprobs": { "tokens": ["a"], "token_logprobs": [1] } }], "usage": { "prompt_tokens": 1 } });
    let request = json!({ "prompt": "a", "stop": "x", "logprobs": 1, "n": 1, "logit_bias": {}, "temperature": 1 });
    for value in &put {
        for path in [
            "/id",
            "/choices",
            "/choices/0",
            "/choices/0/text",
            "/choices/0/index",
            "/choices/0/logprobs",
            "/choices/0/logprobs/tokens",
            "/usage",
            "/usage/prompt_tokens",
        ] {
            let mut body = answer.clone();
            *body.pointer_mut(path).unwrap() = value.clone();
            let seen = events(format!("data: {body}\n\ndata: [DONE]\n\n").as_bytes(), 100);
            written(&seen);
            if let Ok(answer) = decode_answer(body) {
                encode_answer(&answer, &names());
            }
        }
        for key in request.as_object().unwrap().keys() {
            let mut body = request.clone();
            body[key] = value.clone();
            if let Ok(request) = decode_request(body) {
                drop(encode_request(&request, &TARGET));
            }
        }
    }
}
