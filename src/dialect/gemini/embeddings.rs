//! Embeddings, in the three forms that Google has for them: `:embedContent` (one content), AI Studio's
//! `:batchEmbedContents` (`requests[]`), and Vertex' `:predict` (`instances[]` of text).

use serde_json::{Map, Value, json};

use super::{
    content::{Calls, read_part},
    error, media,
    wire::{At, list, members, text, whole},
};
use crate::{
    chat::{
        EmbedContent, EmbedInput, EmbedRequest, Embeddings, Extra, Losses, Part, PartKind, ProviderError, Purpose, Wire,
    },
    dialect::Encoded,
    error::{Error, Result},
};

/// Which of the forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `:embedContent`
    One,
    /// `:batchEmbedContents`
    Batch,
    /// `:predict`
    Predict,
}

/// A request as a client sends it, and its form.
pub fn decode_embed_request(body: Value) -> Result<(EmbedRequest, Form)> {
    let mut body = members(body, &At::root("body"))?;
    let mut request = EmbedRequest::default();
    if let Some(requests) = body.shift_remove("requests") {
        let at = At::root("requests");
        for (index, one) in list(requests).into_iter().enumerate() {
            let at = at.item(index);
            read_one(members(one, &at)?, Some(&at), &mut request)?;
        }
        if let Some(model) = body.shift_remove("model") {
            request.model = named_model(text(model, &At::root("model"))?);
        }
        request.extra.members.append(&mut body);
        request.extra = Extra::of(Wire::Gemini, request.extra.members);
        return Ok((request, Form::Batch));
    }
    if let Some(instances) = body.shift_remove("instances") {
        read_instances(instances, &mut request)?;
        if let Some(parameters) = body.shift_remove("parameters") {
            let at = At::root("parameters");
            for (name, value) in members(parameters, &at)? {
                match name.as_str() {
                    "outputDimensionality" => request.dimensions = Some(whole(value, &at.key("outputDimensionality"))?),
                    _ => {
                        request.extra.members.insert(name, value);
                    }
                }
            }
        }
        request.extra.members.append(&mut body);
        request.extra = Extra::of(Wire::Gemini, request.extra.members);
        return Ok((request, Form::Predict));
    }
    if !body.contains_key("content") {
        return Err(Error::invalid("content", "The body must have `content` or `requests`."));
    }
    read_one(body, None, &mut request)?;
    request.extra = Extra::of(Wire::Gemini, request.extra.members);
    Ok((request, Form::One))
}

fn named_model(name: String) -> String {
    name.strip_prefix("models/").map(str::to_owned).unwrap_or(name)
}

/// Reads these members, which are the body's own or stand somewhere in it.
fn read_one(one: Map<String, Value>, at: Option<&At<'_>>, request: &mut EmbedRequest) -> Result<()> {
    let mut input = EmbedInput::of(Vec::new());
    for (name, value) in one {
        let at = at.map_or_else(|| At::root(&name), |at| at.key(&name));
        match name.as_str() {
            "model" => request.model = named_model(text(value, &at)?),
            "content" => input.content = EmbedContent::Parts(read_content(value, &at)?),
            "taskType" => input.task = Some(text(value, &at)?),
            "title" => input.title = Some(text(value, &at)?),
            "outputDimensionality" => {
                let dimensions = whole(value, &at)?;
                if request.dimensions.is_some_and(|known| known != dimensions) {
                    return Err(at.invalid("the same for all"));
                }
                request.dimensions = Some(dimensions);
            }
            _ => {
                request.extra.members.insert(name, value);
            }
        }
    }
    request.inputs.push(input);
    Ok(())
}

fn read_content(value: Value, at: &At<'_>) -> Result<Vec<Part>> {
    if let Value::String(text) = value {
        return Ok(vec![Part::text(text)]);
    }
    let mut content = members(value, at)?;
    let (given, at) = (content.shift_remove("parts").map(list).unwrap_or_default(), at.key("parts"));
    let mut parts = Vec::new();
    for (index, part) in given.into_iter().enumerate() {
        read_part(part, &at.item(index), &mut Calls::default(), &mut parts)?;
    }
    Ok(parts)
}

