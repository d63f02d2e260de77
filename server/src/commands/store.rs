//! The time-series store, looked into and worked on while no server runs.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use domain::{Clock, Scope, SeriesId, TimeRange, UtcMillis};
use store::{
    ExportFormat, ExportProgress, Level, SeriesStore,
    series::inspect::{Survey, check as look_over, survey},
};

use crate::{
    app::{open_series, series_dir},
    cli::{ExportAs, StoreArgs, StoreCompactArgs, StoreExportArgs},
    commands::{load, progress::Progress, say},
};

const MIB: f64 = 1_048_576.0;

pub(crate) fn check(args: &StoreArgs) -> anyhow::Result<()> {
    let dir = folder(args)?;
    let mut progress = Progress::new();
    let report = look_over(&dir, &mut |read, total| {
        progress.show(read, total, &format!("{:.0} MiB read", mib(read)));
    })
    .context("the store cannot be checked")?;
    drop(progress);
    say(&table(&report.survey)?)?;
    for problem in &report.problems {
        say(&format!("{}: {}", problem.file.display(), problem.what))?;
    }
    if report.problem_count > 0 {
        bail!(
            "{} problems in {}; restore the files named above from a backup, or move them away to go on without them",
            report.problem_count,
            dir.display()
        );
    }
    say("Everything reads back as it was written.")
}

pub(crate) fn stats(args: &StoreArgs) -> anyhow::Result<()> {
    let dir = folder(args)?;
    let survey = survey(&dir).with_context(|| format!("cannot look into {}", dir.display()))?;
    say(&table(&survey)?)
}

pub(crate) fn compact(args: &StoreCompactArgs) -> anyhow::Result<()> {
    let store = open(&args.store)?;
    let before = store.stats();
    let mut progress = Progress::new();
    let total = before.days_waiting;
    store
        .compact_telling(args.all, &mut |left| {
            progress.show(total.saturating_sub(left), total, &format!("{left} days left"));
        })
        .context("the store cannot be compacted; what is done stays done")?;
    drop(progress);
    let after = store.stats();
    say(&format!(
        "{} chunks in {:.1} MiB, before {} chunks in {:.1} MiB; {} days wait until they are over",
        after.chunks,
        mib(after.disk_bytes),
        before.chunks,
        mib(before.disk_bytes),
        after.days_waiting
    ))
}

pub(crate) fn export(args: &StoreExportArgs) -> anyhow::Result<()> {
    let range = TimeRange {
        from: args.from.map_or(UtcMillis(i64::MIN), moment),
        to: args.to.map_or(UtcMillis(i64::MAX), moment),
    };
    if range.from >= range.to {
        bail!("--from is not before --to: there is nothing between them");
    }
    let store = open(&args.store)?;
    let chosen = choose(&store, args);
    if chosen.is_empty() {
        bail!(
            "no series matches; `sunshine store stats` says how many there are, and the device page names them"
        );
    }
    let format = match args.format {
        ExportAs::Csv => ExportFormat::Csv,
        ExportAs::Parquet => ExportFormat::Parquet,
    };
    let Some(path) = args.output.as_deref().filter(|path| *path != Path::new("-")) else {
        return write(&store, &chosen, range, (format, std::io::stdout())).map(drop);
    };
    let done = write_file(&store, &chosen, range, (format, path))?;
    say(&format!(
        "{} readings of {} series in {}",
        done.readings,
        done.series,
        path.display()
    ))
}

/// Writes a file that is there only when it is whole.
fn write_file(
    store: &SeriesStore,
    series: &[SeriesId],
    range: TimeRange,
    (format, path): (ExportFormat, &Path),
) -> anyhow::Result<ExportProgress> {
    if path.exists() {
        bail!("{} is there already; name another file", path.display());
    }
    let mut part = path.to_owned().into_os_string();
    part.push(".part");
    let part = PathBuf::from(part);
    let cannot = || format!("cannot write {}", part.display());
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&part)
        .with_context(cannot)?;
    let done = write(store, series, range, (format, &file)).and_then(|done| {
        file.sync_all().with_context(cannot)?;
        Ok(done)
    });
    match done {
        Ok(done) => {
            std::fs::rename(&part, path).with_context(|| format!("cannot name {}", path.display()))?;
            Ok(done)
        }
        Err(failed) => {
            // The failure is what counts; a part that cannot be removed says by its name what it is.
            drop(std::fs::remove_file(&part));
            Err(failed)
        }
    }
}

