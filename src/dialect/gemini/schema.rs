//! Schemas: Gemini's own (a part of `OpenAPI` 3.0, types in capitals) to JSON Schema and back.
//!
//! Gemini takes JSON Schema as it is (`parametersJsonSchema`, `responseJsonSchema`); the way back is for
//! providers with the quirk `openapi_schema`, which take only their own.

use serde_json::{Map, Value, json};

use super::wire::named;
use crate::{chat::Losses, error::Result};

const TYPES: [&str; 8] = ["TYPE_UNSPECIFIED", "STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"];

/// Deepest nesting that is followed: JSON itself ends at 128, and references could go round.
const DEEPEST: usize = 64;
/// Longest text, roughly, that a schema may become: what is referred to is written out each time, and references to
/// what refers twice would double it again and again.
const LONGEST: usize = 4 << 20;
/// What a schema is counted as, beside the values in it.
const OF_ONE: usize = 32;

/// Gemini's schema as JSON Schema. What is JSON Schema already stays as it is.
pub(super) fn to_json_schema(schema: Value) -> Value {
    let Value::Object(schema) = schema else { return schema };
    let (mut written, mut nullable, mut order) = (Map::new(), false, None);
    for (name, value) in named(schema) {
        let value = match name.as_str() {
            "type" => match type_name(value) {
                Some(value) => value,
                None => continue,
            },
            "nullable" => {
                nullable = value == Value::Bool(true);
                continue;
            }
            "propertyOrdering" => {
                order = Some(value);
                continue;
            }
            "format" if value == "enum" => continue,
            "items" => to_json_schema(value),
            "anyOf" => each(value, to_json_schema),
            "properties" => match value {
                Value::Object(properties) => {
                    properties.into_iter().map(|(name, schema)| (name, to_json_schema(schema))).collect()
                }
                other => other,
            },
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" => whole(value),
            _ => value,
        };
        written.insert(name, value);
    }
    if let (Some(Value::Array(order)), Some(Value::Object(properties))) = (order, written.get_mut("properties")) {
        put_in_order(properties, &order);
    }
    if nullable {
        make_nullable(&mut written);
    }
    Value::Object(written)
}

/// How long a value is as text, roughly.
fn length(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(length).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + length(value)).sum(),
    }
}

fn each(value: Value, change: impl Fn(Value) -> Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(change).collect(),
        other => change(other),
    }
}

fn type_name(value: Value) -> Option<Value> {
    match value {
        Value::String(name) if name == "TYPE_UNSPECIFIED" => None,
        Value::String(name) => Some(name.to_ascii_lowercase().into()),
        Value::Number(number) => {
            let name = TYPES.get(usize::try_from(number.as_u64()?).ok()?)?;
            (*name != "TYPE_UNSPECIFIED").then(|| name.to_ascii_lowercase().into())
        }
        other => Some(other),
    }
}

/// Proto JSON writes 64-bit numbers as text.
fn whole(value: Value) -> Value {
    value.as_str().and_then(|text| text.parse::<u64>().ok()).map_or(value, Value::from)
}

fn put_in_order(properties: &mut Map<String, Value>, order: &[Value]) {
    let named = order.iter().filter_map(Value::as_str);
    let mut ordered: Map<String, Value> =
        named.filter_map(|name| properties.shift_remove(name).map(|schema| (name.to_owned(), schema))).collect();
    ordered.append(properties);
    *properties = ordered;
}

