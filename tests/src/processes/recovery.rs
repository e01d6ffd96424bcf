//! What a recovery must not find where only filepact has written: somebody's edits.

use filepact::Report;

use super::Outcome;

pub(crate) fn found_no_edits(report: &Report) -> Outcome {
    let Report { adopted, rescued, left, replayed, .. } = report;
    match adopted.is_empty() && rescued.is_empty() && left.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "a recovery found edits that nobody has made: adopted {adopted:?}, rescued {rescued:?}, \
             left {left:?}; it has published {replayed:?} again"
        )
        .into()),
    }
}
