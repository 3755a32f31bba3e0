//! A board's questions as SQL. Names come from the pipeline's definition, quoted; what a reader chose is a parameter.

use lakeward_core::pipeline::Pipeline;
use lakeward_core::types::{Column, DataType};

use super::{By, Newest, Origin, Part, Question, Selection};
use crate::mart::MartError;
use crate::mart::plan::Plan;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Whose SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    Sqlite,
}

/// A value that is no part of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Param {
    /// Microseconds since 1970.
    Time(i64),
    /// Days since 1970.
    Day(i32),
    Text(String),
    Texts(Vec<String>),
}

/// What a value of SQLite is; Postgres gives texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Text,
    Of(DataType),
}

/// A query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub sql: String,
    pub params: Vec<Param>,
    pub outputs: Vec<Output>,
}

/// See `BoardReader::ask`.
pub(super) fn of_question(pipeline: &Pipeline, dialect: Dialect, question: &Question) -> Result<Statement, MartError> {
    let mut writer = Writer::new(pipeline, dialect, question.origin)?;
    let wheres = writer.wheres(&question.selection)?;
    if let ([], Some(distinct)) = (question.by.as_slice(), only_distinct(&question.parts)) {
        return writer.counted_apart(question, distinct, &wheres);
    }
    let mut selected = Vec::new();
    for by in &question.by {
        selected.push(writer.by(*by)?);
    }
    for part in &question.parts {
        selected.push(writer.part(*part)?);
    }
    let columns: Vec<&str> = selected.iter().map(|(sql, _)| sql.as_str()).collect();
    let groups: Vec<String> = (1..=question.by.len()).map(|n| n.to_string()).collect();
    let mut sql = format!("SELECT {} FROM {}{wheres}", columns.join(", "), writer.table());
    if !groups.is_empty() {
        sql += &format!(" GROUP BY {}", groups.join(", "));
    }
    match question.top {
        Some(top) => {
            let (first, _) = writer.number_of(*question.parts.first().unwrap_or(&Part::Count))?;
            sql += &format!(" ORDER BY {first} DESC{}, 1 LIMIT {top}", writer.nulls_last());
        }
        None if !groups.is_empty() => sql += &format!(" ORDER BY {}", groups.join(", ")),
        None => {}
    }
    Ok(writer.done(sql, selected.into_iter().map(|(_, output)| output).collect()))
}

/// See `BoardReader::newest`. In Postgres rows are found by the primary key, partition by partition: the index on time
/// (BRIN) can't give them in order.
pub(super) fn of_newest(pipeline: &Pipeline, dialect: Dialect, newest: &Newest) -> Result<Statement, MartError> {
    let Newest { selection, columns, limit } = newest;
    let plan = Plan::new(pipeline)?;
    let Some(rows) = &plan.rows else { return Err(missing("rows table")) };
    let time = rows.timestamp.clone().unwrap_or_else(|| rows.offset.clone());
    let mut writer = Writer::new(pipeline, dialect, Origin::Rows)?;
    let (texts, outputs) = writer.shown(columns)?;
    let (time, incarnation) = (quoted(&time), quoted(&rows.incarnation));
    let (partition, offset) = (quoted(&rows.partition), quoted(&rows.offset));
    if dialect == Dialect::Sqlite {
        let wheres = writer.wheres(selection)?;
        let sql = format!(
            "SELECT {} FROM {}{wheres} ORDER BY {time} DESC, {offset} DESC LIMIT {limit}",
            texts.join(", "),
            writer.table()
        );
        return Ok(writer.done(sql, outputs));
    }
    let pipeline = writer.param(Param::Text(pipeline.name.clone()));
    let wheres = writer.wheres(selection)?;
    let and = if wheres.is_empty() { " WHERE " } else { " AND " };
    let numbered: Vec<String> = texts.iter().enumerate().map(|(i, text)| format!("{text} AS c{i}")).collect();
    let names: Vec<String> = (0..texts.len()).map(|i| format!("c{i}")).collect();
    let sql = format!(
        "SELECT {} FROM (SELECT DISTINCT incarnation, partition FROM lakeward_row_fences AS fence \
         JOIN lakeward_claims AS held ON held.log_id = fence.log_id WHERE pipeline = {pipeline}) AS part \
         CROSS JOIN LATERAL (SELECT {}, {time} AS time_of_row, {offset} AS offset_of_row FROM {}{wheres}{and}\
         {incarnation} = part.incarnation AND {partition} = part.partition \
         ORDER BY {incarnation} DESC, {partition} DESC, {offset} DESC LIMIT {limit}) AS newest \
         ORDER BY time_of_row DESC NULLS LAST, offset_of_row DESC LIMIT {limit}",
        names.join(", "),
        numbered.join(", "),
        writer.table(),
    );
    Ok(writer.done(sql, outputs))
}

