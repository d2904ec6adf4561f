//! The JSON Schema (draft 2020-12) of the configuration, for editors and other tools.

use serde_json::{Map, Value, json};

use super::written::Configuration;

/// The schema; published as `config/hookward.schema.json`.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Configuration).to_value();
    settle(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!("hookward configuration"));
    }
    schema
}

/// Says what the loader does: a key without a value is refused, and a number may come from the environment.
fn settle(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            without_null(object);
            or_reference(object);
            object.values_mut().for_each(settle);
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        _ => {}
    }
}

/// schemars lets every `Option` be null as well as absent.
fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice != &json!({ "type": "null" }));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
}

fn or_reference(object: &mut Map<String, Value>) {
    let number = matches!(object.get("type").and_then(Value::as_str), Some("integer" | "number" | "boolean"));
    if number {
        let name = object.get("type").cloned().unwrap_or_default();
        object.insert("type".to_owned(), json!([name, "string"]));
        // A pattern is for texts only, as the bounds are for numbers only.
        object.insert("pattern".to_owned(), json!("\\$\\{.+\\}"));
    }
}
