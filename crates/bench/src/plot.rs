//! Bar charts as SVG: how many times the floor a commit takes.
//!
//! One chart for each case; the scale is logarithmic, since the slowest system takes hundreds of
//! times what the fastest does.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::Outcome;
use crate::args::{Args, Name};
use crate::report::Row;
use crate::systems::Kind;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 44.0;
const BAR: f64 = 18.0;
const STEP: f64 = 26.0;

/// Makes the folder, before hours are spent; an error if there will be nothing to plot.
pub(crate) fn prepare(folder: &Path, args: &Args) -> Outcome {
    if !args.bench.each().any(|name| name == Name::Commit) {
        return Err("--plot is for `commit` and `all`".into());
    }
    if !(args.systems.is_empty() || args.systems.contains(&Kind::Floor)) {
        return Err("--plot shows ratios to the floor: it needs `floor` among the systems".into());
    }
    let failed = |error| format!("cannot make {}: {error}", folder.display());
    Ok(fs::create_dir_all(folder).map_err(failed)?)
}

/// Writes the charts of all cases of `commit` into the folder.
pub(crate) fn write(folder: &Path, rows: &[Row]) -> Outcome {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.case.bench == "commit").collect();
    let charts = rows.chunk_by(|a, b| size(a) == size(b));
    for rows in charts {
        let (docs, bytes) = size(rows[0]);
        let name = format!("commit-{docs}x{}.svg", words(bytes).replace(' ', ""));
        let path = folder.join(name);
        let failed = |error| format!("cannot write {}: {error}", path.display());
        fs::write(&path, chart(rows)).map_err(failed)?;
    }
    Ok(())
}

fn size(row: &Row) -> (u64, u64) {
    (row.case.docs, row.case.bytes)
}

/// 1024: "1 KiB".
fn words(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        bytes if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} B"),
    }
}

fn chart(rows: &[&Row]) -> String {
    let mut bars: Vec<(&str, f64)> =
        rows.iter().filter_map(|row| Some((row.system, row.per_floor?))).collect();
    bars.sort_by(|a, b| a.1.total_cmp(&b.1));
    let most = bars.last().map_or(1.0, |bar| bar.1).max(2.0);
    let height = TOP + STEP * bars.len() as f64 + 30.0;
    let place = |ratio: f64| LEFT + (WIDTH - LEFT - RIGHT) * (ratio.max(1.0).ln() / most.ln());
    let (docs, bytes) = size(rows[0]);
    let title = format!(
        "Durable commit of {docs} x {}: times the floor (one overwrite + fdatasync), logarithmic",
        words(bytes)
    );
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n"
    );
    for mark in [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0] {
        if mark > most {
            break;
        }
        let (x, low) = (place(mark), height - 26.0);
        let _ = write!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{low}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555555\">{mark}</text>\n",
            height - 10.0
        );
    }
    for (at, (system, ratio)) in bars.iter().enumerate() {
        let y = TOP + STEP * at as f64 + (STEP - BAR) / 2.0;
        let color = match *system {
            "filepact" => "#1f6feb",
            "filepact-files" => "#79a7f2",
            "floor" => "#555555",
            _ => "#b9b9b9",
        };
        // What is 1 is seen as well.
        let end = place(*ratio).max(LEFT + 2.0);
        let text = y + BAR - 4.5;
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{text:.1}\" text-anchor=\"end\">{system}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{color}\"/>\n\
             <text x=\"{:.1}\" y=\"{text:.1}\">{ratio:.2}</text>\n",
            LEFT - 8.0,
            end - LEFT,
            end + 6.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Case;

    #[test]
    fn a_chart_shows_every_system_the_fastest_first() {
        let row = |system, per_floor| Row {
            case: Case { bench: "commit", docs: 10, bytes: 1024, threads: 1, ..Case::default() },
            system,
            count: 1,
            median_us: 1.0,
            p99_us: 1.0,
            max_us: 1.0,
            per_floor: Some(per_floor),
            per_second: None,
            mib_per_second: None,
            peak_mib: None,
        };
        let rows = [row("naive", 20.0), row("floor", 1.0), row("filepact", 1.4)];
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &rows).unwrap();
        let svg = fs::read_to_string(folder.path().join("commit-10x1KiB.svg")).unwrap();
        let at = |text: &str| svg.find(text).unwrap();
        assert!(at(">floor<") < at(">filepact<") && at(">filepact<") < at(">naive<"));
        assert!(svg.contains(">1.40<") && svg.ends_with("</svg>\n"));
    }
}
