//! Readings out of the store as CSV or Parquet, as a stream: of any number of readings, a bounded number is in memory.

use std::{
    error::Error,
    io::{self, Write},
    ops::ControlFlow,
    sync::Arc,
};

use domain::{Sample, Scope, SeriesId, SeriesKey, TimeRange, UtcMillis};
use parquet::{
    basic::{Compression, Encoding},
    data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::{WriterProperties, WriterVersion},
        writer::{SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::{parser::parse_message_type, types::ColumnPath},
};

use super::{SeriesStore, error::SeriesError};

/// Readings that are read from the store at once.
const PAGE: usize = 65_536;

/// Readings in one row group of a Parquet file: about 4 MiB in memory until it is written.
const ROW_GROUP: usize = 262_144;

/// Texts that are handed to a column at once.
const TEXTS: usize = 4_096;

const SCHEMA: &str = "message reading {
    REQUIRED BYTE_ARRAY facility (STRING);
    REQUIRED BYTE_ARRAY device (STRING);
    REQUIRED BYTE_ARRAY metric (STRING);
    REQUIRED BYTE_ARRAY unit (STRING);
    REQUIRED INT64 time (TIMESTAMP(MILLIS, true));
    REQUIRED DOUBLE value;
}";

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// UTF-8 with a header line: `facility,device,metric,unit,time,value`, the time as RFC 3339 in UTC. Nothing in it
    /// needs quoting: identifiers have no commas.
    Csv,
    /// The same columns, the time as a timestamp in milliseconds; compressed with Snappy.
    Parquet,
}

/// How far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExportProgress {
    /// Series written whole.
    pub series: usize,
    /// Series to be written.
    pub of_series: usize,
    /// Readings written.
    pub readings: u64,
}