fn read_instances(value: Value, request: &mut EmbedRequest) -> Result<()> {
    let at = At::root("instances");
    for (index, instance) in list(value).into_iter().enumerate() {
        let at = at.item(index);
        let mut input = EmbedInput::of(Vec::new());
        for (name, value) in members(instance, &at)? {
            let at = at.key(&name);
            match name.as_str() {
                "content" => input.content = EmbedContent::Parts(vec![Part::text(text(value, &at)?)]),
                "taskType" => input.task = Some(text(value, &at)?),
                "title" => input.title = Some(text(value, &at)?),
                _ => return Err(at.invalid("left out: it is not known here")),
            }
        }
        request.inputs.push(input);
    }
    Ok(())
}

/// A request as Google takes it in that form.
pub fn encode_embed_request(request: &EmbedRequest, model: &str, form: Form) -> Result<Encoded> {
    let EmbedRequest { model: _, inputs, dimensions, extra } = request;
    let mut losses = Losses::default();
    for lost in extra.lost(Wire::Gemini) {
        losses.add(lost);
    }
    let mut body = Map::new();
    match form {
        Form::One => {
            let [only] = inputs.as_slice() else {
                return Err(Losses::refuse("input", "This provider embeds one input in a request."));
            };
            body = write_one(only, *dimensions, 0)?;
        }
        Form::Batch => {
            let mut requests = Vec::with_capacity(inputs.len());
            for (index, input) in inputs.iter().enumerate() {
                let mut one = Map::new();
                one.insert("model".to_owned(), format!("models/{model}").into());
                one.extend(write_one(input, *dimensions, index)?);
                requests.push(Value::Object(one));
            }
            body.insert("requests".to_owned(), requests.into());
        }
        Form::Predict => {
            let instances = inputs.iter().enumerate().map(|(index, input)| write_instance(input, index));
            body.insert("instances".to_owned(), instances.collect::<Result<Vec<Value>>>()?.into());
            let mut parameters = extra.own(Wire::Gemini).cloned().unwrap_or_default();
            if let Some(dimensions) = dimensions {
                parameters.insert("outputDimensionality".to_owned(), (*dimensions).into());
            }
            if !parameters.is_empty() {
                body.insert("parameters".to_owned(), Value::Object(parameters));
            }
            return Ok(Encoded { body: Value::Object(body), losses });
        }
    }
    body.extend(extra.own(Wire::Gemini).cloned().unwrap_or_default());
    Ok(Encoded { body: Value::Object(body), losses })
}

fn write_one(input: &EmbedInput, dimensions: Option<u64>, index: usize) -> Result<Map<String, Value>> {
    let EmbedInput { content, task, title } = input;
    let at = || format!("input[{index}]");
    let parts = parts(content, index)?;
    let mut written = Vec::with_capacity(parts.len());
    for part in parts {
        written.push(match &part.kind {
            PartKind::Text { text, .. } => json!({ "text": text }),
            PartKind::Media(medium) => media::write(medium, at)?,
            _ => return Err(Losses::refuse(at(), "This kind of content cannot be embedded.")),
        });
    }
    let mut one = Map::new();
    one.insert("content".to_owned(), json!({ "parts": written }));
    for (name, value) in [("taskType", task.as_deref().map(google_task)), ("title", title.clone())] {
        if let Some(value) = value {
            one.insert(name.to_owned(), value.into());
        }
    }
    if let Some(dimensions) = dimensions {
        one.insert("outputDimensionality".to_owned(), dimensions.into());
    }
    Ok(one)
}

fn parts(content: &EmbedContent, index: usize) -> Result<&[Part]> {
    match content {
        EmbedContent::Parts(parts) => Ok(parts),
        EmbedContent::Tokens(_) => {
            Err(Losses::refuse(format!("input[{index}]"), "This provider embeds text, not the numbers of tokens."))
        }
    }
}