fn write<W: Write + Send>(
    store: &SeriesStore,
    series: &[SeriesId],
    range: TimeRange,
    (format, out): (ExportFormat, W),
) -> anyhow::Result<ExportProgress> {
    let mut progress = Progress::new();
    let mut tell = |done: ExportProgress| {
        let what = format!(
            "{} of {} series, {} readings",
            done.series, done.of_series, done.readings
        );
        progress.show(done.series as u64, done.of_series as u64, &what);
        ControlFlow::Continue(())
    };
    let scope = Scope::everything();
    Ok(store.export(&scope, (series, range), (format, out), &mut tell)?)
}

/// The series that match everything that was named.
fn choose(store: &SeriesStore, args: &StoreExportArgs) -> Vec<SeriesId> {
    store
        .all_series(&Scope::everything())
        .into_iter()
        .filter(|(key, _)| {
            args.facility
                .as_ref()
                .is_none_or(|wanted| key.facility == *wanted)
                && args.device.as_ref().is_none_or(|wanted| key.device == *wanted)
                && args.metric.as_ref().is_none_or(|wanted| key.metric == *wanted)
        })
        .map(|(_, id)| id)
        .collect()
}

fn moment(at: jiff::Timestamp) -> UtcMillis {
    UtcMillis(at.as_millisecond())
}

fn folder(args: &StoreArgs) -> anyhow::Result<PathBuf> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => series_dir(&load(&args.config)?.data_dir.0),
    };
    // A folder that is not there is a mistake, not an empty store.
    if !dir.join("catalog.db").exists() {
        bail!("there is no time-series store in {}", dir.display());
    }
    Ok(dir)
}

fn open(args: &StoreArgs) -> anyhow::Result<SeriesStore> {
    let dir = folder(args)?;
    open_series(&load(&args.config)?, dir, &Clock::system())
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

fn table(survey: &Survey) -> anyhow::Result<String> {
    let mut text = format!(
        "{} series, the log is on disk up to {}",
        survey.series, survey.checkpoint.0
    );
    for (what, from) in [
        ("readings", survey.raw_from),
        ("minutes", survey.minutes_from),
        ("hours", survey.hours_from),
    ] {
        if let Some(from) = from {
            write!(text, "; {what} are kept from {}", day(from.0 / 86_400_000))?;
        }
    }
    for level in [Level::Raw, Level::Minute, Level::Hour] {
        let mut sum = (0, 0, 0);
        for file in survey.files.iter().filter(|file| file.level == level) {
            let name = file.file.file_name().unwrap_or_default().to_string_lossy();
            let (first, last) = (day(file.first_day), day(file.last_day));
            let figures = figures(file.bytes, file.rows, file.values);
            write!(text, "\n{name:<16}  {first} … {last}  {figures}")?;
            sum = (sum.0 + file.bytes, sum.1 + file.rows, sum.2 + file.values);
        }
        let name = match level {
            Level::Raw => "readings",
            Level::Minute => "minutes",
            Level::Hour => "hours",
        };
        write!(
            text,
            "\nall {name:<12}  {:<23}  {}",
            "",
            figures(sum.0, sum.1, sum.2)
        )?;
    }
    Ok(text)
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn figures(bytes: u64, rows: u64, values: u64) -> String {
    let each = if values > 0 {
        bytes as f64 / values as f64
    } else {
        0.0
    };
    format!(
        "{:>9.1} MiB  {rows:>9} rows  {values:>12} values  {each:>6.2} bytes each",
        mib(bytes)
    )
}

/// A day of the calendar in UTC, by its number since 1970-01-01.
fn day(number: i64) -> String {
    number
        .checked_mul(86_400_000)
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| number.to_string(), |at| at.strftime("%Y-%m-%d").to_string())
}