/// Why an export ended early.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store could not be read.
    #[error("the readings cannot be read")]
    Store(#[from] SeriesError),
    /// What was written did not get through: a full disk, a closed connection.
    #[error("the export cannot be written; what was written so far is incomplete")]
    Write(#[source] io::Error),
    /// The Parquet writer refused.
    #[error("the export cannot be written as Parquet; what was written so far is incomplete")]
    Format(#[source] Box<dyn Error + Send + Sync>),
    /// Whoever was told of the progress wanted no more.
    #[error("the export was stopped; what was written so far is incomplete")]
    Stopped,
}

impl From<ParquetError> for ExportError {
    fn from(error: ParquetError) -> ExportError {
        ExportError::Format(Box::new(error))
    }
}

impl SeriesStore {
    /// Writes the readings in `range` of every series of `series` that `scope` shows, series by series, each in order
    /// of time. `progress` is told after every few ten thousand readings and can end it. Answers what was written.
    ///
    /// # Errors
    /// [`ExportError`]; `out` then holds an incomplete export.
    pub fn export<W: Write + Send>(
        &self,
        scope: &Scope,
        (series, range): (&[SeriesId], TimeRange),
        (format, out): (ExportFormat, W),
        progress: &mut dyn FnMut(ExportProgress) -> ControlFlow<()>,
    ) -> Result<ExportProgress, ExportError> {
        let mut writer = Writer::new(format, out)?;
        let mut done = ExportProgress {
            of_series: series.len(),
            ..ExportProgress::default()
        };
        for id in series {
            if let Some(key) = self.key(scope, *id) {
                let mut span = range;
                loop {
                    let page = self.scan_page(scope, *id, span, PAGE)?;
                    writer.put(&key, &page.samples)?;
                    done.readings += page.samples.len() as u64;
                    if progress(done).is_break() {
                        return Err(ExportError::Stopped);
                    }
                    match page.next {
                        Some(next) => span.from = next,
                        None => break,
                    }
                }
            }
            done.series += 1;
        }
        writer.finish()?;
        Ok(done)
    }
}

enum Writer<W: Write + Send> {
    Csv(io::BufWriter<W>),
    Parquet(Box<Rows<W>>),
}

impl<W: Write + Send> Writer<W> {
    fn new(format: ExportFormat, out: W) -> Result<Writer<W>, ExportError> {
        match format {
            ExportFormat::Csv => {
                let mut out = io::BufWriter::new(out);
                out.write_all(b"facility,device,metric,unit,time,value\n")
                    .map_err(ExportError::Write)?;
                Ok(Writer::Csv(out))
            }
            ExportFormat::Parquet => Ok(Writer::Parquet(Box::new(Rows::new(out)?))),
        }
    }

    fn put(&mut self, key: &SeriesKey, samples: &[Sample]) -> Result<(), ExportError> {
        match self {
            Writer::Csv(out) => put_lines(out, key, samples).map_err(ExportError::Write),
            Writer::Parquet(rows) => rows.put(key, samples),
        }
    }

    fn finish(self) -> Result<(), ExportError> {
        match self {
            Writer::Csv(mut out) => out.flush().map_err(ExportError::Write),
            Writer::Parquet(rows) => rows.finish(),
        }
    }
}

fn put_lines(out: &mut impl Write, key: &SeriesKey, samples: &[Sample]) -> io::Result<()> {
    let unit = key.metric.unit().code();
    let begin = format!("{},{},{},{unit},", key.facility, key.device, key.metric);
    for Sample { at, value } in samples {
        out.write_all(begin.as_bytes())?;
        match jiff::Timestamp::from_millisecond(at.0) {
            Ok(time) => writeln!(out, "{time},{value}")?,
            // Beyond the year 9999 there is only the number.
            Err(_beyond) => writeln!(out, "{},{value}", at.0)?,
        }
    }
    Ok(())
}

/// A row group as it fills.
struct Rows<W: Write + Send> {
    file: SerializedFileWriter<W>,
    /// The series in the group, and where each one's rows end.
    runs: Vec<(SeriesKey, usize)>,
    times: Vec<i64>,
    values: Vec<f64>,
}

impl<W: Write + Send> Rows<W> {
    fn new(out: W) -> Result<Rows<W>, ExportError> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let column = |name: &str| ColumnPath::from(name);
        let properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_2_0)
            .set_compression(Compression::SNAPPY)
            .set_created_by("Sunshine Kitchen".to_owned())
            .set_column_dictionary_enabled(column("time"), false)
            .set_column_encoding(column("time"), Encoding::DELTA_BINARY_PACKED)
            .build();
        Ok(Rows {
            file: SerializedFileWriter::new(out, schema, Arc::new(properties))?,
            runs: Vec::new(),
            times: Vec::new(),
            values: Vec::new(),
        })
    }

    fn put(&mut self, key: &SeriesKey, mut samples: &[Sample]) -> Result<(), ExportError> {
        while !samples.is_empty() {
            let room = ROW_GROUP - self.times.len();
            let (now, later) = samples.split_at(room.min(samples.len()));
            self.times.extend(now.iter().map(
                |Sample {
                     at: UtcMillis(at), ..
                 }| at,
            ));
            self.values.extend(now.iter().map(|sample| sample.value));
            match self.runs.last_mut() {
                Some((last, end)) if last == key => *end = self.times.len(),
                _ => self.runs.push((key.clone(), self.times.len())),
            }
            if self.times.len() >= ROW_GROUP {
                self.write_group()?;
            }
            samples = later;
        }
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), ExportError> {
        if self.times.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        put_texts(&mut group, &self.runs, |key| key.facility.as_str())?;
        put_texts(&mut group, &self.runs, |key| key.device.as_str())?;
        put_texts(&mut group, &self.runs, |key| key.metric.as_str())?;
        put_texts(&mut group, &self.runs, |key| key.metric.unit().code())?;
        let mut column = group.next_column()?.ok_or_else(missing)?;
        column.typed::<Int64Type>().write_batch(&self.times, None, None)?;
        column.close()?;
        let mut column = group.next_column()?.ok_or_else(missing)?;
        column
            .typed::<DoubleType>()
            .write_batch(&self.values, None, None)?;
        column.close()?;
        group.close()?;
        self.runs.clear();
        self.times.clear();
        self.values.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<(), ExportError> {
        self.write_group()?;
        self.file.close()?;
        Ok(())
    }
}

fn missing() -> ParquetError {
    ParquetError::General("the schema has fewer columns than are written".to_owned())
}

/// Writes a column of texts, each of which holds for a run of rows.
fn put_texts<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    runs: &[(SeriesKey, usize)],
    text: impl Fn(&SeriesKey) -> &str,
) -> Result<(), ExportError> {
    let mut column = group.next_column()?.ok_or_else(missing)?;
    let writer = column.typed::<ByteArrayType>();
    let mut begin = 0;
    for (key, end) in runs {
        // One text, shared by all its rows.
        let some = vec![ByteArray::from(text(key)); TEXTS.min(end - begin)];
        while begin < *end {
            let count = TEXTS.min(end - begin);
            writer.write_batch(&some[..count], None, None)?;
            begin += count;
        }
    }
    column.close()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::{Clock, LogPosition, Quality, Reading};
    use parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::RowAccessor,
    };

    use super::*;
    use crate::SeriesOptions;

    const START: i64 = 1_795_000_000_000;

    /// A store of two series of two facilities, the second with `many` readings.
    fn store(dir: &std::path::Path, many: i64) -> (SeriesStore, Vec<SeriesId>) {
        let store = SeriesStore::open(SeriesOptions::new(dir), Clock::simulated(UtcMillis(START))).unwrap();
        let key = |facility: &str, device: &str| SeriesKey {
            facility: facility.parse().unwrap(),
            device: device.parse().unwrap(),
            metric: "temperature".parse().unwrap(),
        };
        let ids = [key("binhe", "冰箱-1"), key("other", "fridge")].map(|key| store.resolve(&key).unwrap());
        let reading = |series, n: i64| Reading {
            series,
            at: UtcMillis(START + n * 10_000),
            received: UtcMillis(START),
            value: n as f64 / 4.0 - 1.0,
            quality: Quality::Good,
        };
        let mut batch = vec![reading(ids[0], 0), reading(ids[0], 1)];
        batch.extend((0..many).map(|n| reading(ids[1], n)));
        store.append(&batch, LogPosition(0), LogPosition(1)).unwrap();
        (store, ids.to_vec())
    }

    const ALWAYS: TimeRange = TimeRange {
        from: UtcMillis(0),
        to: UtcMillis(i64::MAX),
    };

    #[test]
    fn csv_names_every_reading() {
        let dir = tempfile::tempdir().unwrap();
        let (store, ids) = store(dir.path(), 1);
        let mut out = Vec::new();
        let mut told = Vec::new();
        let done = store.export(
            &Scope::everything(),
            (&ids, ALWAYS),
            (ExportFormat::Csv, &mut out),
            &mut |progress| {
                told.push(progress.readings);
                ControlFlow::Continue(())
            },
        );
        let done = done.unwrap();
        assert_eq!((done.series, done.of_series, done.readings), (2, 2, 3));
        assert_eq!(told, [2, 3]);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "facility,device,metric,unit,time,value\n\
             binhe,冰箱-1,temperature,degC,2026-11-18T11:06:40Z,-1\n\
             binhe,冰箱-1,temperature,degC,2026-11-18T11:06:50Z,-0.75\n\
             other,fridge,temperature,degC,2026-11-18T11:06:40Z,-1\n"
        );
    }

    #[test]
    fn parquet_reads_back_over_several_row_groups() {
        let many = i64::try_from(ROW_GROUP).unwrap() + 10;
        let dir = tempfile::tempdir().unwrap();
        let (store, ids) = store(dir.path(), many);
        let file = tempfile::tempfile().unwrap();
        let out = file.try_clone().unwrap();
        let scope = Scope::everything();
        let go_on = &mut |_| ControlFlow::Continue(());
        let done = store
            .export(&scope, (&ids, ALWAYS), (ExportFormat::Parquet, out), go_on)
            .unwrap();
        assert_eq!(done.readings, many.cast_unsigned() + 2);
        let reader = SerializedFileReader::new(file).unwrap();
        assert_eq!(reader.num_row_groups(), 2);
        let mut rows = 0;
        for (n, row) in (0..).zip(reader.get_row_iter(None).unwrap()) {
            let row = row.unwrap();
            let (device, place) = if n < 2 { ("冰箱-1", n) } else { ("fridge", n - 2) };
            assert_eq!(row.get_string(1).unwrap(), device);
            assert_eq!(row.get_timestamp_millis(4).unwrap(), START + place * 10_000);
            assert_eq!(row.get_double(5).unwrap(), place as f64 / 4.0 - 1.0);
            rows += 1;
        }
        assert_eq!(rows, done.readings);
    }

    #[test]
    fn an_export_shows_what_its_scope_shows_and_ends_when_told() {
        let dir = tempfile::tempdir().unwrap();
        let (store, ids) = store(dir.path(), 5);
        let scope = Scope::facilities(["binhe".parse().unwrap()]);
        let mut out = Vec::new();
        let asked = (ids.as_slice(), ALWAYS);
        let go_on = &mut |_| ControlFlow::Continue(());
        let done = store
            .export(&scope, asked, (ExportFormat::Csv, &mut out), go_on)
            .unwrap();
        assert_eq!((done.series, done.readings), (2, 2));
        assert!(!String::from_utf8(out).unwrap().contains("other"));
        let stop = &mut |_| ControlFlow::Break(());
        let stopped = store.export(&scope, asked, (ExportFormat::Csv, io::sink()), stop);
        assert!(matches!(stopped, Err(ExportError::Stopped)));
        let full = &mut [0_u8; 10][..];
        let failed = store.export(&scope, asked, (ExportFormat::Csv, full), go_on);
        assert!(matches!(failed, Err(ExportError::Write(_))));
    }
}
