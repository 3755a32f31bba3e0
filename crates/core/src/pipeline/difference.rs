//! How two definitions differ, for people, and whether a running log can take the difference up (H4).

use serde_json::Value;

use super::Pipeline;
use crate::duration::parse_duration;

/// What a changed definition asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Change {
    /// The definitions decide alike.
    None,
    /// Taken up from an entry on: new KPIs, new fields that may be NULL, tables in marts for what there is already, and
    /// what refuses less. Rows that there are stay as they are.
    Additive {
        /// Names of the new KPIs.
        kpis: Vec<String>,
    },
    /// Rows or KPIs would be decided otherwise: only a rebuild keeps the log's numbers true.
    Rebuild,
}

impl Pipeline {
    /// What differs between two definitions, one sentence each; empty when they are equal.
    #[must_use]
    pub fn differences(old: &Value, new: &Value) -> Vec<String> {
        let mut found = Vec::new();
        compare("", old, new, &mut found);
        found
    }

    /// Whether `new` only adds to `old`.
    pub fn change(old: &Value, new: &Value) -> Change {
        if old == new {
            Change::None
        } else if without_additions(old, new).as_ref() == Some(old) {
            Change::Additive { kpis: added(old, new, "kpis") }
        } else {
            Change::Rebuild
        }
    }
}

fn compare(path: &str, old: &Value, new: &Value, found: &mut Vec<String>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(was), Value::Object(is)) => {
            for (key, value) in was {
                match is.get(key) {
                    Some(other) => compare(&join(path, key), value, other, found),
                    None => found.push(format!("{}: removed (was {})", join(path, key), shown(value))),
                }
            }
            for (key, value) in is.iter().filter(|(key, _)| !was.contains_key(*key)) {
                found.push(format!("{}: added ({})", join(path, key), shown(value)));
            }
        }
        (Value::Array(was), Value::Array(is)) if named(was) && named(is) => compare_named(path, was, is, found),
        (Value::Null, is) => found.push(format!("{path}: added ({})", shown(is))),
        (was, Value::Null) => found.push(format!("{path}: removed (was {})", shown(was))),
        (was, is) => found.push(format!("{path}: was {}, is {}", shown(was), shown(is))),
    }
}

fn compare_named(path: &str, old: &[Value], new: &[Value], found: &mut Vec<String>) {
    for value in old {
        match find(new, name(value)) {
            Some(other) => compare(&join(path, name(value)), value, other, found),
            None => found.push(format!("{}: removed", join(path, name(value)))),
        }
    }
    for value in new.iter().filter(|value| find(old, name(value)).is_none()) {
        found.push(format!("{}: added", join(path, name(value))));
    }
    let kept = |from: &[Value], other: &[Value]| -> Vec<String> {
        from.iter().map(name).filter(|n| find(other, n).is_some()).map(str::to_owned).collect()
    };
    let (was, is) = (kept(old, new), kept(new, old));
    if was != is {
        found.push(format!("{path}: the order was {}, is {}", was.join(", "), is.join(", ")));
    }
}

/// `new` less what may be added to `old`, as far as it has the form of a definition.
fn without_additions(old: &Value, new: &Value) -> Option<Value> {
    let mut reduced = new.clone();
    let fields = added(old, new, "fields");
    let is_new = |names: &[String], value: Option<&Value>| {
        value.and_then(Value::as_str).is_some_and(|value| names.iter().any(|name| name == value))
    };
    let optional = |field: &Value| field.get("required") == Some(&Value::Bool(false));
    reduced.get_mut("fields")?.as_array_mut()?.retain(|f| !(is_new(&fields, f.get("name")) && optional(f)));
    refusing_less(old, &mut reduced);
    let kpis = added(old, new, "kpis");
    reduced.get_mut("layers")?.as_array_mut()?.retain(|layer| !is_new(&kpis, layer.get("kpi")));
    let kept = reduced.get_mut("kpis")?.as_array_mut()?;
    kept.retain(|kpi| !is_new(&kpis, kpi.get("name")));
    for kpi in kept {
        let old = find(old.get("kpis")?.as_array()?, name(kpi));
        for table in ["/mart", "/late_table/table"] {
            switched_on(old.and_then(|kpi| kpi.pointer(table)), kpi.pointer_mut(table));
        }
    }
    // A row from before has NULL in a new field's column, in the lake as in the table.
    if let Some(columns) = reduced.pointer_mut("/rows/columns").and_then(Value::as_array_mut) {
        columns.retain(|column| !is_new(&fields, column.get("of")));
    }
    switched_on(old.get("rows"), reduced.get_mut("rows"));
    Some(reduced)
}