/// Google's word for a purpose; words that are nobody else's are taken for Google's.
fn google_task(word: &str) -> String {
    Purpose::parse(word).map_or_else(|| word.to_ascii_uppercase(), |purpose| purpose.google().to_owned())
}

fn write_instance(input: &EmbedInput, index: usize) -> Result<Value> {
    let EmbedInput { content: given, task, title } = input;
    let mut content = String::new();
    for part in parts(given, index)? {
        let PartKind::Text { text, .. } = &part.kind else {
            return Err(Losses::refuse(format!("input[{index}]"), "This provider embeds text alone."));
        };
        content.push_str(text);
    }
    let mut instance = Map::new();
    instance.insert("content".to_owned(), content.into());
    for (name, value) in [("task_type", task.as_deref().map(google_task)), ("title", title.clone())] {
        if let Some(value) = value {
            instance.insert(name.to_owned(), value.into());
        }
    }
    Ok(Value::Object(instance))
}

/// Vectors as Google gives them, in any of the forms.
pub fn decode_embeddings(body: Value) -> Result<Embeddings, ProviderError> {
    let Value::Object(mut body) = body else { return Err(ProviderError::default()) };
    if body.contains_key("error") {
        return Err(error::from_value(&Value::Object(body), None));
    }
    let mut embeddings = Embeddings::default();
    // Vertex' older models count in floating point.
    let count = |value: &Value, name: &str| {
        let count = value.get(name)?;
        count.as_u64().or_else(|| whole_of(count.as_f64()?))
    };
    if let Some(metadata) = body.get("usageMetadata") {
        embeddings.tokens = count(metadata, "promptTokenCount");
    }
    let mut given: Vec<Value> = Vec::new();
    given.extend(body.shift_remove("embedding"));
    given.extend(body.shift_remove("embeddings").map(list).unwrap_or_default());
    for prediction in body.shift_remove("predictions").map(list).unwrap_or_default() {
        let Value::Object(mut prediction) = prediction else { return Err(ProviderError::default()) };
        let one = prediction.shift_remove("embeddings").unwrap_or_default();
        if let Some(tokens) = one.get("statistics").and_then(|statistics| count(statistics, "token_count")) {
            embeddings.tokens = Some(embeddings.tokens.unwrap_or(0).saturating_add(tokens));
        }
        given.push(one);
    }
    for one in given {
        let Value::Object(mut one) = one else { return Err(ProviderError::default()) };
        let Some(Value::Array(values)) = one.shift_remove("values") else { return Err(ProviderError::default()) };
        let number = |value| match value {
            Value::Number(number) => Ok(number),
            _ => Err(ProviderError::default()),
        };
        embeddings.vectors.push(values.into_iter().map(number).collect::<Result<_, _>>()?);
    }
    if embeddings.vectors.is_empty() { Err(ProviderError::default()) } else { Ok(embeddings) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked first")]
fn whole_of(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..=9e15).contains(&number)).then_some(number as u64)
}

