//! The OpenAPI 3.1 document, made of the table of operations and of the types of the wire: nothing in it is written twice.

use std::sync::{Arc, OnceLock};

use axum::Extension;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::idempotency;
use super::operation::Answered;
use super::parameter::Parameter;
use super::params::Query;
use super::problem::Problem;
use super::surface::{Operation, Table};

/// The document, made when it is first asked for: at rest it would be a tenth of the gateway's memory.
#[derive(Clone, Debug)]
pub(super) struct Document(Arc<Lazy>);

#[derive(Debug)]
struct Lazy {
    table: Arc<Table>,
    bytes: OnceLock<Bytes>,
}

/// The document itself, for its own description.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is wanted")]
pub(super) struct OpenApi {
    /// `3.1.0`.
    openapi: String,
    /// Title and version.
    info: Map<String, Value>,
    /// How callers show who they are.
    security: Vec<Value>,
    /// The operations by path and method.
    paths: Map<String, Value>,
    /// The schemas.
    components: Map<String, Value>,
}

/// The longest id in a path, in characters.
const KEY_CHARS_MAX: usize = 255;

pub(super) async fn show(Extension(document): Extension<Document>, query: Query) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(([(CONTENT_TYPE, "application/json")], document.bytes()).into_response())
}

// === impl Document ===

impl Document {
    /// The document of these operations.
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self(Arc::new(Lazy { table, bytes: OnceLock::new() }))
    }

    /// As it is sent.
    pub(super) fn bytes(&self) -> Bytes {
        self.0.bytes.get_or_init(|| write(&self.0.table)).clone()
    }
}

fn write(table: &Table) -> Bytes {
    let mut answers = generator(|settings| settings.for_serialize());
    let mut requests = generator(|settings| settings.for_deserialize());
    let problem = answers.subschema_for::<Problem>().to_value();
    let mut paths: Map<String, Value> = Map::new();
    for operation in table.operations() {
        let told = told(operation, &mut answers, &mut requests, &problem);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(operation.method.as_str().to_ascii_lowercase(), told);
        }
    }
    let mut schemas = answers.take_definitions(true);
    schemas.extend(requests.take_definitions(true));
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "hookward",
            "summary": "The management API of a webhook gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0 OR MIT" },
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "one of `admin.tokens`" },
            },
        },
    });
    // Maps, texts and numbers: writing them into memory does not fail.
    serde_json::to_vec(&document).unwrap_or_default().into()
}

fn generator(contract: fn(SchemaSettings) -> SchemaSettings) -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    contract(settings).into_generator()
}

fn told(
    operation: &Operation,
    answers: &mut SchemaGenerator,
    requests: &mut SchemaGenerator,
    problem: &Value,
) -> Value {
    let mut responses = Map::new();
    for (status, answered) in &operation.told.answers {
        let (content_type, schema) = match answered {
            Answered::Json(schema) => ("application/json", schema(answers).to_value()),
            Answered::Bytes(content_type) => (*content_type, json!({})),
        };
        responses.insert(status.to_string(), response(*status, content_type, schema));
    }
    for status in operation.failures() {
        responses
            .entry(status.to_string())
            .or_insert_with(|| response(status, "application/problem+json", problem.clone()));
    }
    let mut told = json!({
        "operationId": id(operation),
        "summary": operation.told.summary,
        "parameters": parameters(operation),
        "responses": responses,
        "x-hookward-roles": operation.roles_allowed().iter().map(|role| role.as_str()).collect::<Vec<_>>(),
        "x-hookward-within-project": operation.is_within_project(),
    });
    let Some(object) = told.as_object_mut() else { return told };
    if operation.is_open() {
        object.insert("security".to_owned(), json!([]));
    }
    if let Some(takes) = operation.told.takes {
        let content = json!({ "application/json": { "schema": takes(requests).to_value() } });
        object.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
    }
    told
}

fn response(status: u16, content_type: &str, schema: Value) -> Value {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let content = json!({ (content_type): { "schema": schema } });
    json!({ "description": reason.unwrap_or("answered"), "content": content })
}

/// `GET /v1/events/{id}/body` is `get_events_id_body`.
fn id(operation: &Operation) -> String {
    let path = operation.path.trim_start_matches("/v1").replace(['{', '}'], "");
    let words = path.split(['/', '-', '.']).filter(|word| !word.is_empty());
    let method = operation.method.as_str().to_ascii_lowercase();
    std::iter::once(method.as_str()).chain(words).collect::<Vec<_>>().join("_")
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let in_query = operation.told.query.iter().map(|parameter: &Parameter| {
        json!({
            "name": parameter.name, "in": "query", "required": false, "description": parameter.tells,
            "schema": (parameter.schema)(),
        })
    });
    let in_path = operation.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| {
        json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX },
        })
    });
    let key = (operation.method == Method::POST).then(|| {
        json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "the same key brings the same answer for 24 hours",
            "schema": { "type": "string", "pattern": idempotency::KEY_PATTERN },
        })
    });
    let project = operation.names_project.then(|| {
        json!({
            "name": "Hookward-Project", "in": "header", "required": false,
            "description": "the project that is meant, for tokens that are bound to none",
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$" },
        })
    });
    in_path.chain(in_query).chain(key).chain(project).collect()
}
