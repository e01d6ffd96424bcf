//! Rows of figures: as a table for a person, or as JSON lines, one as soon as it is known.

use std::io::{self, IsTerminal, Write};

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::Outcome;
use crate::machine::Machine;
use crate::measure::Measured;
use crate::systems::Kind;

/// What is measured, of all systems alike.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Case {
    /// The bench.
    pub(crate) bench: &'static str,
    /// Which of its cases, where the numbers below do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) case: Option<&'static str>,
    /// Documents in one operation.
    pub(crate) docs: u64,
    /// Bytes of each.
    pub(crate) bytes: u64,
    /// Threads of each process.
    pub(crate) threads: u64,
    /// Processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) processes: Option<u64>,
    /// Documents that are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store_docs: Option<u64>,
    /// What a second brings: operations of all together.
    #[serde(skip)]
    pub(crate) rate: bool,
    /// Or bytes, of which an operation moves so many.
    #[serde(skip)]
    pub(crate) moves: Option<u64>,
}

/// The figures of one system in one case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    #[serde(flatten)]
    pub(crate) case: Case,
    /// Who.
    pub(crate) system: &'static str,
    /// Operations measured.
    pub(crate) count: usize,
    /// The middle operation, in microseconds.
    pub(crate) median_us: f64,
    /// 99 of 100 took at most this, in microseconds.
    pub(crate) p99_us: f64,
    /// The slowest one, in microseconds: who waits for a lock may wait for long.
    pub(crate) max_us: f64,
    /// `median_us` by that of the floor in the same case and run.
    pub(crate) per_floor: Option<f64>,
    /// Operations of all threads and processes together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) per_second: Option<f64>,
    /// By the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mib_per_second: Option<f64>,
    /// The most memory that the process ever had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) peak_mib: Option<f64>,
}

impl Row {
    fn new(case: &Case, measured: &Measured, floor: Option<f64>) -> Self {
        let median_us = measured.median_us();
        let moved = |bytes: u64| bytes as f64 / (1 << 20) as f64 / (median_us / 1e6);
        Self {
            case: case.clone(),
            system: measured.system.name(),
            count: measured.count(),
            median_us: round(median_us, 3),
            p99_us: round(measured.p99_us(), 3),
            max_us: round(measured.max_us(), 3),
            per_floor: floor.map(|floor| round(median_us / floor, 3)),
            per_second: case.rate.then(|| round(measured.per_second(), 1)),
            mib_per_second: case.moves.map(|bytes| round(moved(bytes), 1)),
            peak_mib: measured.peak_kib.map(|kib| round(kib as f64 / 1024.0, 1)),
        }
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

/// Where the figures go.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    rows: Vec<Row>,
    /// Rows before these have been shown.
    shown: usize,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, rows: Vec::new(), shown: 0 }
    }

    /// All rows so far.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Says on what all of it is measured.
    pub(crate) fn machine(&self, machine: &Machine) -> Outcome {
        for warning in machine.warnings() {
            eprintln!("warning: {warning}");
        }
        match self.json {
            true => json_line(machine),
            false => line(&machine.line()),
        }
    }

    /// Tells a person who waits what is being measured.
    pub(crate) fn begins(&self, case: &Case) {
        if io::stderr().is_terminal() {
            let Case { bench, case, docs, bytes, .. } = case;
            eprintln!("{bench} {} {docs} x {bytes} bytes ...", case.unwrap_or_default());
        }
    }

    /// Takes the figures of a case.
    pub(crate) fn add(&mut self, case: &Case, measured: &[Measured]) -> Outcome {
        let floor = measured.iter().find(|measured| measured.system == Kind::Floor);
        let floor = floor.map(Measured::median_us);
        for measured in measured {
            let row = Row::new(case, measured, floor);
            if self.json {
                json_line(&row)?;
            }
            self.rows.push(row);
        }
        Ok(())
    }

    /// A bench is over: shows its table. An error if nobody took part in it.
    pub(crate) fn finish(&mut self, bench: &str) -> Outcome {
        let rows = &self.rows[self.shown..];
        if rows.is_empty() {
            let message = format!("none of the systems that were chosen takes part in `{bench}`");
            return Err(message.into());
        }
        self.shown = self.rows.len();
        match self.json {
            true => Ok(()),
            false => line(&format!("\n{}", table(rows))),
        }
    }
}

/// The heading of a column, and what stands in it.
type Column = (&'static str, fn(&Row) -> Option<String>);

const COLUMNS: &[Column] = &[
    ("case", |row| row.case.case.map(str::to_owned)),
    ("in store", |row| row.case.store_docs.map(|docs| docs.to_string())),
    ("processes", |row| row.case.processes.map(|processes| processes.to_string())),
    ("threads", |row| (row.case.threads > 1).then(|| row.case.threads.to_string())),
    ("docs", |row| Some(row.case.docs.to_string())),
    ("bytes", |row| Some(row.case.bytes.to_string())),
    ("system", |row| Some(row.system.to_owned())),
    ("median us", |row| Some(number(row.median_us))),
    ("p99 us", |row| Some(number(row.p99_us))),
    ("max us", |row| Some(number(row.max_us))),
    ("x floor", |row| row.per_floor.map(|ratio| format!("{ratio:.2}"))),
    ("a second", |row| row.per_second.map(number)),
    ("MiB/s", |row| row.mib_per_second.map(number)),
    ("peak MiB", |row| row.peak_mib.map(number)),
    ("count", |row| Some(row.count.to_string())),
];

/// A table as Markdown has it, without the columns in which nothing stands.
fn table(rows: &[Row]) -> Table {
    let stands = |column: &&Column| rows.iter().any(|row| column.1(row).is_some());
    let columns: Vec<&Column> = COLUMNS.iter().filter(stands).collect();
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN);
    table.set_header(columns.iter().map(|(heading, _)| *heading));
    for row in rows {
        table.add_row(columns.iter().map(|(_, cell)| cell(row).unwrap_or_default()));
    }
    for (at, (heading, _)) in columns.iter().enumerate() {
        if !matches!(*heading, "case" | "system")
            && let Some(column) = table.column_mut(at)
        {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Three digits at least, and none that mean nothing.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn json_line(value: &impl Serialize) -> Outcome {
    line(&serde_json::to_string(value)?)
}

fn line(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(system: &'static str, per_floor: Option<f64>) -> Row {
        Row {
            case: Case { bench: "commit", docs: 10, bytes: 1024, threads: 1, ..Case::default() },
            system,
            count: 100,
            median_us: 150.04,
            p99_us: 1234.5,
            max_us: 5000.0,
            per_floor,
            per_second: None,
            mib_per_second: None,
            peak_mib: None,
        }
    }

    #[test]
    fn a_json_line_has_the_fields_that_are_promised() {
        let json = serde_json::to_string(&row("sqlite", Some(1.5))).unwrap();
        let expected = r#"{"bench":"commit","docs":10,"bytes":1024,"threads":1,"system":"sqlite","count":100,"median_us":150.04,"p99_us":1234.5,"max_us":5000.0,"per_floor":1.5}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn a_table_leaves_out_the_columns_in_which_nothing_stands() {
        let table = table(&[row("floor", Some(1.0)), row("sqlite", None)]).to_string();
        let expected = "\
| docs | bytes | system | median us | p99 us | max us | x floor | count |
|------|-------|--------|-----------|--------|--------|---------|-------|
|   10 |  1024 | floor  |       150 |   1234 |   5000 |    1.00 |   100 |
|   10 |  1024 | sqlite |       150 |   1234 |   5000 |         |   100 |";
        assert_eq!(table, expected);
    }
}
