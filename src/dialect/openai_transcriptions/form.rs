//! A form's fields: text, lists, and the gateway's own.

use std::borrow::Cow;

use serde_json::Value as Tree;

use crate::{
    dialect::{
        shape::{models_of, tags_of},
        single::{Asked, GATEWAY_OWNED},
    },
    error::{Error, Result},
    framing::{
        json::{Value, scan_object},
        multipart::Part,
    },
    routing::preferences::{Preferences, cost},
};

/// The fields of a form.
pub(super) struct Form<'f, 'a>(pub &'f [Part<'a>]);

impl<'a> Form<'_, 'a> {
    fn named(&self, name: &str) -> impl Iterator<Item = &Part<'a>> {
        self.0.iter().filter(move |part| part.name == name)
    }

    /// A provider might take the other of two than the gateway reads.
    pub fn only(&self, name: &str) -> Result<Option<&Part<'a>>> {
        let mut found = self.named(name);
        let first = found.next();
        if found.next().is_some() {
            return Err(Error::invalid(name, format!("{name} is given twice.")));
        }
        Ok(first)
    }

    /// The text of a field; nothing where it is empty.
    pub fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>> {
        let Some(part) = self.only(name)? else { return Ok(None) };
        match simdutf8::basic::from_utf8(part.value) {
            Ok(text) if part.filename.is_none() => Ok(Some(Cow::Borrowed(text)).filter(|text| !text.is_empty())),
            _ => Err(Error::invalid(name, format!("{name} must be text."))),
        }
    }

    /// A list, as the text of one or as repeated fields.
    fn list(&self, name: &str) -> Result<String> {
        let wrong = || Error::invalid(name, format!("{name} must be a list in JSON, or repeated as {name}[]."));
        if let Some(text) = self.text(name)? {
            return match serde_json::from_str(&text) {
                Ok(Tree::Array(items)) => Ok(Tree::Array(items).to_string()),
                _ => Err(wrong()),
            };
        }
        let repeated = format!("{name}[]");
        let items = self.named(&repeated).map(|part| part.text().map(Tree::from).ok_or_else(wrong));
        Ok(Tree::Array(items.collect::<Result<_>>()?).to_string())
    }

    /// What the gateway knows of the request.
    pub fn asked(&self) -> Result<Asked> {
        let lists = format!("{{\"models\":{},\"tags\":{}}}", self.list("models")?, self.list("tags")?);
        let lists = scan_object(lists.as_bytes()).map_err(|_| Error::internal("a list that was written here"))?;
        let items = |key: &str| lists.get(key).map(Value::items).unwrap_or_default();
        let input = ["file", "model", "user", "stream"];
        let mut parameters: Vec<String> = Vec::new();
        for part in self.0.iter().filter(|part| !owned(&part.name) && !input.contains(&part.name.as_str())) {
            let name = part.name.trim_end_matches("[]");
            if !parameters.iter().any(|known| known == name) {
                parameters.push(name.to_owned());
            }
        }
        let model = self.text("model")?.map(Cow::into_owned);
        if model.is_none() {
            let message = "model is missing: a form names its first model there, and others in `models`.";
            return Err(Error::invalid("model", message));
        }
        Ok(Asked {
            models: models_of(model, &items("models"))?,
            preferences: self.preferences()?,
            user: self.text("user")?.map(Cow::into_owned),
            session_id: self.text("session_id")?.map(Cow::into_owned),
            tags: tags_of(&items("tags"))?,
            choices: 1,
            parameters,
            ..Asked::default()
        })
    }

    fn preferences(&self) -> Result<Preferences> {
        let max_cost = match self.text("max_cost")? {
            Some(text) => Some(cost(text.parse().ok())?),
            None => None,
        };
        let Some(text) = self.text("provider")? else { return Ok(Preferences { max_cost, ..Preferences::none() }) };
        let wrapped = format!("{{\"provider\":{text}}}");
        let wrong = |_| Error::invalid("provider", "provider must be an object in JSON.");
        let object = scan_object(wrapped.as_bytes()).map_err(wrong)?;
        Ok(Preferences { max_cost, ..Preferences::of(&object)? })
    }
}

/// Whether a field is for the gateway; lists may be repeated fields.
pub(super) fn owned(name: &str) -> bool {
    GATEWAY_OWNED.contains(&name.trim_end_matches("[]"))
}
