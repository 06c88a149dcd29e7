//! What a request loses on its way to a provider of its own format: the members that are for the gateway.

use crate::{
    catalog::Provider,
    dialect::call::GATEWAY_OWNED,
    framing::{
        edit::{Edit, ObjectEdits},
        json::{Kind, Object, Value},
    },
};

/// Cuts what a provider does not know; `also` are further members that its format has not.
pub fn cut_owned(edits: &mut ObjectEdits<'_, '_>, provider: &Provider, also: &[&str]) {
    if provider.quirks.iter().any(|quirk| quirk == "openrouter") {
        // Another router: it understands the same members, but the choice of provider was made here.
        edits.cut(|key| matches!(key, "models" | "route" | "provider"));
    } else {
        edits.cut(|key| GATEWAY_OWNED.contains(&key) || also.contains(&key));
    }
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
