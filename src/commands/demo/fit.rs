//! Text that fits a terminal: nothing is cut at its edge, what is too wide goes on in the next line. Pure.

use super::view::Table;

/// Longest cell of a table; what is longer ends with an ellipsis.
const CELL: usize = 19;

/// Columns and lines of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub lines: usize,
}

/// `label` and then the pieces, `gap` between two of them, broken only there; further lines are indented under the first
/// piece.
#[must_use]
pub fn wrapped(label: &str, pieces: &[String], gap: &str, columns: usize) -> String {
    let indent = chars(label);
    let (mut out, mut at) = (label.to_owned(), indent);
    for piece in pieces {
        if at > indent && at + chars(gap) + chars(piece) > columns {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            at = indent;
        } else if at > indent {
            out.push_str(gap);
            at += chars(gap);
        }
        out.push_str(piece);
        at += chars(piece);
    }
    out.push('\n');
    out
}

/// The table, its rows folded into as many lines as their columns need, as many of them as there are lines for.
#[must_use]
pub fn folded(table: &Table, size: Size) -> String {
    let widths: Vec<usize> = (0..table.columns.len())
        .map(|i| rows_of(table).filter_map(|row| row.get(i)).map(|text| chars(&cell(text))).max().unwrap_or(0))
        .collect();
    let folds = folds(&widths, size.columns);
    let shown = (size.lines / folds.len().max(1)).max(2);
    let mut out = String::new();
    for row in rows_of(table).take(shown) {
        for (number, fold) in folds.iter().enumerate() {
            let cells = fold.clone().filter_map(|i| Some((cell(row.get(i)?), *widths.get(i)?)));
            let line = cells.map(|(text, width)| format!("{text:<width$}")).collect::<Vec<_>>().join("  ");
            out.push_str(&" ".repeat(indent(number)));
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// Which columns share a line: as many as fit, at least one.
fn folds(widths: &[usize], columns: usize) -> Vec<std::ops::Range<usize>> {
    let (mut folds, mut begin, mut at) = (Vec::new(), 0, indent(0));
    for (i, width) in widths.iter().enumerate() {
        if i > begin && at + width > columns {
            folds.push(begin..i);
            (begin, at) = (i, indent(folds.len()));
        }
        at += width + 2;
    }
    folds.push(begin..widths.len());
    folds
}

/// Lines that go on with a row stand further in.
fn indent(fold: usize) -> usize {
    if fold == 0 { 2 } else { 6 }
}

fn rows_of(table: &Table) -> impl Iterator<Item = &Vec<String>> {
    std::iter::once(&table.columns).chain(&table.rows)
}

fn cell(text: &str) -> String {
    if chars(text) <= CELL {
        return text.to_owned();
    }
    text.chars().take(CELL - 1).chain(['…']).collect()
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let texts = |of: [&str; 4]| of.map(str::to_owned).to_vec();
        Table {
            name: "t".to_owned(),
            columns: texts(["start", "shop", "orders", "revenue"]),
            rows: vec![texts(["10:00:00", "a", "3", "12.50"]), texts(["09:00:00", "b", "4", "1.00"])],
        }
    }

    #[test]
    fn a_table_that_fits_has_a_line_per_row() {
        let wide =
            "  start     shop  orders  revenue\n  10:00:00  a     3       12.50\n  09:00:00  b     4       1.00\n";
        for columns in [80, 33] {
            assert_eq!(folded(&table(), Size { columns, lines: 10 }), wide, "{columns}");
        }
    }

    #[test]
    fn a_wider_one_is_folded_and_shows_fewer_rows() {
        let folds = "  start     shop  orders\n      revenue\n  10:00:00  a     3\n      12.50\n";
        assert_eq!(folded(&table(), Size { columns: 32, lines: 5 }), folds);
        let one_by_one = folded(&table(), Size { columns: 1, lines: 100 });
        assert_eq!(one_by_one.lines().count(), 12, "{one_by_one}");
    }

    #[test]
    fn a_line_breaks_between_pieces_only() {
        let pieces = ["1 commit,", "7 kpi,", "3 partition"].map(str::to_owned);
        assert_eq!(wrapped("who  ", &pieces, " ", 80), "who  1 commit, 7 kpi, 3 partition\n");
        assert_eq!(wrapped("who  ", &pieces, " ", 21), "who  1 commit, 7 kpi,\n     3 partition\n");
        assert_eq!(wrapped("who  ", &pieces, " ", 3), "who  1 commit,\n     7 kpi,\n     3 partition\n");
    }

    #[test]
    fn a_long_cell_says_that_it_goes_on() {
        assert_eq!(cell(&"é".repeat(19)), "é".repeat(19));
        assert_eq!(cell(&"é".repeat(20)), format!("{}…", "é".repeat(18)));
    }
}
