//! What a request loses on its way to a provider of its own format: the members that are for the gateway.

use std::collections::HashSet;

use crate::{
    catalog::Provider,
    dialect::call::GATEWAY_OWNED,
    error::{Error, Result},
    framing::{
        edit::{Edit, ObjectEdits},
        json::{Kind, Object, Value},
    },
};

/// Cuts what a provider does not know; `also` are further members that its format has not.
pub fn cut_owned(edits: &mut ObjectEdits<'_, '_>, provider: &Provider, also: &[&str]) {
    if provider.quirks.iter().any(|quirk| quirk == "openrouter") {
        // Another router: it understands the same members, but the choice of provider was made here.
        edits.cut(|key| matches!(key, "models" | "route" | "provider" | "max_cost"));
    } else {
        edits.cut(|key| GATEWAY_OWNED.contains(&key) || also.contains(&key));
    }
}

/// Refuses a member that is given twice: the provider might take the other of the two than the gateway
/// reads. `path` is the object's, and empty for the body; `same` makes one of spellings that mean the same.
pub fn only_once(object: &Object<'_>, path: &str, same: impl Fn(&str) -> String) -> Result<()> {
    let mut seen = HashSet::with_capacity(object.members.len());
    for member in &object.members {
        if !seen.insert(same(&member.key)) {
            let field = if path.is_empty() { member.key.to_string() } else { format!("{path}.{}", member.key) };
            return Err(Error::invalid(field.clone(), format!("{field} is given twice.")));
        }
    }
    Ok(())
}

/// Whether a member says nothing.
pub fn is_nothing(value: Option<&Value<'_>>) -> bool {
    value.is_none_or(|value| value.kind == Kind::Null)
}

/// Sets the longest answer to so many tokens, unless the client asks for no more than that.
pub fn clamp(object: &Object<'_>, key: &str, longest: Option<u64>, edits: &mut ObjectEdits<'_, '_>) {
    let asked = object.get(key).and_then(number);
    if let Some(longest) = longest.filter(|longest| asked.is_none_or(|asked| asked > *longest)) {
        edits.set(key, longest.to_string());
    }
}

/// A whole number; as text, too, as proto JSON has it.
pub fn number(value: &Value<'_>) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Edits of an object and of objects in it, in their order; those of a member that is replaced as a whole,
/// or cut, must not be among them.
pub fn ordered(mut edits: Vec<Edit>, more: Vec<Edit>) -> Vec<Edit> {
    edits.extend(more);
    edits.sort_by_key(|edit| edit.start);
    edits
}