/// Takes back what lets in records that were refused, and nothing that decides otherwise about one that was not: a field may
/// be missing now, or is rounded now instead of refused; a check that quarantined is gone; the clock may be further behind.
fn refusing_less(old: &Value, reduced: &mut Value) {
    let list = |of: &Value, section: &str| of.get(section).and_then(Value::as_array).cloned().unwrap_or_default();
    let was = list(old, "fields");
    for field in reduced.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(before) = find(&was, name(field)) else { continue };
        for (key, strict) in [("required", true), ("round", false)] {
            if before.get(key) == Some(&Value::Bool(strict)) && field.get(key) == Some(&Value::Bool(!strict)) {
                field[key] = Value::Bool(strict);
            }
        }
    }
    if let Some(checks) = reduced.get_mut("checks").and_then(Value::as_array_mut) {
        let mut kept = std::mem::take(checks).into_iter().peekable();
        for check in list(old, "checks") {
            match kept.next_if(|next| name(next) == name(&check)) {
                Some(same) => checks.push(same),
                None if check.get("otherwise").and_then(Value::as_str) == Some("quarantine") => checks.push(check),
                None => {}
            }
        }
        checks.extend(kept);
    }
    let skew = |of: &Value| {
        of.pointer("/time/max_future_skew").and_then(Value::as_str).and_then(|text| parse_duration(text).ok())
    };
    if let (Some(before), Some(now)) = (skew(old), skew(reduced))
        && before < now
    {
        reduced["time"]["max_future_skew"] = old["time"]["max_future_skew"].clone();
    }
}

/// A table that was not there: it is filled from the lake.
fn switched_on(old: Option<&Value>, new: Option<&mut Value>) {
    if let (Some(Value::Null), Some(new)) = (old, new) {
        *new = Value::Null;
    }
}

/// Names in a section of `new` that `old` doesn't have there.
fn added(old: &Value, new: &Value, section: &str) -> Vec<String> {
    let list = |of: &Value| of.get(section).and_then(Value::as_array).cloned().unwrap_or_default();
    let had = list(old);
    list(new).iter().map(name).filter(|n| find(&had, n).is_none()).map(str::to_owned).collect()
}

fn named(list: &[Value]) -> bool {
    !list.is_empty() && list.iter().all(|value| value.get("name").is_some())
}

fn find<'v>(list: &'v [Value], wanted: &str) -> Option<&'v Value> {
    list.iter().find(|value| name(value) == wanted)
}

