//! Looking into the journal without changing it.

use std::fmt::Write;

use ::journal::inspect::{Damage, SegmentReport, segments};
use anyhow::Context;

use crate::{
    app::journal_dir,
    cli::InspectArgs,
    commands::{load, say},
};

pub(crate) fn inspect(args: &InspectArgs) -> anyhow::Result<()> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => journal_dir(&load(&args.config)?),
    };
    let found = segments(&dir).with_context(|| format!("cannot look into {}", dir.display()))?;
    let mut text = format!("{} segments in {}", found.len(), dir.display());
    for segment in &found {
        write!(text, "\n{}", line(segment)).context("cannot write a line")?;
    }
    for (name, position) in ::journal::inspect::cursors(&dir)? {
        write!(text, "\ncursor {name} at {}", position.0).context("cannot write a line")?;
    }
    say(&text)
}

fn line(segment: &SegmentReport) -> String {
    let name = segment.file.file_name().unwrap_or_default().to_string_lossy();
    let time = |ms: Option<i64>| {
        ms.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
            .map_or("-".into(), |t| t.to_string())
    };
    let damage = match segment.damage {
        None => "sound".to_owned(),
        Some(Damage::Header) => "damaged header; the records are readable".to_owned(),
        Some(Damage::Tail) => format!("damaged after position {}", segment.end.0),
        Some(Damage::UnknownVersion(v)) => format!("format version {v}, which this program does not know"),
    };
    format!(
        "{name}  from {} to {}  {} records  {} bytes  {} … {}  {damage}",
        segment.base.0,
        segment.end.0,
        segment.records,
        segment.bytes,
        time(segment.first_time_ms),
        time(segment.last_time_ms),
    )
}
