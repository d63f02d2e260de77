//! `crashfs`: an in-memory FUSE file system that models what survives a power cut. Any program can run on it.
//!
//! ```text
//! crashfs IMAGE MOUNTPOINT [--seed N] [--tear] [--strict] [--max-bytes N] [--fail-sync-after N] [--sync-micros N]
//! ```
//!
//! The directory IMAGE is loaded at the start; the line `ready` on standard output says that MOUNTPOINT is in place.
//! SIGUSR1 cuts the power: every later call fails with EIO, what survives replaces IMAGE, and the program ends.
//! SIGTERM is a clean shutdown: everything survives.
//!
//! The model is a disk under ext4 with ordered data. Bytes survive once a sync of their file has returned. Of the
//! bytes written since, nothing survives, or, with `--tear`, each 512-byte sector by chance. Names (create,
//! rename, remove) are an ordered log: any sync makes all earlier ones durable, and of the rest `--tear` keeps a
//! random first part. With `--strict` only what POSIX promises is kept: a new name needs a sync of the file or of
//! the directory, a rename or removal a sync of the directory.
//!
//! `--max-bytes` makes writes fail with ENOSPC beyond a total size; `--fail-sync-after` makes every sync but the
//! first N fail with EIO; `--sync-micros` slows each sync down.

mod disk;
mod files;

use std::{
    error::Error,
    ffi::OsString,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals,
};

use crate::{
    disk::{Disk, Ending, Faults},
    files::Files,
};

const USAGE: &str = "usage: crashfs IMAGE MOUNTPOINT [--seed N] [--tear] [--strict] [--max-bytes N] \
                     [--fail-sync-after N] [--sync-micros N]";

struct Arguments {
    image: PathBuf,
    mountpoint: PathBuf,
    seed: u64,
    faults: Faults,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = parse(std::env::args_os().skip(1))?;
    let disk = Disk::load(&arguments.image, arguments.seed, arguments.faults)?;
    let disk = Arc::new(Mutex::new(disk));
    // Before the mount is announced, so that a signal sent right after is not missed.
    let mut signals = Signals::new([SIGUSR1, SIGTERM, SIGINT])?;
    let mut config = fuser::Config::default();
    config.mount_options = vec![fuser::MountOption::FSName("crashfs".to_owned())];
    let session = fuser::spawn_mount(Files::new(Arc::clone(&disk)), &arguments.mountpoint, &config)?;
    println!("ready");
    io::stdout().flush()?;
    let ending = match signals.forever().next() {
        Some(SIGUSR1) => Ending::PowerCut,
        _ => Ending::Shutdown,
    };
    disk.lock()
        .map_err(|_poisoned| "a request has panicked")?
        .end(ending, &arguments.image)?;
    unmount(&arguments.mountpoint)?;
    match session.join() {
        // The kernel ends the connection at once when no file is open any more.
        Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => Ok(()),
        ended => Ok(ended?),
    }
}

/// Takes the mount away even while files on it are open.
fn unmount(mountpoint: &Path) -> io::Result<()> {
    let status = Command::new("fusermount3")
        .args(["-u", "-z", "-q"])
        .arg(mountpoint)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("fusermount3 ended with {status}")))
    }
}

fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Arguments, Box<dyn Error>> {
    let (Some(image), Some(mountpoint)) = (words.next(), words.next()) else {
        return Err(USAGE.into());
    };
    let mut arguments = Arguments {
        image: image.into(),
        mountpoint: mountpoint.into(),
        seed: 0,
        faults: Faults::default(),
    };
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, Box<dyn Error>> {
            let value = words.next().and_then(|value| value.to_str()?.parse().ok());
            value.ok_or_else(|| USAGE.into())
        };
        match word.to_str() {
            Some("--seed") => arguments.seed = number()?,
            Some("--tear") => arguments.faults.tear = true,
            Some("--strict") => arguments.faults.strict = true,
            Some("--max-bytes") => arguments.faults.max_bytes = Some(number()?),
            Some("--fail-sync-after") => arguments.faults.fail_sync_after = Some(number()?),
            Some("--sync-micros") => arguments.faults.sync_micros = number()?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(arguments)
}