fn make_nullable(schema: &mut Map<String, Value>) {
    match schema.get_mut("type") {
        Some(Value::String(name)) if name != "null" => {
            let name = std::mem::take(name);
            schema.insert("type".to_owned(), json!([name, "null"]));
        }
        Some(_) => {}
        None => {
            if let Some(Value::Array(kinds)) = schema.get_mut("anyOf") {
                kinds.push(json!({ "type": "null" }));
            }
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}

/// JSON Schema as Gemini's own. Keywords that it lacks are losses under `at`; what would turn the schema
/// into another one is refused.
pub(super) fn to_openapi(schema: &Value, at: &str, losses: &mut Losses) -> Result<Value> {
    Conversion { root: schema, losses, left: LONGEST }.convert(schema, at, 0)
}

struct Conversion<'c> {
    root: &'c Value,
    losses: &'c mut Losses,
    left: usize,
}

impl Conversion<'_> {
    fn convert(&mut self, schema: &Value, at: &str, depth: usize) -> Result<Value> {
        if depth > DEEPEST {
            return Err(Losses::refuse(
                at,
                "This provider takes no schema that refers to itself or is nested so deeply.",
            ));
        }
        self.spend(OF_ONE, at)?;
        let Value::Object(schema) = schema else {
            // `true` allows anything, as a schema without members does.
            return if schema == &Value::Bool(false) {
                Err(Losses::refuse(at, "This provider has no schema that allows nothing."))
            } else {
                Ok(json!({}))
            };
        };
        if let Some(Value::String(reference)) = schema.get("$ref") {
            let root = self.root;
            let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
            let target = target.ok_or_else(|| Losses::refuse(at, format!("{at} refers to what is not there.")))?;
            let mut written = self.convert(target, at, depth + 1)?;
            if let (Some(Value::String(words)), Some(written)) = (schema.get("description"), written.as_object_mut()) {
                written.insert("description".to_owned(), words.as_str().into());
            }
            return Ok(written);
        }
        let mut written = Map::new();
        for (name, value) in schema {
            self.keyword(name, value, &mut written, at, depth)?;
        }
        Ok(Value::Object(written))
    }

    /// So many bytes are written.
    fn spend(&mut self, bytes: usize, at: &str) -> Result<()> {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| {
            Losses::refuse(at, "The schema is too long for this provider, with all that it refers to written out.")
        })?;
        Ok(())
    }

    fn keyword(
        &mut self,
        name: &str,
        value: &Value,
        written: &mut Map<String, Value>,
        at: &str,
        depth: usize,
    ) -> Result<()> {
        let here = |name: &str| format!("{at}.{name}");
        if matches!(name, "const" | "enum") {
            self.spend(length(value), at)?;
        }
        match name {
            "title" | "description" | "default" | "required" | "minimum" | "maximum" | "minItems" | "maxItems"
            | "minLength" | "maxLength" | "minProperties" | "maxProperties" | "pattern" | "example"
            | "propertyOrdering" | "nullable" => {
                self.spend(length(value), at)?;
                written.insert(name.to_owned(), value.clone());
            }
            "type" => self.types(value, written, at),
            "format" => match value.as_str() {
                Some("date-time" | "enum" | "float" | "double" | "int32" | "int64") => {
                    written.insert(name.to_owned(), value.clone());
                }
                _ => self.losses.add(here(name)),
            },
            "const" => self.values(std::slice::from_ref(value), written, &here(name)),
            "enum" => self.values(value.as_array().map_or(&[], Vec::as_slice), written, &here(name)),
            "items" => {
                let items = self.convert(value, &here(name), depth + 1)?;
                written.insert(name.to_owned(), items);
            }
            "properties" => {
                let mut properties = Map::new();
                for (property, schema) in value.as_object().into_iter().flatten() {
                    let schema = self.convert(schema, &format!("{at}.properties.{property}"), depth + 1)?;
                    properties.insert(property.clone(), schema);
                }
                written.insert(name.to_owned(), Value::Object(properties));
            }
            "anyOf" | "oneOf" => self.any_of(value, written, &here(name), depth)?,
            "allOf" => self.all_of(value, written, &here(name), depth)?,
            "$defs" | "definitions" | "$schema" | "$id" | "$comment" => {}
            _ => self.losses.add(here(name)),
        }
        Ok(())
    }

    /// One type, in capitals; `null` beside it is `nullable`, others beside it are `anyOf`.
    fn types(&mut self, value: &Value, written: &mut Map<String, Value>, at: &str) {
        let names: Vec<&str> = match value {
            Value::String(name) => vec![name],
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let others: Vec<&str> = names.iter().copied().filter(|name| *name != "null").collect();
        if others.len() < names.len() && !others.is_empty() {
            written.insert("nullable".to_owned(), true.into());
        }
        match others.as_slice() {
            [] if names.is_empty() => self.losses.add(format!("{at}.type")),
            [] => {
                written.insert("type".to_owned(), "NULL".into());
            }
            [one] => {
                written.insert("type".to_owned(), one.to_ascii_uppercase().into());
            }
            many => {
                let kinds: Vec<Value> = many.iter().map(|name| json!({ "type": name.to_ascii_uppercase() })).collect();
                written.insert("anyOf".to_owned(), kinds.into());
            }
        }
    }

    /// Gemini's `enum` holds text alone.
    fn values(&mut self, values: &[Value], written: &mut Map<String, Value>, at: &str) {
        if values.contains(&Value::Null) {
            written.insert("nullable".to_owned(), true.into());
        }
        let texts: Vec<Value> = values.iter().filter(|value| !value.is_null()).cloned().collect();
        if texts.is_empty() || !texts.iter().all(Value::is_string) {
            self.losses.add(at);
            return;
        }
        written.insert("enum".to_owned(), texts.into());
        written.entry("type").or_insert_with(|| "STRING".into());
    }

    fn any_of(&mut self, value: &Value, written: &mut Map<String, Value>, at: &str, depth: usize) -> Result<()> {
        let mut kinds = Vec::new();
        for (index, schema) in value.as_array().into_iter().flatten().enumerate() {
            if schema.get("type").is_some_and(|name| name == "null") {
                written.insert("nullable".to_owned(), true.into());
            } else {
                kinds.push(self.convert(schema, &format!("{at}[{index}]"), depth + 1)?);
            }
        }
        match (kinds.len(), kinds.pop()) {
            (1, Some(Value::Object(only))) => written.extend(only),
            (_, last) => {
                kinds.extend(last);
                written.insert("anyOf".to_owned(), kinds.into());
            }
        }
        Ok(())
    }

    /// All at once: members of later ones are added to those of the first, properties by property.
    fn all_of(&mut self, value: &Value, written: &mut Map<String, Value>, at: &str, depth: usize) -> Result<()> {
        for (index, schema) in value.as_array().into_iter().flatten().enumerate() {
            let Value::Object(schema) = self.convert(schema, &format!("{at}[{index}]"), depth + 1)? else { continue };
            for (name, value) in schema {
                match (written.get_mut(&name), value) {
                    (Some(Value::Object(known)), Value::Object(more)) => known.extend(more),
                    (Some(Value::Array(known)), Value::Array(more)) if name == "required" => known.extend(more),
                    (Some(known), value) if *known == value => {}
                    (Some(_), _) => self.losses.add(format!("{at}[{index}].{name}")),
                    (None, value) => {
                        written.insert(name, value);
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_schema_becomes_json_schema() {
        let schema = json!({
            "type": "OBJECT",
            "property_ordering": ["b", "a"],
            "properties": {
                "a": {"type": "STRING", "nullable": true, "format": "enum", "enum": ["x", "y"]},
                "b": {"type": 5, "minItems": "1", "items": {"anyOf": [{"type": "INTEGER"}, {"type": 1}]}},
                "any_of": {"type": "NUMBER", "format": "double"},
            },
            "required": ["a"],
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "b": {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}},
                "a": {"type": ["string", "null"], "enum": ["x", "y", null]},
                "any_of": {"type": "number", "format": "double"},
            },
            "required": ["a"],
        });
        // As text: the order of properties counts.
        assert_eq!(to_json_schema(schema).to_string(), expected.to_string());
    }

    #[test]
    fn json_schema_becomes_googles_with_references_put_in_and_the_rest_named() {
        let schema = json!({
            "type": "object",
            "$defs": {"city": {"type": "string", "format": "uri", "minLength": 1}},
            "properties": {
                "from": {"$ref": "#/$defs/city", "description": "Where from"},
                "to": {"anyOf": [{"$ref": "#/$defs/city"}, {"type": "null"}]},
                "way": {"const": "rail"},
                "count": {"type": ["integer", "null"]},
                "any": {"type": ["integer", "string"]},
                "both": {"allOf": [{"type": "object", "properties": {"x": {"type": "string"}}, "required": ["x"]},
                                   {"properties": {"y": true}, "required": ["y"]}]},
                "digit": {"enum": [1, 2]},
            },
            "additionalProperties": false,
        });
        let mut losses = Losses::default();
        let written = to_openapi(&schema, "p", &mut losses).unwrap();
        assert_eq!(
            written,
            json!({
                "type": "OBJECT",
                "properties": {
                    "from": {"type": "STRING", "minLength": 1, "description": "Where from"},
                    "to": {"type": "STRING", "minLength": 1, "nullable": true},
                    "way": {"enum": ["rail"], "type": "STRING"},
                    "count": {"type": "INTEGER", "nullable": true},
                    "any": {"anyOf": [{"type": "INTEGER"}, {"type": "STRING"}]},
                    "both": {"type": "OBJECT", "properties": {"x": {"type": "STRING"}, "y": {}}, "required": ["x", "y"]},
                    "digit": {},
                },
            })
        );
        let lost: Vec<&str> = losses.list().iter().map(|loss| loss.field.as_str()).collect();
        assert_eq!(
            lost,
            [
                "p.properties.from.format",
                "p.properties.to.anyOf[0].format",
                "p.properties.digit.enum",
                "p.additionalProperties"
            ]
        );
    }

    #[test]
    fn a_schema_that_goes_round_is_refused() {
        let schema =
            json!({"$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"});
        assert!(to_openapi(&schema, "p", &mut Losses::default()).is_err());
        let nowhere = json!({"$ref": "https://elsewhere.example/schema"});
        assert!(to_openapi(&nowhere, "p", &mut Losses::default()).is_err());
    }

    #[test]
    fn a_schema_that_doubles_with_each_reference_is_refused() {
        let mut defs = Map::new();
        for n in 0..30 {
            let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
            defs.insert(format!("d{n}"), json!({"properties": {"a": next, "b": next}}));
        }
        defs.insert("d30".to_owned(), json!({"type": "string"}));
        let mut schema = json!({"$defs": defs, "$ref": "#/$defs/d0"});
        assert!(to_openapi(&schema, "p", &mut Losses::default()).is_err());
        schema["$ref"] = "#/$defs/d20".into();
        assert!(to_openapi(&schema, "p", &mut Losses::default()).is_ok());
        // A few long texts that are referred to often.
        let long = json!({"type": "string", "description": "x".repeat(100_000)});
        let items: Vec<Value> = (0..100).map(|_| json!({"$ref": "#/$defs/long"})).collect();
        let schema = json!({"$defs": {"long": long}, "anyOf": items});
        assert!(to_openapi(&schema, "p", &mut Losses::default()).is_err());
    }
}