fn name(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or_default()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(shown).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn definition(fields: Value, kpis: Value) -> Value {
        let kpi_layers = kpis
            .as_array()
            .unwrap()
            .iter()
            .map(|kpi| json!({"name": format!("gold/{}", kpi["name"]), "kpi": kpi["name"]}));
        json!({ "fields": fields, "kpis": kpis, "layers": kpi_layers.collect::<Vec<_>>(), "dedup": null })
    }

    fn field(name: &str, ty: &str, required: bool) -> Value {
        json!({ "name": name, "type": ty, "required": required })
    }

    fn additive(kpis: &[&str]) -> Change {
        Change::Additive { kpis: kpis.iter().map(|&k| k.to_owned()).collect() }
    }

    #[test]
    fn only_new_kpis_and_new_optional_fields_are_additive() {
        let (id, amount) = (field("id", "string", true), field("amount", "int32", false));
        let old = definition(json!([id]), json!([{"name": "k", "key": ["id"]}]));
        let cases = [
            (definition(json!([id]), json!([{"name": "k", "key": ["id"]}])), Change::None),
            (definition(json!([id, amount]), json!([{"name": "k", "key": ["id"]}])), additive(&[])),
            (
                definition(json!([id]), json!([{"name": "k", "key": ["id"]}, {"name": "z", "key": []}])),
                additive(&["z"]),
            ),
            (
                definition(json!([id, field("amount", "int32", true)]), json!([{"name": "k", "key": ["id"]}])),
                Change::Rebuild,
            ),
            (definition(json!([field("id", "int64", true)]), json!([{"name": "k", "key": ["id"]}])), Change::Rebuild),
            (definition(json!([id]), json!([{"name": "k", "key": []}])), Change::Rebuild),
            (definition(json!([id]), json!([])), Change::Rebuild),
        ];
        for (new, change) in cases {
            assert_eq!(Pipeline::change(&old, &new), change, "{new}");
        }
    }

    #[test]
    fn a_table_may_be_switched_on_and_may_take_up_a_new_field_but_nothing_that_old_rows_have() {
        let (id, note) = (field("id", "string", true), field("note", "string", false));
        let with = |fields: Value, rows: Value, mart: Value| {
            let mut all = definition(fields, json!([{"name": "k", "mart": mart}]));
            all["rows"] = rows;
            all
        };
        let rows = |columns: &[&str]| json!({"table": "r", "columns": columns.iter().map(|c| json!({"name": c, "of": c})).collect::<Vec<_>>()});
        let old = with(json!([id]), rows(&["id"]), json!({"table": "t"}));
        let cases = [
            (with(json!([id, note]), rows(&["id", "note"]), json!({"table": "t"})), additive(&[])),
            (with(json!([id, note]), rows(&["id", "kafka_topic"]), json!({"table": "t"})), Change::Rebuild),
            (with(json!([id]), Value::Null, json!({"table": "t"})), Change::Rebuild),
            (with(json!([id]), rows(&["id"]), json!({"table": "u"})), Change::Rebuild),
        ];
        for (new, change) in cases {
            assert_eq!(Pipeline::change(&old, &new), change, "{new}");
        }
        let none = with(json!([id]), Value::Null, Value::Null);
        assert_eq!(Pipeline::change(&none, &old), additive(&[]));
    }

    #[test]
    fn a_mart_table_of_late_rows_may_be_switched_on_but_not_the_policy_itself() {
        let with = |late: Value| definition(json!([]), json!([{"name": "k", "late_table": late}]));
        let (none, lake, mart) = (
            definition(json!([]), json!([{"name": "k"}])),
            with(json!({"table": null})),
            with(json!({"table": "k_late"})),
        );
        assert_eq!(Pipeline::change(&lake, &mart), additive(&[]));
        for (old, new) in [(&none, &lake), (&lake, &none), (&mart, &lake), (&none, &mart)] {
            assert_eq!(Pipeline::change(old, new), Change::Rebuild, "{new}");
        }
    }

    #[test]
    fn what_refuses_less_is_taken_up_and_what_refuses_more_or_decides_otherwise_is_not() {
        let with = |required: bool, round: bool, checks: &[(&str, &str)], skew: &str| {
            let mut all = definition(json!([]), json!([]));
            all["fields"] = json!([{"name": "f", "type": "decimal(4,2)", "required": required, "round": round}]);
            let check =
                |(name, otherwise): &(&str, &str)| json!({"name": name, "that": "f > 0", "otherwise": otherwise});
            all["checks"] = checks.iter().map(check).collect();
            all["time"] = json!({ "max_future_skew": skew });
            all
        };
        let (a, b, c) = (("a", "quarantine"), ("b", "filter"), ("c", "quarantine"));
        let old = with(true, false, &[a, b, c], "5m");
        let taken_up = [
            with(false, false, &[a, b, c], "5m"),
            with(true, true, &[a, b, c], "5m"),
            with(true, false, &[b, c], "5m"),
            with(true, false, &[b], "5m"),
            with(true, false, &[a, b, c], "1d"),
            with(false, true, &[b], "6m"),
        ];
        for new in &taken_up {
            assert_eq!(Pipeline::change(&old, new), additive(&[]), "{new}");
            assert_eq!(Pipeline::change(new, &old), Change::Rebuild, "{new} became stricter");
        }
        let mut other = old.clone();
        other["checks"][0]["that"] = json!("f > -1");
        let rebuilt = [
            with(true, false, &[a, c], "5m"),
            with(true, false, &[b, a, c], "5m"),
            with(true, false, &[a, b, c, ("d", "quarantine")], "5m"),
            with(true, false, &[("a", "filter"), b, c], "5m"),
            with(true, false, &[a, b, c], "4m"),
            other,
        ];
        for new in rebuilt {
            assert_eq!(Pipeline::change(&old, &new), Change::Rebuild, "{new}");
        }
    }

    #[test]
    fn the_gold_layer_of_a_kpi_that_is_there_already_lacks_what_was_closed_before() {
        let old = definition(json!([]), json!([{"name": "k"}]));
        let mut new = old.clone();
        new["layers"].as_array_mut().unwrap().push(json!({"name": "gold/again", "kpi": "k"}));
        assert_eq!(Pipeline::change(&old, &new), Change::Rebuild);
    }

    #[test]
    fn differences_name_what_was_and_what_is() {
        let old = json!({"fields": [field("a", "int32", true), field("b", "string", true)], "dedup": null});
        let new = json!({"fields": [field("b", "string", true), field("a", "int64", true), field("c", "date", false)],
            "dedup": {"within": "1h"}});
        let expected = [
            "fields.a.type: was int32, is int64",
            "fields.c: added",
            "fields: the order was a, b, is b, a",
            "dedup: added ({\"within\":\"1h\"})",
        ];
        assert_eq!(Pipeline::differences(&old, &new), expected);
        assert!(Pipeline::differences(&old, &old).is_empty());
    }
}