/// See `BoardReader::export`.
pub(super) fn of_export(
    pipeline: &Pipeline,
    dialect: Dialect,
    selection: &Selection,
    columns: &[usize],
) -> Result<Statement, MartError> {
    let mut writer = Writer::new(pipeline, dialect, Origin::Rows)?;
    let wheres = writer.wheres(selection)?;
    let (texts, outputs) = writer.shown(columns)?;
    let sql = format!("SELECT {} FROM {}{wheres}", texts.join(", "), writer.table());
    Ok(writer.done(sql, outputs))
}

/// The one distinct count of the parts, if there is exactly one.
fn only_distinct(parts: &[Part]) -> Option<usize> {
    let mut found =
        parts.iter().filter_map(|part| if let Part::Distinct(column) = part { Some(*column) } else { None });
    found.next().filter(|_| found.next().is_none())
}

fn missing(what: &str) -> MartError {
    MartError::Config(format!("the board reads a {what} that the pipeline doesn't have"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

struct Writer<'p> {
    pipeline: &'p Pipeline,
    dialect: Dialect,
    origin: Origin,
    table: String,
    time: Column,
    params: Vec<Param>,
}

impl<'p> Writer<'p> {
    fn new(pipeline: &'p Pipeline, dialect: Dialect, origin: Origin) -> Result<Self, MartError> {
        let board = pipeline.dashboard.as_ref().ok_or_else(|| missing("board"))?;
        let (table, time) = match origin {
            Origin::Rows => {
                let rows = pipeline.rows.as_ref().ok_or_else(|| missing("rows table"))?;
                let (name, column) = pipeline.rows_column(board.time).ok_or_else(|| missing("time"))?;
                (rows.table.clone(), Column::new(name, column.ty, column.nullable))
            }
            Origin::Kpi(kpi) => {
                let mart = pipeline.kpis.get(kpi).and_then(|kpi| kpi.mart.as_ref()).ok_or_else(|| missing("KPI"))?;
                let window = mart.columns.get(mart.window_column).ok_or_else(|| missing("window"))?;
                (mart.table.clone(), window.column.clone())
            }
        };
        Ok(Self { pipeline, dialect, origin, table, time, params: Vec::new() })
    }

    fn done(self, sql: String, outputs: Vec<Output>) -> Statement {
        Statement { sql, params: self.params, outputs }
    }

    /// SQLite keeps values in `<name>_raw`.
    fn table(&self) -> String {
        match self.dialect {
            Dialect::Postgres => quoted(&self.table),
            Dialect::Sqlite => quoted(&format!("{}_raw", self.table)),
        }
    }

    fn nulls_last(&self) -> &'static str {
        if self.dialect == Dialect::Postgres { " NULLS LAST" } else { "" }
    }

    fn param(&mut self, value: Param) -> String {
        self.params.push(value);
        let sign = if self.dialect == Dialect::Postgres { '$' } else { '?' };
        format!("{sign}{}", self.params.len())
    }

    /// A column of the rows table as it is in the table that is read.
    fn column(&self, index: usize) -> Result<Column, MartError> {
        let (name, column) = self.pipeline.rows_column(index).ok_or_else(|| missing("column"))?;
        let Origin::Kpi(kpi) = self.origin else { return Ok(Column::new(name, column.ty, column.nullable)) };
        let source = self.pipeline.rows.as_ref().and_then(|rows| rows.columns.get(index)).map(|(_, source)| *source);
        let kpi = self.pipeline.kpis.get(kpi).ok_or_else(|| missing("KPI"))?;
        let key = source.and_then(|source| kpi.mart_key(source)).ok_or_else(|| missing("key"))?;
        let held = kpi.mart.as_ref().and_then(|mart| mart.columns.get(key)).ok_or_else(|| missing("key"))?;
        Ok(Column::new(&held.column.name, held.column.ty, false))
    }

    /// A column's value as the text that people choose by.
    fn label(&self, index: usize) -> Result<String, MartError> {
        let column = self.column(index)?;
        let name = quoted(&column.name);
        let text = match (self.dialect, column.ty) {
            (_, DataType::String) => name,
            (Dialect::Postgres, _) => format!("{name}::text"),
            (Dialect::Sqlite, DataType::Bool) => format!("CASE {name} WHEN 0 THEN 'false' WHEN 1 THEN 'true' END"),
            (Dialect::Sqlite, DataType::Date) => format!("date({name} * 86400, 'unixepoch')"),
            (Dialect::Sqlite, _) => format!("CAST({name} AS TEXT)"),
        };
        if !column.nullable {
            return Ok(text);
        }
        Ok(format!("coalesce({text}, {})", literal(self.pipeline.null_label(index))))
    }

    fn wheres(&mut self, selection: &Selection) -> Result<String, MartError> {
        let mut conditions = Vec::new();
        let time = quoted(&self.time.name);
        for (bound, sign) in [(selection.from, ">="), (selection.to, "<")] {
            let Some(micros) = bound else { continue };
            let value = self.time_param(micros);
            conditions.push(format!("{time} {sign} {value}"));
        }
        for (column, labels) in &selection.chosen {
            let label = self.label(*column)?;
            if self.dialect == Dialect::Postgres {
                let labels = self.param(Param::Texts(labels.clone()));
                conditions.push(format!("{label} = ANY({labels})"));
            } else {
                let labels: Vec<String> = labels.iter().map(|label| self.param(Param::Text(label.clone()))).collect();
                conditions.push(format!("{label} IN ({})", labels.join(", ")));
            }
        }
        Ok(if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) })
    }

    fn time_param(&mut self, micros: i64) -> String {
        match self.time.ty {
            DataType::Date => self.param(Param::Day(i32::try_from(micros.div_euclid(DAY)).unwrap_or(i32::MAX))),
            _ => self.param(Param::Time(micros)),
        }
    }

    fn by(&self, by: By) -> Result<(String, Output), MartError> {
        let (sql, output) = match by {
            By::Column(index) => (self.label(index)?, Output::Text),
            By::Span(micros) => (self.span(micros), Output::Of(DataType::Int64)),
            By::Interval { column, width } => {
                let column = self.column(column)?;
                (self.interval(&column, width), Output::Of(DataType::Int64))
            }
        };
        let text = self.dialect == Dialect::Postgres && output != Output::Text;
        // Grouped and ordered by the number: Postgres gives it as 64 bits and the hands make text of it.
        Ok((if text { format!("({sql})::bigint") } else { sql }, output))
    }

    fn span(&self, micros: i64) -> String {
        let time = quoted(&self.time.name);
        match (self.dialect, self.time.ty) {
            (Dialect::Postgres, DataType::Date) => {
                format!("floor(({time} - DATE '1970-01-01') * {DAY}::numeric / {micros})")
            }
            // Doubles hold microseconds exactly until the year 2255.
            (Dialect::Postgres, _) => format!("floor(date_part('epoch', {time}) * {SECOND} / {micros})"),
            (Dialect::Sqlite, DataType::Date) => floored(&format!("({time} * {DAY})"), micros),
            (Dialect::Sqlite, _) => floored(&time, micros),
        }
    }

    fn interval(&self, column: &Column, width: u32) -> String {
        let name = quoted(&column.name);
        match (self.dialect, column.ty) {
            (Dialect::Postgres, _) => format!("floor({name} / {width})"),
            (Dialect::Sqlite, DataType::Float64) => format!("CAST(floor({name} / {width}.0) AS INTEGER)"),
            (Dialect::Sqlite, ty) => floored(&name, i64::from(width) * unit(ty)),
        }
    }

    fn part(&self, part: Part) -> Result<(String, Output), MartError> {
        let (sql, output) = self.number_of(part)?;
        let sql = match (self.dialect, output) {
            (Dialect::Postgres, Output::Of(DataType::Timestamp)) => {
                format!("floor(date_part('epoch', {sql}) * {SECOND})::bigint::text")
            }
            (Dialect::Postgres, _) => format!("{sql}::text"),
            (Dialect::Sqlite, _) => sql,
        };
        let time = matches!(part, Part::First | Part::Last);
        Ok((sql, if time { Output::Of(DataType::Int64) } else { output }))
    }

    /// A part as a number, to be ordered by.
    fn number_of(&self, part: Part) -> Result<(String, Output), MartError> {
        let whole = Output::Of(DataType::Int64);
        let name = |column: usize| self.column(column).map(|column| quoted(&column.name));
        Ok(match part {
            Part::Count => ("count(*)".to_owned(), whole),
            Part::CountOf(column) => (format!("count({})", name(column)?), whole),
            Part::Distinct(column) => (format!("count(DISTINCT {})", name(column)?), whole),
            Part::Sum(column) => self.sum(&self.column(column)?)?,
            Part::Of(index) => {
                let Origin::Kpi(kpi) = self.origin else { return Err(missing("KPI")) };
                let mart = self.pipeline.kpis.get(kpi).and_then(|kpi| kpi.mart.as_ref());
                let column = mart.and_then(|mart| mart.columns.get(index)).ok_or_else(|| missing("measure"))?;
                self.sum(&column.column)?
            }
            Part::First => (format!("min({})", quoted(&self.time.name)), Output::Of(self.time.ty)),
            Part::Last => (format!("max({})", quoted(&self.time.name)), Output::Of(self.time.ty)),
        })
    }

    /// In SQLite decimals are whole numbers up to 18 digits, whose sum is exact.
    fn sum(&self, column: &Column) -> Result<(String, Output), MartError> {
        if let (Dialect::Sqlite, DataType::Decimal { precision, .. }) = (self.dialect, column.ty)
            && precision > 18
        {
            return Err(MartError::Config(format!(
                "column {} has more than 18 digits: SQLite can't add it up exactly; declare a smaller decimal, or use Postgres",
                column.name
            )));
        }
        Ok((format!("sum({})", quoted(&column.name)), Output::Of(column.ty)))
    }

    /// Counting different values by grouping first: Postgres shares that among workers, and other parts come along.
    fn counted_apart(self, question: &Question, distinct: usize, wheres: &str) -> Result<Statement, MartError> {
        let value = quoted(&self.column(distinct)?.name);
        let (mut inner, mut outer, mut outputs) = (vec![format!("{value} AS v")], Vec::new(), Vec::new());
        for (i, part) in question.parts.iter().enumerate() {
            let (sql, output) = self.number_of(*part)?;
            let text = if self.dialect == Dialect::Postgres { "::text" } else { "" };
            outputs.push(output);
            if matches!(part, Part::Distinct(_)) {
                outer.push(format!("count(v){text}"));
                continue;
            }
            inner.push(format!("{sql} AS p{i}"));
            let counts = matches!(part, Part::Count | Part::CountOf(_));
            outer.push(if counts { format!("coalesce(sum(p{i}), 0){text}") } else { format!("sum(p{i}){text}") });
        }
        let sql = format!(
            "SELECT {} FROM (SELECT {} FROM {}{wheres} GROUP BY 1) AS apart",
            outer.join(", "),
            inner.join(", "),
            self.table()
        );
        Ok(self.done(sql, outputs))
    }

    /// Columns of the rows table as texts.
    fn shown(&self, columns: &[usize]) -> Result<(Vec<String>, Vec<Output>), MartError> {
        let mut texts = Vec::new();
        let mut outputs = Vec::new();
        for index in columns {
            let column = self.column(*index)?;
            let name = quoted(&column.name);
            texts.push(match (self.dialect, column.ty) {
                (Dialect::Postgres, DataType::Timestamp) => {
                    format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
                }
                (Dialect::Postgres, _) => format!("{name}::text"),
                (Dialect::Sqlite, _) => name,
            });
            outputs.push(Output::Of(column.ty));
        }
        Ok((texts, outputs))
    }
}

/// A whole number divided by another, rounded down also below zero.
fn floored(value: &str, by: i64) -> String {
    format!("({value} - (({value} % {by}) + {by}) % {by}) / {by}")
}

/// How many units SQLite's whole number has in one.
fn unit(ty: DataType) -> i64 {
    match ty {
        DataType::Decimal { scale, .. } => 10i64.checked_pow(scale.unsigned_abs().into()).unwrap_or(1),
        _ => 1,
    }
}
