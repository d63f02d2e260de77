//! What each command of the command line does.

mod backup;
mod camera;
mod device;
mod evidence;
mod journal;
mod messages;
mod person;
mod progress;
mod rules;
mod running;
mod store;
mod timeseries;
mod vision;

use std::io::Write;

use anyhow::Context;
use domain::Clock;

pub(crate) use backup::{restore, take as backup};
pub(crate) use camera::probe as camera_probe;
pub(crate) use device::{
    add as device_add, calibrate as device_calibrate, claim as device_claim, import as device_import,
    list as device_list, profiles as device_profiles, revoke as device_revoke,
};
pub(crate) use evidence::check as evidence_verify;
pub(crate) use journal::inspect as journal_inspect;
pub(crate) use messages::push_keys;
pub(crate) use person::{
    add as person_add, bar as person_bar, list as person_list, set_password as person_password,
};
pub(crate) use rules::{list as rules_list, test as rules_test};
pub(crate) use running::{demo, serve};
pub(crate) use store::{
    check as store_check, compact as store_compact, export as store_export, stats as store_stats,
};
pub(crate) use timeseries::setup as timeseries_setup;
pub(crate) use vision::evaluate as vision_evaluate;

use crate::{
    Config,
    app::open_records,
    cli::{ConfigArgs, ImportArgs},
    config::process_environment,
};

fn load(args: &ConfigArgs) -> anyhow::Result<Config> {
    Ok(Config::load(args.config.as_deref(), &process_environment())?)
}

/// A small runtime for commands that only talk to the record store.
fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start")?.block_on(work)
}

/// Prints for people and pipes; a closed pipe is an error that ends the command.
fn say(text: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("cannot write to standard output")
}

pub(crate) fn check_config(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = load(args)?;
    say(&format!("The configuration is sound. It comes to:\n{config:#?}"))
}

pub(crate) fn import(args: &ImportArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    let inventory = crate::import::read(&args.file, &config.site.region)?;
    let dir = &config.data_dir.0;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    block_on(async {
        let records = open_records(dir, &Clock::system()).await?;
        let known = records.regions().await?;
        if !known
            .iter()
            .chain(&inventory.regions)
            .any(|r| r.id == config.site.region)
        {
            let region = domain::Region {
                id: config.site.region.clone(),
                parent: None,
                name_zh: config.site.name_zh.clone(),
                name_en: config.site.name_en.clone(),
            };
            records.put_region(&region).await?;
        }
        inventory.write(&records).await?;
        records.close().await;
        say(&format!(
            "Read {} regions, {} facilities and {} points into {}.",
            inventory.regions.len(),
            inventory.facilities.len(),
            inventory.points.len(),
            dir.display()
        ))
    })
}
