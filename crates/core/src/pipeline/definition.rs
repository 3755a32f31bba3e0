//! What a pipeline decides, as JSON: the same for every spelling of the same decisions (N1), and how two differ.
//!
//! Comments, white space, the order of keys where it has no meaning, folders, the topic's name, where to start, and
//! paces (idle, drift, retention) are no decisions about rows and don't occur. Column order does: files have it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    Check, Dedup, Derived, EventTimeSource, FieldDef, Holds, Kpi, KpiMart, Layer, Otherwise, Pipeline, RowsMart, Window,
};
use crate::duration::format_duration;
use crate::types::Column;

/// Format of the JSON; a reader that meets a greater one is too old.
const FORMAT: u32 = 1;

impl Pipeline {
    /// The normalised decisions: equal for two files that decide every row and KPI alike (N1).
    #[must_use]
    pub fn definition(&self) -> Value {
        let columns = self.row_columns();
        let silver = self.silver_columns();
        let mut layers: Vec<Value> = self.layers.iter().map(|layer| self.layer_definition(layer, &columns)).collect();
        layers.sort_by_key(name_of);
        let mut kpis: Vec<Value> = self.kpis.iter().map(|kpi| kpi_definition(kpi, &columns)).collect();
        kpis.sort_by_key(name_of);
        json!({
            "format": FORMAT,
            "source": { "format": "json" },
            "fields": self.fields.iter().map(field_definition).collect::<Vec<_>>(),
            "time": self.time_definition(),
            "checks": self.checks.iter().map(check_definition).collect::<Vec<_>>(),
            "derived": derived_definitions(&self.derived),
            "dedup": self.dedup.as_ref().map(|dedup| dedup_definition(dedup, &columns)),
            "layers": layers,
            "rows": self.rows.as_ref().map(|rows| rows_definition(rows, &silver)),
            "kpis": kpis,
        })
    }

    /// SHA-256, in hex, of the definition's canonical JSON (keys sorted, no white space).
    #[must_use]
    pub fn definition_hash(&self) -> String {
        hex::encode(Sha256::digest(canonical(&self.definition()).to_string()))
    }

    fn time_definition(&self) -> Value {
        let event_time = match self.time.event_time {
            EventTimeSource::Kafka => json!("kafka"),
            EventTimeSource::Field(index) => json!({ "field": self.fields.get(index).map(|field| &field.name) }),
        };
        json!({
            "event_time": event_time,
            "out_of_orderness": format_duration(self.time.out_of_orderness),
            "max_future_skew": format_duration(self.time.max_future_skew),
        })
    }

    fn layer_definition(&self, layer: &Layer, columns: &[Column]) -> Value {
        let mut definition = Map::new();
        definition.insert("name".to_owned(), json!(layer.name));
        definition.insert("encoding".to_owned(), json!(layer.encoding.as_str()));
        definition.insert("holds".to_owned(), json!(layer.holds.as_str()));
        match &layer.holds {
            Holds::Rows { partition_by } => {
                definition.insert("partition_by".to_owned(), json!(names(partition_by, columns)));
            }
            Holds::FinalWindows { kpi } | Holds::LateRows { kpi } => {
                definition.insert("kpi".to_owned(), json!(self.kpis.get(*kpi).map(|kpi| &kpi.name)));
            }
            Holds::Records | Holds::Rejects => {}
        }
        Value::Object(definition)
    }
}

impl Holds {
    /// The words of a pipeline file.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Rejects => "rejects",
            Self::Rows { .. } => "rows",
            Self::FinalWindows { .. } => "final windows",
            Self::LateRows { .. } => "late rows",
        }
    }
}

impl Otherwise {
    /// The word in a pipeline file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Quarantine => "quarantine",
        }
    }
}

fn field_definition(field: &FieldDef) -> Value {
    json!({ "name": field.name, "type": field.ty.to_string(), "required": field.required, "round": field.round })
}

fn check_definition(check: &Check) -> Value {
    json!({ "name": check.name, "that": check.expr.canonical(), "otherwise": check.otherwise.as_str() })
}

fn derived_definitions(derived: &[Derived]) -> Vec<Value> {
    let definition =
        |d: &Derived| json!({ "name": d.column.name, "type": d.column.ty.to_string(), "sql": d.expr.canonical() });
    derived.iter().map(definition).collect()
}

fn dedup_definition(dedup: &Dedup, columns: &[Column]) -> Value {
    json!({ "key": names(&dedup.key, columns), "within": format_duration(dedup.within) })
}

fn rows_definition(rows: &RowsMart, silver: &[Column]) -> Value {
    let column = |(name, index): &(String, usize)| json!({ "name": name, "of": silver.get(*index).map(|c| &c.name) });
    json!({ "table": rows.table, "columns": rows.columns.iter().map(column).collect::<Vec<_>>() })
}

fn kpi_definition(kpi: &Kpi, columns: &[Column]) -> Value {
    let Window::Tumbling { size } = kpi.window;
    let measures = kpi.measures.iter().map(
        |measure| json!({ "name": measure.name, "type": measure.ty.to_string(), "sql": measure.expr.canonical() }),
    );
    let mut definition = json!({
        "name": kpi.name,
        "window": { "tumbling": format_duration(size) },
        "key": names(&kpi.key, columns),
        "null_key": kpi.null_key,
        "measures": measures.collect::<Vec<_>>(),
        "derived": derived_definitions(&kpi.derived),
        "allowed_lateness": format_duration(kpi.allowed_lateness),
        "gold": derived_definitions(&kpi.gold),
        "mart": kpi.mart.as_ref().map(mart_definition),
    });
    // A file without them has the hash that it had before they were there.
    if let Value::Object(members) = &mut definition {
        if let Some(late) = &kpi.late_table {
            members.insert("late_table".to_owned(), json!({ "table": late.table }));
        }
        if kpi.amend_for > 0 {
            members.insert("amend_for".to_owned(), json!(format_duration(kpi.amend_for)));
        }
    }
    definition
}

fn mart_definition(mart: &KpiMart) -> Value {
    json!({ "table": mart.table, "columns": derived_definitions(&mart.columns) })
}

fn names<'c>(indices: &[usize], columns: &'c [Column]) -> Vec<&'c str> {
    indices.iter().filter_map(|&index| columns.get(index)).map(|column| column.name.as_str()).collect()
}

fn name_of(value: &Value) -> String {
    value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `value` with the keys of every object sorted.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().map(|(key, value)| (key.clone(), canonical(value))).collect();
            Value::Object(sorted.into_iter().collect())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(canonical).collect()),
        other => other.clone(),
    }
}
