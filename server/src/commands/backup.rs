//! Taking a backup of the data folder, and making a data folder of one.

use anyhow::{Context, bail};
use domain::Clock;

use crate::{
    backup::{self, Restored},
    cli::{BackupArgs, RestoreArgs},
    commands::{block_on, load, progress::Progress, say},
};

const MIB: f64 = 1_048_576.0;

pub(crate) fn take(args: &BackupArgs) -> anyhow::Result<()> {
    let data_dir = load(&args.config)?.data_dir.0;
    let mut progress = Progress::new();
    let clock = Clock::system();
    let taken = backup::take(
        (&data_dir, &args.dir),
        args.with_keys,
        &clock,
        &mut |done, total| {
            progress.show(done, total, &format!("{:.0} MiB copied", mib(done)));
        },
    )
    .with_context(|| {
        let dir = args.dir.display();
        format!("the backup was not taken; what is in {dir} is none")
    })?;
    drop(progress);
    let manifest = &taken.manifest;
    say(&format!(
        "{} files, {:.1} MiB in {}\nlog from {} to {}, series up to {}, judged up to {}; the server's commits waited {} ms",
        manifest.files.len(),
        mib(manifest.bytes()),
        args.dir.display(),
        manifest.journal_from,
        manifest.journal_to,
        manifest.checkpoint,
        manifest.judged.unwrap_or(0),
        taken.held.as_millis()
    ))?;
    say(if manifest.keys {
        "The keys are in it: whoever has this folder has every password in it. Keep it as you keep those."
    } else {
        "The keys are not in it: keep vault.key and evidence/signing.key of the data folder elsewhere, apart from it."
    })
}

pub(crate) fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let clock = Clock::system();
    let restored = block_on(backup::restore(
        (&args.dir, &args.to),
        &clock,
        &mut |done, total| {
            progress.show(
                done,
                total,
                &format!("{:.0} MiB read and held against their hash", mib(done)),
            );
        },
    ))
    .context("the backup was not restored")?;
    drop(progress);
    say(&summary(&restored, args))?;
    let problems = restored.problems();
    for problem in &problems {
        say(problem)?;
    }
    if !problems.is_empty() {
        bail!(
            "everything is as it was backed up, but the lines above were not in order then; an older backup may be better"
        );
    }
    Ok(())
}

fn summary(restored: &Restored, args: &RestoreArgs) -> String {
    let manifest = &restored.manifest;
    let mut text = format!(
        "{} files, {:.1} MiB in {}, each with the hash it was backed up with\n\
         taken at {} by version {}\n\
         log from {} to {}, series up to {}, judged up to {}\n\
         {} series in {} files, {} devices and services, {} cases to be dealt with",
        manifest.files.len(),
        mib(manifest.bytes()),
        args.to.display(),
        manifest.taken_at,
        manifest.product,
        manifest.journal_from,
        manifest.journal_to,
        manifest.checkpoint,
        manifest.judged.unwrap_or(0),
        restored.series.survey.series,
        restored.series.survey.files.len(),
        restored.identities,
        restored.open_cases,
    );
    if let Some(evidence) = &restored.evidence {
        text.push_str(&format!(
            "\n{} packages of evidence with {} files, {} lines in their chain",
            evidence.packages, evidence.blobs, evidence.lines
        ));
    }
    if !manifest.keys {
        text.push_str(
            "\nThe keys are not in the backup. Put evidence/signing.key back from where you keep it before you start the \
             server, or move the folder evidence away to begin a new chain. Without vault.key, enter the passwords of \
             cameras and the secrets of channels again.",
        );
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}
