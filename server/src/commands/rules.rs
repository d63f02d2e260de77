//! The rules that are switched on, and what a changed one would have meant.

use std::fmt::Write as _;

use alerts::whatif::{Circumstances, History, what_if};
use anyhow::{Context, anyhow, bail};
use domain::{Clock, Rule, Scope, TimeRange, UtcMillis, rule::OverrideError};

use crate::{
    app::{open_records, open_series, place, series_dir},
    cli::{ConfigArgs, RulesTestArgs},
    commands::{block_on, load, say},
    pipeline,
};

const DAY_MS: i64 = 24 * 3_600_000;

pub(crate) fn list(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = load(args)?;
    let rules = pipeline::rules(&config.rules.all_packs())?;
    let mut text = String::new();
    for rule in &rules {
        writeln!(text, "{}", line(rule)).context("cannot write a line")?;
    }
    write!(
        text,
        "{} rules of the packs {}",
        rules.len(),
        config.rules.all_packs().join(", ")
    )
    .context("cannot write a line")?;
    say(&text)
}

fn line(rule: &Rule) -> String {
    let limit = rule
        .kind
        .limit()
        .map_or_else(|| "-".to_owned(), |l| l.to_string());
    // The built-in packs write a clause as `中文 / English`.
    let clause = rule.clause.split(" / ").last().unwrap_or_default();
    format!(
        "{}\t{}\t{}\tlimit {limit}\thold {} s\t{}\t{:?}\t{} ({})",
        rule.id,
        rule.severity.code(),
        rule.kind.code(),
        rule.hold_ms / 1000,
        rule.title_en,
        rule.confidence,
        clause,
        rule.edition.split(" / ").last().unwrap_or_default(),
    )
}

/// The rule with the numbers that are to be tried.
fn changed(rule: &Rule, args: &RulesTestArgs) -> anyhow::Result<Rule> {
    let hold_ms = args.hold.map(|s| i64::from(s) * 1000);
    let numbers = args.set.iter().cloned().collect();
    rule.with_numbers(args.limit, hold_ms, &numbers)
        .map_err(|refused| match refused {
            OverrideError::Nothing => {
                anyhow!("nothing is changed; give --limit, --hold, --set NAME=NUMBER or several")
            }
            OverrideError::NoLimit => anyhow!("a rule of the kind {} has no such limit", rule.kind.code()),
            refused => anyhow!("{}: {refused}", rule.id),
        })
}

pub(crate) fn test(args: &RulesTestArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    let rules = pipeline::rules(&config.rules.all_packs())?;
    let rule = rules
        .iter()
        .find(|r| r.id == args.rule)
        .with_context(|| format!("there is no rule {}; `sunshine rules list` shows them", args.rule))?;
    let new = changed(rule, args)?;
    let dir = &config.data_dir.0;
    if !dir.join("records.db").exists() {
        bail!("there is no history in {}; name another data_dir", dir.display());
    }
    let clock = Clock::system();
    let zone = jiff::tz::TimeZone::get(&config.site.time_zone)?;
    let local = dashboard::offsets(&zone);
    let range = TimeRange::ending_at(clock.now(), i64::from(args.days) * DAY_MS);
    let place = place(&config)?;
    let (points, mut around, judged) = block_on(async {
        let records = open_records(dir, &clock).await?;
        let all = Scope::everything();
        let points = records.points(&all, args.facility.as_ref()).await?;
        let around = Circumstances::load(&records, &all, &local, range).await?;
        // Each for the facilities whose region has chosen its pack.
        let (facilities, regions) = (records.facilities(&all).await?, records.regions().await?);
        let judged = place.rules(&[rule.clone(), new], &facilities, &regions);
        records.close().await;
        Ok((points, around, judged))
    })?;
    around.own.clone_from(&args.facility);
    let series = open_series(&config, series_dir(dir), &clock).context(
        "while a server runs on this data it alone may read it: use its page /rules/RULE, or stop it first",
    )?;
    let history = History {
        series: &series,
        scope: &Scope::everything(),
        points: &points,
        zone: &local,
        around: &around,
    };
    let [old, new] = judged.as_slice() else {
        bail!("the rules of the regions cannot be laid out");
    };
    let outcome = what_if(history, old, new, range)?;
    say(&table(&outcome, &zone))
}

fn table(outcome: &alerts::whatif::Outcome, zone: &jiff::tz::TimeZone) -> String {
    let date = |at: UtcMillis| {
        jiff::Timestamp::from_millisecond(at.0).map_or_else(
            |_| at.to_string(),
            |t| t.to_zoned(zone.clone()).date().to_string(),
        )
    };
    let mut lines = vec!["day\told\tnew".to_owned()];
    lines.extend(
        outcome
            .days
            .iter()
            .map(|day| format!("{}\t{}\t{}", date(day.day), day.old, day.new)),
    );
    let (old, new) = outcome.totals();
    lines.push(format!("all\t{old}\t{new}"));
    lines.push(format!(
        "{} readings of {} points were judged by both",
        outcome.readings, outcome.points
    ));
    if outcome.left_out > 0 {
        lines.push(format!(
            "{} facilities were left out: name one with --facility, or fewer days",
            outcome.left_out
        ));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{RuleId, pack};

    fn args(rule: &str, limit: Option<f64>, hold: Option<u32>) -> RulesTestArgs {
        RulesTestArgs {
            config: ConfigArgs { config: None },
            rule: RuleId::new(rule).unwrap(),
            limit,
            hold,
            set: Vec::new(),
            days: 30,
            facility: None,
        }
    }

    #[test]
    fn a_change_that_makes_no_sense_is_refused() {
        let rule = |id: &str| {
            let all = pack::built_in();
            all.into_iter().find(|r| r.id.as_str() == id).unwrap()
        };
        let fridge = rule("CN-TMP-01");
        let new = changed(&fridge, &args("CN-TMP-01", Some(6.0), Some(60))).unwrap();
        assert_eq!((new.kind.limit(), new.hold_ms), (Some(6.0), 60_000));
        for (id, limit, hold, why) in [
            ("CN-TMP-01", None, None, "nothing is changed"),
            ("FG-SMK-01", Some(2.0), None, "no such limit"),
            ("CN-SMP-02", None, Some(5), "hold_s"),
            ("CN-TMP-01", None, Some(u32::MAX), "hold times"),
        ] {
            let error = changed(&rule(id), &args(id, limit, hold)).unwrap_err();
            assert!(error.to_string().contains(why), "{id}: {error}");
        }
        let further = RulesTestArgs {
            set: vec![("clear_limit".to_owned(), 5.0)],
            ..args("CN-TMP-01", None, None)
        };
        assert!(changed(&fridge, &further).is_ok());
        let error = changed(&rule("FG-SMK-01"), &further).unwrap_err().to_string();
        assert!(
            error.contains("clear_limit") && error.contains("clear_hold_s"),
            "{error}"
        );
    }

    #[test]
    fn every_rule_has_a_line() {
        for rule in pack::built_in() {
            let line = line(&rule);
            assert!(
                line.starts_with(rule.id.as_str()) && !line.contains('\n'),
                "{line}"
            );
        }
    }
}
