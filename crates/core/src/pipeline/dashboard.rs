//! What a pipeline's board in the browser shows. No decision about rows: it is no part of the definition's hash.
//!
//! Columns are given by their index in `RowsMart::columns`.

use super::{Kpi, Pipeline, Window};
use crate::types::{Column, DataType};

/// The board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dashboard {
    /// Its heading.
    pub title: String,
    /// The column whose range is chosen; a timestamp.
    pub time: usize,
    /// The span up to now that is shown at first, microseconds; `None`: everything.
    pub last: Option<i64>,
    /// Columns to choose values of.
    pub filters: Vec<usize>,
    /// Columns of the newest rows.
    pub rows: Vec<usize>,
    /// Single figures.
    pub tiles: Vec<Tile>,
    /// Charts.
    pub charts: Vec<Chart>,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// Its heading.
    pub title: String,
    /// What is shown; with `top`, what decides.
    pub measure: BoardMeasure,
    /// Shows the value of this column whose `measure` is greatest, in place of the measure.
    pub top: Option<usize>,
}

/// One chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    /// Its heading.
    pub title: String,
    /// What is drawn.
    pub plot: Plot,
}

/// What a chart draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plot {
    /// A measure over time.
    Line {
        /// What is measured.
        measure: BoardMeasure,
        /// Microseconds that a point stands for, at least.
        every: i64,
    },
    /// A measure over time, by the values of a column.
    Stacked {
        /// What is measured.
        measure: BoardMeasure,
        /// Microseconds that a bar stands for, at least.
        every: i64,
        /// The column.
        by: usize,
    },
    /// A measure by the values of a column, greatest first.
    Bar {
        /// What is measured.
        measure: BoardMeasure,
        /// The column.
        by: usize,
        /// Most bars.
        top: u32,
    },
    /// The same as shares of a whole.
    Doughnut {
        /// What is measured.
        measure: BoardMeasure,
        /// The column.
        by: usize,
        /// Most parts.
        top: u32,
    },
    /// The newest rows as points.
    Scatter {
        /// Column of the horizontal axis.
        x: usize,
        /// Column of the vertical axis.
        y: usize,
        /// Most points.
        points: u32,
    },
    /// How many rows there are by intervals of a column.
    Histogram {
        /// The column.
        column: usize,
        /// The intervals' width.
        width: u32,
    },
}

/// A figure over rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardMeasure {
    /// What is computed.
    pub figure: Figure,
    /// Where it can be read from instead of the rows.
    pub kpi: Option<FromKpi>,
    /// The currency of amounts, three capital letters.
    pub currency: Option<String>,
}

/// What is computed over rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Figure {
    /// Rows.
    Count,
    /// Rows in which the column isn't NULL.
    CountOf(usize),
    /// Different values of the column. Never read from KPIs: they can't be added.
    Distinct(usize),
    /// The sum of a column.
    Sum(usize),
    /// Sum divided by count.
    Average(usize),
}

/// The columns of a KPI's mart table that hold a figure's parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FromKpi {
    /// Index in `Pipeline::kpis`.
    pub kpi: usize,
    /// Index in `KpiMart::columns` of what is added up: the count, or the sum.
    pub part: usize,
    /// For an average the index of the count.
    pub count: Option<usize>,
}

impl Figure {
    /// The column that it reads.
    #[must_use]
    pub fn column(self) -> Option<usize> {
        match self {
            Self::Count => None,
            Self::CountOf(column) | Self::Distinct(column) | Self::Sum(column) | Self::Average(column) => Some(column),
        }
    }
}

impl Kpi {
    /// The index in `KpiMart::columns` of the key column that holds row column `silver`.
    #[must_use]
    pub fn mart_key(&self, silver: usize) -> Option<usize> {
        let position = self.key.iter().position(|key| *key == silver)?;
        self.mart.as_ref()?.primary_key.get(1 + position).copied()
    }

    /// The index in `KpiMart::columns` of the column that is measure `measure` and nothing else.
    fn mart_measure(&self, measure: usize) -> Option<usize> {
        let scope = 2 + self.key.len() + measure;
        self.mart.as_ref()?.columns.iter().position(|column| column.expr.as_column() == Some(scope))
    }

    /// The length of its windows, microseconds.
    #[must_use]
    pub fn window_size(&self) -> i64 {
        match self.window {
            Window::Tumbling { size } => size,
        }
    }

    /// Where the table holds the parts of a figure. `silver`: the row column of an index in the rows table.
    #[must_use]
    pub fn parts(
        &self,
        kpi: usize,
        figure: Figure,
        silver: &[Column],
        source: impl Fn(usize) -> Option<usize>,
    ) -> Option<FromKpi> {
        use crate::expr::Aggregate;
        let never_null = |index: usize| silver.get(index).is_some_and(|column| !column.nullable);
        let find = |aggregate: Aggregate, wanted: Option<usize>| {
            let measure = self.measures.iter().position(|measure| {
                let read = measure.expr.arg.as_ref().map(|arg| arg.as_column());
                measure.expr.aggregate == aggregate
                    && match (read, wanted) {
                        (None, None) => true,
                        (Some(Some(read)), Some(wanted)) if read == wanted => true,
                        // A count of what is never NULL counts rows.
                        (Some(Some(read)), None) => aggregate == Aggregate::Count && never_null(read),
                        _ => false,
                    }
            })?;
            self.mart_measure(measure)
        };
        let count = |of: Option<usize>| find(Aggregate::Count, of.filter(|of| !never_null(*of)));
        let plain = |part: Option<usize>| part.map(|part| FromKpi { kpi, part, count: None });
        match figure {
            Figure::Count => plain(count(None)),
            Figure::CountOf(column) => plain(count(Some(source(column)?))),
            Figure::Sum(column) => plain(find(Aggregate::Sum, Some(source(column)?))),
            Figure::Average(column) => {
                let column = source(column)?;
                Some(FromKpi { kpi, part: find(Aggregate::Sum, Some(column))?, count: Some(count(Some(column))?) })
            }
            Figure::Distinct(_) => None,
        }
    }
}

impl Pipeline {
    /// The type of a column of the rows table, by its index there.
    #[must_use]
    pub fn rows_column(&self, index: usize) -> Option<(String, Column)> {
        let (name, source) = self.rows.as_ref()?.columns.get(index)?;
        Some((name.clone(), self.silver_columns().get(*source)?.clone()))
    }

    /// What stands for NULL among the labels of that column: the word of the KPIs that are keyed by it.
    #[must_use]
    pub fn null_label(&self, index: usize) -> &str {
        let source = self.rows.as_ref().and_then(|rows| rows.columns.get(index)).map(|(_, source)| *source);
        let kpi = self.kpis.iter().find(|kpi| source.is_some_and(|source| kpi.key.contains(&source)));
        kpi.map_or("unknown", |kpi| kpi.null_key.as_str())
    }
}

/// Whether values of the type can be chosen, or stand below bars.
#[must_use]
pub fn makes_labels(ty: DataType) -> bool {
    matches!(ty, DataType::String | DataType::Bool | DataType::Int32 | DataType::Int64 | DataType::Date)
}

/// Whether the type is a number's.
#[must_use]
pub fn is_number(ty: DataType) -> bool {
    matches!(ty, DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Decimal { .. })
}
