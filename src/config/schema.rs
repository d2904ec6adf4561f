//! The JSON Schema (draft 2020-12) of the configuration, for editors and other tools.

use serde_json::{Value, json};

use super::written::Configuration;

/// The schema; published as `config/hookward.schema.json`.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Configuration).to_value();
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".to_owned(), json!("hookward configuration"));
    }
    schema
}
