//! Looking into the journal without changing it.

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
    let found = journal::inspect::inspect(&dir)?;
    say(&found.to_string())
}
