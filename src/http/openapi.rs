//! Tests: docs/openapi.json describes what is served, and what is served is as described.

use serde_json::Value;

/// The description.
pub fn described() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The schema of a path's answer.
pub fn answer_of(path: &str) -> Value {
    let described = described();
    described["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"].clone()
}

/// What of a value isn't as its schema says: types, required fields, and fields that nobody described.
pub fn differences(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let root = described();
    compare(&root, schema, value, at)
}

fn compare(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(target) = schema["$ref"].as_str() {
        let target = root.pointer(target.trim_start_matches('#'));
        return target.map_or(vec![format!("{at}: no such schema")], |target| compare(root, target, value, at));
    }
    if let Some(choices) = schema["enum"].as_array() {
        return if choices.contains(value) { Vec::new() } else { vec![format!("{at}: {value} is no choice")] };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = |ty: &Value| ty == kind || (ty == "number" && kind == "integer");
    let fits = match &schema["type"] {
        Value::Array(types) => types.iter().any(allowed),
        ty => allowed(ty),
    };
    if !fits {
        return vec![format!("{at}: {kind}, not {}", schema["type"])];
    }
    match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .flat_map(|(i, item)| compare(root, &schema["items"], item, &format!("{at}[{i}]")))
            .collect(),
        Value::Object(fields) => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let missing = required.iter().filter_map(Value::as_str).filter(|name| !fields.contains_key(*name));
            let mut found: Vec<String> = missing.map(|name| format!("{at}.{name}: missing")).collect();
            for (name, value) in fields {
                match schema["properties"].get(name).or_else(|| schema.get("additionalProperties")) {
                    Some(schema) => found.extend(compare(root, schema, value, &format!("{at}.{name}"))),
                    None => found.push(format!("{at}.{name}: not described")),
                }
            }
            found
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_route_is_described_and_every_description_is_a_route() {
    let described = described();
    let mut paths: Vec<&str> = described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let mut routes: Vec<&str> = super::API.iter().map(|(path, _)| *path).collect();
    paths.sort_unstable();
    routes.sort_unstable();
    assert_eq!(paths, routes);
}

#[test]
fn a_difference_is_found() {
    let schema =
        serde_json::json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] });
    let check = |value: Value, expected: &[&str]| assert_eq!(differences(&schema, &value, ""), expected);
    check(serde_json::json!({ "a": "x" }), &[]);
    check(serde_json::json!({ "a": 1 }), &[".a: integer, not \"string\""]);
    check(serde_json::json!({ "b": "x" }), &[".a: missing", ".b: not described"]);
}
