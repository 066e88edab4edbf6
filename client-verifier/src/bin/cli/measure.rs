//! `postern measure`: what machines started from an image will report, computed here.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use measurement::table::{Row, Surroundings, rows};
use measurement::{Firmware, MeasureError, PartitionTable, Uki};
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::args::Measure;
use crate::exit;
use crate::output::{Output, printable};

/// No image, firmware or disk table is larger, in bytes.
const MAX_BYTES: u64 = 256 << 20;
/// Sectors in which a partition table lies, in bytes.
const TABLE_BYTES: u64 = 34 * 512;

pub(crate) fn run(args: &Measure, output: &Output) -> ExitCode {
    match table(args) {
        Ok(rows) => {
            output.data(&if args.json { as_json(&rows) } else { as_text(&rows) });
            exit::verified()
        }
        Err(Problem::Unreadable(path, kind)) => {
            let what = format!("{}: {kind}", printable(&path.display().to_string()));
            output.failure("MEASURE_FILE", &what, "name a file that can be read");
            exit::usage()
        }
        Err(Problem::Measure(error)) => {
            output.failure(
                error.code(),
                &error.to_string(),
                "see `postern measure --help` for what each file is",
            );
            exit::usage()
        }
    }
}

enum Problem {
    Unreadable(PathBuf, std::io::ErrorKind),
    Measure(MeasureError),
}

impl From<MeasureError> for Problem {
    fn from(error: MeasureError) -> Self {
        Self::Measure(error)
    }
}

fn table(args: &Measure) -> Result<Vec<Row>, Problem> {
    let read = |path: &Option<PathBuf>, most| path.as_deref().map(|path| read(path, most)).transpose();
    let image = self::read(&args.image, MAX_BYTES)?;
    let (snp, tdx) = (read(&args.firmware_snp, MAX_BYTES)?, read(&args.firmware_tdx, MAX_BYTES)?);
    let (disk, configuration) = (read(&args.disk, TABLE_BYTES)?, read(&args.configuration, MAX_BYTES)?);
    let around = Surroundings {
        firmware_snp: snp.as_deref().map(Firmware::parse).transpose()?,
        firmware_tdx: tdx.as_deref().map(Firmware::parse).transpose()?,
        disk: disk.as_deref().map(PartitionTable::parse).transpose()?,
        configuration: configuration.and_then(|bytes| digest(&SHA256, &bytes).as_ref().try_into().ok()),
        processors: args.processors.clone(),
        models: args.models.clone(),
    };
    Ok(rows(&Uki::parse(&image)?, &image, &around)?)
}

/// The file, or as much of its start as is wanted.
fn read(path: &Path, most: u64) -> Result<Vec<u8>, Problem> {
    use std::io::Read as _;
    let unreadable = |error: std::io::Error| Problem::Unreadable(path.to_owned(), error.kind());
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)).map_err(unreadable)?;
    Ok(bytes)
}

fn as_text(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let value = row.value.as_ref().map_or_else(|| "-".to_owned(), measurement::Digest::to_hex);
        let of = format!("{} {} {}", row.platform, row.register, row.shape);
        format!("{of:<40} {:<26} {value}\n", row.basis.as_str())
    };
    rows.iter().map(line).collect()
}

fn as_json(rows: &[Row]) -> String {
    let row = |row: &Row| {
        json!({
            "platform": row.platform,
            "register": row.register,
            "shape": row.shape,
            "value": row.value.as_ref().map(measurement::Digest::to_hex),
            "basis": row.basis.as_str(),
        })
    };
    format!("{:#}\n", serde_json::Value::from(rows.iter().map(row).collect::<Vec<_>>()))
}
