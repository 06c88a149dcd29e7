//! Pictures and sounds.

use serde_json::json;

use super::*;
use crate::{
    dialect::single::{Place, Units},
    framing::multipart,
    provider::google::Verb,
    routing::fallback::Cause,
};

fn image(body: &str) -> Call<'_> {
    parse(Kind::Images, Head::default(), body.as_bytes()).unwrap()
}

#[test]
fn pictures_are_asked_for() {
    let body = r#"{"model":"x/y","prompt":"a cat","size":"1536x1024","resolution":"2K","quality":"high","n":1,"user":"u","input_references":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}"#;
    let call = image(body);
    assert_eq!((call.asked().units, call.asked().weight.media), (Units { images: 1, ..Units::default() }, 1));
    let chat = quirks(&["images_in_chat", "openrouter"]);
    let openai = call.encode(Dialect::Openai, &target("m", &[])).unwrap();
    assert_eq!((openai.place, &sent(body, &openai)["model"]), (Place::Below("/images/generations"), &json!("m")));
    let router = call.encode(Dialect::Openai, &target("m", &quirks(&["openrouter"]))).unwrap();
    assert_eq!(router.place, Place::Below("/images"));
    let gemini = call.encode(Dialect::Gemini, &target("m", &[])).unwrap();
    assert_eq!((gemini.place, lost(&gemini)), (Place::Google(Verb::Generate), vec!["quality"]));
    let written = sent(body, &gemini);
    assert_eq!(written["generationConfig"]["imageConfig"], json!({"aspectRatio": "3:2", "imageSize": "2K"}));
    assert_eq!(written["generationConfig"]["responseModalities"], json!(["TEXT", "IMAGE"]));
    assert_eq!(written["contents"][0]["parts"][0]["inlineData"]["data"], "AAAA");
    assert_eq!(written["contents"][0]["parts"][1]["text"], "a cat");
    let talk = call.encode(Dialect::Openai, &target("m", &chat)).unwrap();
    assert_eq!((talk.place, lost(&talk)), (Place::Below("/chat/completions"), vec!["quality"]));
    let written = sent(body, &talk);
    assert_eq!((&written["modalities"], &written["user"]), (&json!(["text", "image"]), &json!("u")));
    assert_eq!(written["image_config"], json!({"aspect_ratio": "3:2", "image_size": "2K"}));
    for (body, dialect, param) in [
        (r#"{"model":"x","prompt":"a","n":2}"#, Dialect::Gemini, "n"),
        (r#"{"model":"x","prompt":"a","background":"transparent"}"#, Dialect::Gemini, "background"),
        (r#"{"model":"x","prompt":"a"}"#, Dialect::Cohere, "model"),
        (r#"{"model":"x","prompt":"a","input_references":[7]}"#, Dialect::Gemini, "input_references[0]"),
    ] {
        assert_eq!(image(body).encode(dialect, &target("m", &[])).unwrap_err().param.as_deref(), Some(param), "{body}");
    }
    for (body, param) in [
        (r#"{"model":"x"}"#, "prompt"),
        (r#"{"model":"x","prompt":""}"#, "prompt"),
        (r#"{"model":"x","prompt":"a","n":11}"#, "n"),
        (r#"{"model":"x","prompt":"a","stream":true}"#, "stream"),
        (r#"{"prompt":"a"}"#, "model"),
    ] {
        let error = parse(Kind::Images, Head::default(), body.as_bytes()).unwrap_err();
        assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{body}");
    }
    for (size, ratio) in [("1024x1024", "1:1"), ("1792x1024", "16:9"), ("1024x1792", "9:16"), ("832x1248", "2:3")] {
        let body = json!({"model": "x", "prompt": "a", "size": size}).to_string();
        let gemini = image(&body).encode(Dialect::Gemini, &target("m", &[])).unwrap();
        assert_eq!(sent(&body, &gemini)["generationConfig"]["imageConfig"]["aspectRatio"], ratio, "{size}");
    }
    for size in ["0x0", "big", "1x", "99999999999999999999x1"] {
        let body = json!({"model": "x", "prompt": "a", "size": size}).to_string();
        assert_eq!(lost(&image(&body).encode(Dialect::Gemini, &target("m", &[])).unwrap()), ["size"]);
    }
}

#[test]
fn pictures_come_with_what_they_cost() {
    let pricing = r#"{"prompt":"0.000001","completion":"0.000002","image_output":"0.00003","image_generated":"0.04"}"#;
    let none = quirks(&[]);
    let chat = quirks(&["images_in_chat"]);
    let tokens = json!({"input_tokens": 10, "output_tokens": 100, "total_tokens": 110, "input_tokens_details": {"text_tokens": 10, "image_tokens": 0}});
    let by_chat = json!({"choices": [{"message": {"role": "assistant", "content": "", "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110, "completion_tokens_details": {"image_tokens": 100}}});
    let gemini = json!({"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 100, "totalTokenCount": 110, "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 100}]}});
    for (dialect, names, answer, item, cost) in [
        (
            Dialect::Openai,
            &none,
            json!({"created": 1, "data": [{"b64_json": "AAAA"}], "usage": tokens}),
            json!({"b64_json": "AAAA"}),
            0.04301,
        ),
        (Dialect::Openai, &none, json!({"data": [{"url": "u"}, {"url": "v"}]}), json!({"url": "u"}), 0.080_009),
        (Dialect::Openai, &chat, by_chat, json!({"b64_json": "AAAA", "media_type": "image/png"}), 0.04301),
        (Dialect::Gemini, &none, gemini.clone(), json!({"b64_json": "AAAA", "media_type": "image/png"}), 0.04301),
    ] {
        let answer = answer.to_string();
        let call = image(r#"{"model":"x","prompt":"a"}"#);
        let read =
            call.wanted().read_answer(dialect, &target("m", names), answer.as_bytes(), &finish_at(pricing)).unwrap();
        let out = given(answer.as_bytes(), &read);
        assert_eq!((&out["data"][0], &out["usage"]["cost"]), (&item, &json!(cost)), "{answer}");
        assert!(out["created"].is_number());
        if !read.facts.usage.estimated {
            assert_eq!(
                (&out["usage"]["output_tokens"], &out["usage"]["completion_tokens"]),
                (&json!(100), &json!(100)),
                "{answer}"
            );
        }
    }
    let urls = image(r#"{"model":"x","prompt":"a","response_format":"url"}"#);
    let read = urls
        .wanted()
        .read_answer(Dialect::Gemini, &target("m", &none), gemini.to_string().as_bytes(), &finish())
        .unwrap();
    assert_eq!(given(b"", &read)["data"][0]["url"], "data:image/png;base64,AAAA");
    let words = json!({"candidates": [{"content": {"parts": [{"text": "I will not."}]}, "finishReason": "STOP"}]});
    let (cause, error) = urls
        .wanted()
        .read_answer(Dialect::Gemini, &target("m", &none), words.to_string().as_bytes(), &finish())
        .unwrap_err();
    assert_eq!(cause, Cause::ErrorInBody(Some(400)));
    assert!(error.message.unwrap().ends_with("I will not."));
    for bad in ["{}", r#"{"data":[]}"#, r#"{"data":[{}]}"#, "x"] {
        let read = urls.wanted().read_answer(Dialect::Openai, &target("m", &none), bad.as_bytes(), &finish());
        assert_eq!(read.unwrap_err().0, Cause::Malformed, "{bad}");
    }
}

#[test]
fn speech_is_paid_by_what_was_to_be_said() {
    let body = r#"{"model":"x/y","input":"h\u00e9llo","voice":"alloy","speed":1.5,"stream_format":"audio","provider":{"only":["p"]}}"#;
    let call = parse(Kind::Speech, Head::default(), body.as_bytes()).unwrap();
    assert_eq!(call.asked().units.characters, 5);
    assert_eq!(call.asked().parameters, ["voice", "speed"]);
    let outbound = call.encode(Dialect::AzureOpenai, &target("tts", &[])).unwrap();
    assert_eq!(outbound.place, Place::Below("/audio/speech"));
    assert_eq!(
        sent(body, &outbound),
        json!({"model": "tts", "input": "héllo", "voice": "alloy", "speed": 1.5, "stream_format": "audio"})
    );
    let priced = finish_at(r#"{"prompt":"0","completion":"0","character":"0.000015"}"#);
    let made = call.wanted().unread(&priced).unwrap();
    assert_eq!((made.cost.unwrap().total.to_json(), made.facts.usage.tokens.characters), (json!(0.000_075), 5));
    let turns = r#"{"model":"x","input":[{"speaker":"a","text":"abc"},{"speaker":"b","text":"de"}]}"#;
    assert_eq!(parse(Kind::Speech, Head::default(), turns.as_bytes()).unwrap().asked().units.characters, 5);
    for (body, param) in [
        (r#"{"model":"x","input":""}"#, "input"),
        (r#"{"model":"x","input":"a","speed":9}"#, "speed"),
        (r#"{"model":"x","input":"a","stream_format":"sse"}"#, "stream_format"),
        (r#"{"input":"a"}"#, "model"),
    ] {
        let error = parse(Kind::Speech, Head::default(), body.as_bytes()).unwrap_err();
        assert_eq!((error.status(), error.param.as_deref()), (400, Some(param)), "{body}");
    }
}

fn form(fields: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, filename, value)| multipart::Field { name, filename: *filename, content_type: None, value })
        .collect();
    let (boundary, body) = multipart::write(&fields);
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// A second of silence: 16-bit mono at 8 kHz.
fn wav() -> Vec<u8> {
    let mut wav = b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00".to_vec();
    wav.extend(8_000_u32.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend(b"\x02\x00\x10\x00data\x00\x00\x00\x00");
    wav.resize(16_000, 0);
    wav
}

fn transcription<'a>(content_type: &str, body: &'a [u8]) -> Result<Call<'a>> {
    parse(Kind::Transcriptions, Head { content_type, ..Head::default() }, body)
}

#[test]
fn a_form_is_passed_on_without_what_is_the_gateways() {
    let wav = wav();
    let (content_type, body) = form(&[
        ("provider", None, br#"{"only":["p"]}"#),
        ("file", Some("a.wav"), &wav),
        ("model", None, b"x/y"),
        ("models[]", None, b"x/z"),
        ("tags", None, br#"["t"]"#),
        ("timestamp_granularities[]", None, b"word"),
        ("timestamp_granularities[]", None, b"segment"),
        ("user", None, b"u"),
    ]);
    let call = transcription(&content_type, &body).unwrap();
    let asked = call.asked();
    assert_eq!((&*asked.models, &*asked.tags), (&["x/y".to_owned(), "x/z".to_owned()][..], &["t".to_owned()][..]));
    assert_eq!(asked.preferences.only.as_deref(), Some(&["p".to_owned()][..]));
    assert_eq!(asked.parameters, ["timestamp_granularities"]);
    assert_eq!((asked.weight.media_bytes, asked.units.milliseconds), (16_000, 1_000));
    let outbound = call.encode(Dialect::Openai, &target("whisper-1", &[])).unwrap();
    assert_eq!(outbound.place, Place::Below("/audio/transcriptions"));
    let Sent::Edits(edits) = outbound.body else { panic!("edits") };
    assert!(edits.iter().all(|edit| !edit.text.contains('\n')), "an edit holds no line break");
    let sent = apply(&body, &edits);
    let boundary = multipart::boundary(&content_type).unwrap();
    let parts = multipart::parse(&sent, &boundary).unwrap();
    let names: Vec<_> = parts.iter().map(|part| (part.name.as_str(), part.value)).collect();
    assert_eq!(
        names,
        [
            ("file", wav.as_slice()),
            ("model", b"whisper-1"),
            ("timestamp_granularities[]", b"word"),
            ("timestamp_granularities[]", b"segment"),
            ("user", b"u")
        ]
    );
    assert!(call.encode(Dialect::Gemini, &target("m", &[])).is_err());
}

#[test]
fn what_is_wrong_with_a_form_names_its_field() {
    let (file, model) = (("file", Some("a.wav"), &b"x"[..]), ("model", None, &b"x/y"[..]));
    for (fields, param) in [
        (vec![model], Some("file")),
        (vec![("file", None, &b"x"[..]), model], Some("file")),
        (vec![("file", Some("a"), &b""[..]), model], Some("file")),
        (vec![file], Some("model")),
        (vec![file, model, model], Some("model")),
        (vec![file, ("model", None, &b"\xff"[..])], Some("model")),
        (vec![file, model, ("stream", None, b"true")], Some("stream")),
        (vec![file, model, ("temperature", None, b"hot")], Some("temperature")),
        (vec![file, model, ("provider", None, b"p")], Some("provider")),
        (vec![file, model, ("provider", None, br#"{"only":1}"#)], Some("provider.only")),
        (vec![file, model, ("models", None, b"x")], Some("models")),
        (vec![file, model, ("tags", None, b"[1]")], Some("tags[0]")),
    ] {
        let (content_type, body) = form(&fields);
        let error = transcription(&content_type, &body).unwrap_err();
        assert_eq!((error.status(), error.param.as_deref()), (400, param), "{error}");
    }
    let (content_type, mut body) = form(&[file, model]);
    body.truncate(body.len() - 10);
    for (content_type, body) in
        [(&*content_type, &body[..]), ("multipart/form-data", b"x"), ("multipart/form-data; boundary=zzz", b"x")]
    {
        let error = transcription(content_type, body).unwrap_err();
        assert_eq!((error.status(), error.code), (400, Some("invalid_multipart")), "{error}");
    }
}

#[test]
fn sound_in_json_becomes_a_form() {
    let body = r#"{"model":"x/y","input_audio":{"data":"AAEC","format":"mp3"},"language":"en","temperature":0.5,"timestamp_granularities":["word"],"keyterms":["k"],"tags":["t"]}"#;
    let call = transcription("application/json", body.as_bytes()).unwrap();
    assert_eq!(call.asked().weight.media_bytes, 3);
    let outbound = call.encode(Dialect::Openai, &target("whisper-1", &[])).unwrap();
    assert_eq!(lost(&outbound), ["keyterms"]);
    let Sent::Form { content_type, bytes } = &outbound.body else { panic!("a form") };
    let parts = multipart::parse(bytes, &multipart::boundary(content_type).unwrap()).unwrap();
    let seen: Vec<_> = parts.iter().map(|part| (part.name.as_str(), part.value)).collect();
    assert_eq!(
        seen,
        [
            ("model", &b"whisper-1"[..]),
            ("language", b"en"),
            ("temperature", b"0.5"),
            ("timestamp_granularities[]", b"word"),
            ("file", b"\x00\x01\x02")
        ]
    );
    assert_eq!((parts[4].filename.as_deref(), parts[4].content_type), (Some("audio.mp3"), Some("audio/mpeg")));
    let router = call.encode(Dialect::Openai, &target("m", &quirks(&["openrouter"]))).unwrap();
    assert_eq!(sent(body, &router)["input_audio"]["data"], "AAEC");
    let far = r#"{"model":"x","input_audio":{"url":"https://a/b.mp3"}}"#;
    let error = transcription("application/json", far.as_bytes())
        .unwrap()
        .encode(Dialect::Openai, &target("m", &[]))
        .unwrap_err();
    assert_eq!(error.param.as_deref(), Some("input_audio.url"));
    for (body, param) in [
        (r#"{"model":"x"}"#, "input_audio"),
        (r#"{"model":"x","input_audio":{}}"#, "input_audio.data"),
        (r#"{"model":"x","input_audio":{"data":"%"}}"#, "input_audio.data"),
        (r#"{"model":"x","input_audio":{"data":"AAAA"},"stream":true}"#, "stream"),
    ] {
        assert_eq!(
            transcription("application/json", body.as_bytes()).unwrap_err().param.as_deref(),
            Some(param),
            "{body}"
        );
    }
}

#[test]
fn transcripts_come_with_what_they_cost() {
    let pricing = r#"{"prompt":"0.000001","completion":"0.000002","audio":"0.00001","second":"0.0001"}"#;
    let wav = wav();
    for (format, answer, estimated, cost) in [
        ("json", r#"{"text":"hi","usage":{"type":"duration","seconds":20}}"#, false, Some(0.002)),
        (
            "json",
            r#"{"text":"hi","usage":{"type":"tokens","input_tokens":14,"output_tokens":4,"total_tokens":18,"input_token_details":{"audio_tokens":10,"text_tokens":4}}}"#,
            false,
            Some(0.000_212),
        ),
        ("verbose_json", r#"{"text":"hi","duration":"20.0","segments":[]}"#, false, Some(0.002)),
        ("json", r#"{"text":"hi"}"#, true, Some(0.000_109)),
        ("srt", "1\n00:00:00,000 --> 00:00:01,000\nhi\n", true, None),
    ] {
        let (content_type, body) =
            form(&[("file", Some("a.wav"), &wav), ("model", None, b"x"), ("response_format", None, format.as_bytes())]);
        let call = transcription(&content_type, &body).unwrap();
        let read = call
            .wanted()
            .read_answer(Dialect::Openai, &target("m", &[]), answer.as_bytes(), &finish_at(pricing))
            .unwrap();
        assert_eq!(read.facts.usage.estimated, estimated, "{answer}");
        match cost {
            Some(cost) => {
                let out = given(answer.as_bytes(), &read);
                assert_eq!((&out["text"], &out["usage"]["cost"]), (&json!("hi"), &json!(cost)), "{answer}");
            }
            None => assert_eq!(read.body, Given::Edits(Vec::new())),
        }
        for bad in ["{}", r#"{"text":7}"#, r#"{"error":"no"}"#] {
            assert!(
                call.wanted().read_answer(Dialect::Openai, &target("m", &[]), bad.as_bytes(), &finish()).is_err(),
                "{bad}"
            );
        }
    }
}