/// Vectors as a client reads them who asked in that form.
pub fn encode_embeddings(embeddings: Embeddings, form: Form, cost: Map<String, Value>) -> Value {
    let Embeddings { vectors, tokens } = embeddings;
    let mut vectors = vectors.into_iter().map(|vector| json!({ "values": vector }));
    let mut usage = Map::new();
    if let Some(tokens) = tokens {
        usage.insert("promptTokenCount".to_owned(), tokens.into());
        usage.insert("totalTokenCount".to_owned(), tokens.into());
    }
    usage.extend(cost);
    let mut body = match form {
        Form::One => json!({ "embedding": vectors.next() }),
        Form::Batch => json!({ "embeddings": vectors.collect::<Vec<_>>() }),
        Form::Predict => {
            let predictions: Vec<Value> = vectors.map(|vector| json!({ "embeddings": vector })).collect();
            json!({ "predictions": predictions })
        }
    };
    if let (Some(body), false) = (body.as_object_mut(), usage.is_empty()) {
        body.insert("usageMetadata".to_owned(), Value::Object(usage));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::testing::records;

    fn texts(value: &Value) -> Vec<String> {
        match value {
            Value::Object(map) => map
                .iter()
                .flat_map(|(name, value)| match value {
                    Value::String(text) if matches!(name.as_str(), "text" | "data" | "content" | "title") => {
                        vec![text.clone()]
                    }
                    Value::String(text) if matches!(name.as_str(), "taskType" | "task_type") => vec![text.clone()],
                    Value::Number(n) if name.starts_with("output") => vec![n.to_string()],
                    other => texts(other),
                })
                .collect(),
            Value::Array(items) => items.iter().flat_map(texts).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn recorded_embeddings_survive() {
        let mut count = 0;
        for record in records("gemini.embedContent").into_iter().chain(records("vertex.predict")) {
            let (request, form) = decode_embed_request(record.request.clone()).unwrap();
            let written = encode_embed_request(&request, &request.model, form).unwrap();
            assert_eq!(written.losses.list(), [], "{}", record.name);
            assert_eq!(texts(&written.body), texts(&record.request), "{}", record.name);
            let body = record.body.unwrap();
            if record.status != 200 {
                assert!(decode_embeddings(body).unwrap_err().message.is_some(), "{}", record.name);
                count += 1;
                continue;
            }
            let read = decode_embeddings(body.clone()).unwrap();
            assert_eq!(read.vectors.len(), request.inputs.len(), "{}", record.name);
            let tokens = body.pointer("/usageMetadata/promptTokenCount");
            let tokens = tokens.or_else(|| body.pointer("/predictions/0/embeddings/statistics/token_count"));
            assert_eq!(read.tokens, tokens.and_then(Value::as_u64), "{}", record.name);
            let again = encode_embeddings(read, form, Map::new());
            for pointer in ["/embedding/values", "/embeddings", "/predictions/0/embeddings/values"] {
                assert_eq!(again.pointer(pointer), body.pointer(pointer), "{}", record.name);
            }
            count += 1;
        }
        println!("{count} exchanges about embeddings are the same after they were read and written");
    }

    #[test]
    fn one_form_is_spoken_in_another() {
        let body = json!({"requests": [
            {"model": "models/m", "content": {"parts": [{"text": "a"}]}, "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8},
            {"model": "models/m", "content": {"parts": [{"text": "b"}, {"text": "c"}]}, "outputDimensionality": 8},
        ]});
        let (request, form) = decode_embed_request(body).unwrap();
        assert_eq!((request.model.as_str(), form), ("m", Form::Batch));
        assert_eq!(
            encode_embed_request(&request, "m", Form::Predict).unwrap().body,
            json!({
                "instances": [{"content": "a", "task_type": "RETRIEVAL_QUERY"}, {"content": "bc"}],
                "parameters": {"outputDimensionality": 8},
            })
        );
        assert!(encode_embed_request(&request, "m", Form::One).is_err());
        let vectors = json!({"predictions": [{"embeddings": {"values": [0.5], "statistics": {"token_count": 2}}},
                                             {"embeddings": {"values": [1.5], "statistics": {"token_count": 3}}}]});
        let mut cost = Map::new();
        cost.insert("cost".to_owned(), json!(0.1));
        assert_eq!(
            encode_embeddings(decode_embeddings(vectors).unwrap(), form, cost),
            json!({
                "embeddings": [{"values": [0.5]}, {"values": [1.5]}],
                "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5, "cost": 0.1},
            })
        );
        for bad in [json!({"content": 1}), json!({"contents": []}), json!([]), json!({"instances": [{"text": "x"}]})] {
            assert!(decode_embed_request(bad).is_err());
        }
        for bad in [json!({}), json!({"embedding": {"values": ["x"]}}), json!({"embeddings": [3]}), json!("x")] {
            assert!(decode_embeddings(bad).is_err());
        }
    }
}
