//! The document that describes the admin API (`OpenAPI` 3.1), made from the table of routes and the types it names.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::identity::Permission;
use super::problem::Problem;
use super::route::{Action, Route, routes};

/// The whole document.
pub fn document() -> Value {
    let settings =
        SchemaSettings::draft2020_12().with(|own| own.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>().to_value();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes() {
        let takes = route.takes.map(|shape| shape(&mut generator).to_value());
        let gives = route.gives.map(|shape| shape(&mut generator).to_value());
        let operation = operation(route, takes.as_ref(), gives.as_ref(), &problem);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.to_ascii_lowercase(), operation);
        }
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Postern admin API",
            "version": "1",
            "description": "Issues keys, sets budgets, revokes. Served on an attested listener of its own.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

fn operation(route: &Route, takes: Option<&Value>, gives: Option<&Value>, problem: &Value) -> Value {
    let mut parameters = Vec::new();
    let mut parameter = |name: &str, place: &str, required: bool, schema: Value| {
        parameters.push(json!({ "name": name, "in": place, "required": required, "schema": schema }));
    };
    if route.path.contains("{id}") {
        parameter("id", "path", true, json!({ "type": "string", "pattern": "^[A-Za-z0-9._@-]{1,64}$" }));
    }
    if is_list(route.action) {
        parameter("limit", "query", false, json!({ "type": "integer", "minimum": 1, "maximum": 100 }));
        parameter("after", "query", false, json!({ "type": "string", "pattern": "^[A-Za-z0-9._@-]{1,64}$" }));
    }
    if route.action == Action::ShowAccess {
        parameter(
            "model",
            "query",
            true,
            json!({ "type": "string", "pattern": "^[A-Za-z0-9._:@+/-]{1,128}$" }),
        );
    }
    if wants_etag(route) {
        parameter("If-Match", "header", true, json!({ "type": "string", "pattern": "^\"v[0-9]{1,18}\"$" }));
    }
    if route.method == "POST" {
        let schema = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-]{8,64}$" });
        parameter("Idempotency-Key", "header", false, schema);
    }
    let content = |schema: &Value, kind: &str| json!({ kind: { "schema": schema } });
    let mut responses = Map::new();
    let mut well = json!({ "description": "Done" });
    if let (Some(gives), Some(well)) = (gives, well.as_object_mut()) {
        well.insert("content".to_owned(), content(gives, "application/json"));
    }
    responses.insert(route.status.to_string(), well);
    for status in [400, 401, 403, 404, 409, 412, 413, 422, 428, 503] {
        let answer =
            json!({ "description": "Not done", "content": content(problem, "application/problem+json") });
        responses.insert(status.to_string(), answer);
    }
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(own) = operation.as_object_mut() {
        if let Some(takes) = takes {
            let body = json!({ "required": true, "content": content(takes, "application/json") });
            own.insert("requestBody".to_owned(), body);
        }
        if route.needs != Permission::Anyone {
            own.insert("security".to_owned(), json!([{ "bearer": [] }]));
        }
    }
    operation
}

fn operation_id(route: &Route) -> String {
    let path = route.path.trim_start_matches("/admin/v1/").replace(['/', '-', '.'], "_");
    format!("{}_{}", route.method.to_ascii_lowercase(), path.replace(['{', '}'], ""))
}

/// Whether a route gives pages.
pub const fn is_list(action: Action) -> bool {
    matches!(action, Action::ListGroups(_) | Action::ListKeys | Action::ListAdmins)
}

/// Whether a route changes what is there, so that whoever asks must have read it.
pub fn wants_etag(route: &Route) -> bool {
    matches!(route.method, "PUT" | "DELETE") && route.action != Action::DeleteAdmin
}
