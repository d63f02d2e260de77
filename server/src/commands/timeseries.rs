//! Setting up the other time-series server.

use anyhow::Context;
use store::remote::SetUp;

use crate::{
    cli::ConfigArgs,
    commands::{block_on, load, say},
};

pub(crate) fn setup(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = load(args)?.timeseries;
    let remote = config
        .open()?
        .context("timeseries.backend is \"embedded\": there is nothing to set up")?;
    let done = block_on(async {
        let done = remote.set_up(config.retention_days).await;
        done.context("the time-series server is not set up")
    })?;
    let days = |days: u64| match days {
        0 => "for ever".to_owned(),
        days => format!("for {days} days"),
    };
    say(&match done {
        SetUp::Made => format!(
            "The bucket is made; it keeps readings {}.",
            days(config.retention_days)
        ),
        SetUp::Found { retention_days } if retention_days == config.retention_days => {
            format!("The bucket is there; it keeps readings {}.", days(retention_days))
        }
        SetUp::Found { retention_days } => format!(
            "The bucket is there and was left as it is. It keeps readings {}, and timeseries.retention_days says {}: change \
             one of the two with `influx bucket update --retention`.",
            days(retention_days),
            days(config.retention_days)
        ),
        SetUp::NotNeeded => {
            "VictoriaMetrics has no buckets. Start it with -dedup.minScrapeInterval=1ms, so that each moment \
             has one value, and with the -retentionPeriod that you want."
                .to_owned()
        }
    })
}
