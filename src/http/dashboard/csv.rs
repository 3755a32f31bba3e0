//! Rows as a CSV file (RFC 4180), sent while they are read.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use futures::StreamExt;
use lakeward_connect::mart::MartError;
use lakeward_connect::mart::board::{Answer, BoardReader, Selection};
use lakeward_core::pipeline::Pipeline;
use lakeward_core::types::DataType;
use tokio::sync::Semaphore;

use super::Refusal;

/// Files that are sent at once; each holds a connection to the mart.
static UNDER_WAY: Semaphore = Semaphore::const_new(2);

/// All columns of the rows table.
pub async fn file(pipeline: &Pipeline, reader: &BoardReader, selection: &Selection) -> Result<HttpResponse, Refusal> {
    let busy = |_| {
        let status = actix_web::http::StatusCode::SERVICE_UNAVAILABLE;
        Refusal::new(status, "BUSY", "two files are being sent already; try again when one is done")
    };
    let permit = UNDER_WAY.try_acquire().map_err(busy)?;
    let count = pipeline.rows.as_ref().map_or(0, |rows| rows.columns.len());
    let columns: Vec<_> = (0..count).filter_map(|index| pipeline.rows_column(index)).collect();
    let numbers: Vec<bool> = columns.iter().map(|(_, column)| is_number(column.ty)).collect();
    let mut head = Vec::new();
    line(&mut head, columns.iter().map(|(_, column)| (Some(column.name.as_str()), false)));
    let indices: Vec<usize> = (0..columns.len()).collect();
    let rows = reader.export(pipeline, selection, &indices).await?;
    let chunks = futures::stream::unfold((rows, numbers, permit), |(mut rows, numbers, permit)| async move {
        let chunk = rows.recv().await?;
        Some((chunk.map(|rows| lines(&rows, &numbers)), (rows, numbers, permit)))
    });
    let head = futures::stream::once(async move { Ok::<_, MartError>(web::Bytes::from(head)) });
    let name = format!("attachment; filename=\"{}.csv\"", pipeline.name);
    Ok(HttpResponse::Ok()
        .content_type("text/csv; charset=utf-8; header=present")
        .insert_header((header::CONTENT_DISPOSITION, name))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // A mart that breaks off half-way breaks the connection off: the file is seen to be incomplete.
        .streaming(head.chain(chunks).map(|chunk| chunk.map_err(|e| std::io::Error::other(e.to_string())))))
}

fn is_number(ty: DataType) -> bool {
    matches!(ty, DataType::Int32 | DataType::Int64 | DataType::Float64 | DataType::Decimal { .. })
}

fn lines(rows: &Answer, numbers: &[bool]) -> web::Bytes {
    let mut out = Vec::new();
    for row in rows {
        line(&mut out, row.iter().map(Option::as_deref).zip(numbers.iter().copied()));
    }
    out.into()
}

/// One line; each value with whether it is a number.
fn line<'a>(out: &mut Vec<u8>, values: impl Iterator<Item = (Option<&'a str>, bool)>) {
    for (i, (value, number)) in values.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        let value = value.unwrap_or_default();
        // A spreadsheet would run what begins like a formula.
        let guard = !number && value.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let quoted = guard || value.contains([',', '"', '\r', '\n']);
        if quoted {
            out.push(b'"');
        }
        if guard {
            out.push(b'\'');
        }
        out.extend_from_slice(if quoted { value.replace('"', "\"\"") } else { value.to_owned() }.as_bytes());
        if quoted {
            out.push(b'"');
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_and_formulas_are_kept_from_running() {
        let check = |value: Option<&str>, number: bool, expected: &str| {
            let mut out = Vec::new();
            line(&mut out, [(value, number), (Some("x"), false)].into_iter());
            assert_eq!(String::from_utf8(out).unwrap(), format!("{expected},x\r\n"));
        };
        check(Some("plain"), false, "plain");
        check(None, false, "");
        check(Some("a,b"), false, "\"a,b\"");
        check(Some("say \"hi\""), false, "\"say \"\"hi\"\"\"");
        check(Some("two\r\nlines"), false, "\"two\r\nlines\"");
        check(Some("-1.50"), true, "-1.50");
        check(Some("-1.50"), false, "\"'-1.50\"");
        check(Some("=cmd|' /C calc'!A0"), false, "\"'=cmd|' /C calc'!A0\"");
        check(Some("@SUM(A1)"), false, "\"'@SUM(A1)\"");
        check(Some("\tx"), false, "\"'\tx\"");
    }
}
