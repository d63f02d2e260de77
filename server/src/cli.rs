//! The command line: what a stranger reads with `--help`, and what each command does.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use domain::{CameraUrl, DeviceId, FacilityId, Metric, PersonId, RegionId, Role, RuleId, VendorRoot};

use crate::commands;

/// Watches facility kitchens: takes in sensors over MQTT, judges their readings against food-safety and
/// fire-safety rules, and shows manager and inspector what needs them now.
///
/// Without a command it runs a live demo district and prints where to look.
#[derive(Debug, Parser)]
#[command(name = "sunshine", version, about, long_about)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a simulated district of 24 kitchens against this process (the default)
    Demo(DemoArgs),
    /// Run with a configuration file, for real devices
    Serve(ConfigArgs),
    /// Check a configuration file, print what it comes to, and exit
    CheckConfig(ConfigArgs),
    /// Read facilities and points of measurement from a TOML file into the record store
    Import(ImportArgs),
    /// Add, list or revoke the devices that may sign in to the broker
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Add, list or bar the people who may sign in to the pages
    #[command(subcommand)]
    Person(PersonCommand),
    /// Prepare what messages need
    #[command(subcommand)]
    Messages(MessagesCommand),
    /// Show the rules, or try a changed one on the stored history
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Look into the journal
    #[command(subcommand)]
    Journal(JournalCommand),
    /// Look into the time-series store, work on it, take readings out of it
    #[command(subcommand)]
    Store(StoreCommand),
    /// Look at a camera before it is attached
    #[command(subcommand)]
    Camera(CameraCommand),
    /// Check evidence that somebody hands over
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Judge pictures apart from the running server
    #[command(subcommand)]
    Vision(VisionCommand),
    /// Prepare the time-series server that readings are forwarded to
    #[command(subcommand)]
    Timeseries(TimeseriesCommand),
    /// Copy everything into a folder, as it was at one moment. The server may run
    Backup(BackupArgs),
    /// Make a data folder of a backup, every file held against its hash
    Restore(RestoreArgs),
}

/// How the demo runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Where the demo keeps its data
    #[arg(long, value_name = "FOLDER", default_value = "sunshine-data/demo")]
    pub(crate) data_dir: PathBuf,
    /// Where pages and API listen (loopback only)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) http: SocketAddr,
    /// Where devices connect; a free port is taken when this one is in use
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1883")]
    pub(crate) mqtt: SocketAddr,
    /// The district's seed: the same seed gives the same day
    #[arg(long, value_name = "NUMBER", default_value_t = 7)]
    pub(crate) seed: u64,
    /// How many facilities (1 to 24)
    #[arg(long, value_name = "NUMBER", default_value_t = 24, value_parser = clap::value_parser!(u8).range(1..=24))]
    pub(crate) facilities: u8,
}

impl Default for DemoArgs {
    fn default() -> Self {
        DemoArgs {
            data_dir: "sunshine-data/demo".into(),
            http: SocketAddr::from(([127, 0, 0, 1], 8080)),
            mqtt: SocketAddr::from(([127, 0, 0, 1], 1883)),
            seed: 7,
            facilities: 24,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file; without one every option has its default (see sunshine.example.toml)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The folder of the backup; empty, or not there yet
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Copy vault.key and the key that signs evidence too: whoever has the backup then has every password in it
    #[arg(long)]
    pub(crate) with_keys: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreArgs {
    /// The folder of the backup
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The new data folder; empty, or not there yet
    #[arg(long, value_name = "DATA_DIR")]
    pub(crate) to: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The file with [[region]], [[facility]] and [[point]] tables (see docs/INTEGRATOR.md)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Subcommand)]
enum DeviceCommand {
    /// Add a device, or give it a new secret; prints the secret once
    Add(DeviceAddArgs),
    /// List the devices and whether they may sign in
    List(ConfigArgs),
    /// Bar a device; a running server ends its session within a second
    Revoke(DeviceRevokeArgs),
    /// Add many devices from a CSV file; prints their secrets once, and what is wrong with which row
    Import(DeviceImportArgs),
    /// Give out a code that is exchanged once for the device's secret
    Claim(DeviceRevokeArgs),
    /// List the profiles: how devices of which make speak
    Profiles(ConfigArgs),
    /// Enter how far a sensor is off, and when it is to be calibrated next
    Calibrate(DeviceCalibrateArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceImportArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The CSV file, with a first line that names its columns (see docs/INTEGRATOR.md)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only say what is wrong; add nothing
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceCalibrateArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The facility it belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) facility: FacilityId,
    /// Its identifier
    #[arg(long, value_name = "ID")]
    pub(crate) device: DeviceId,
    /// Which of its metrics
    #[arg(long, value_name = "ID")]
    pub(crate) metric: Metric,
    /// Is added to every reading from now on, in the metric's own unit
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    pub(crate) offset: f64,
    /// Multiplies every reading from now on, before the offset (0.5 to 2)
    #[arg(long, value_name = "NUMBER", default_value_t = 1.0)]
    pub(crate) scale: f64,
    /// When the next calibration is due, as RFC 3339: 2027-01-01T00:00:00+08:00
    #[arg(long, value_name = "TIME")]
    pub(crate) due: Option<jiff::Timestamp>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceAddArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The facility it belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) facility: FacilityId,
    /// Its identifier, unique within the facility
    #[arg(long, value_name = "ID")]
    pub(crate) device: DeviceId,
    /// How it speaks; `sunshine device profiles` lists the profiles
    #[arg(long, value_name = "PROFILE", default_value = "standard")]
    pub(crate) profile: String,
    /// The root of a make that cannot speak below the device's own: spBv1.0/<group>/<edge node> or shellies/<id>
    #[arg(long, value_name = "ROOT", value_parser = VendorRoot::parse)]
    pub(crate) root: Option<VendorRoot>,
    /// From when it is refused, as RFC 3339: 2027-01-01T00:00:00+08:00
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<jiff::Timestamp>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceRevokeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The facility it belongs to
    #[arg(long, value_name = "ID")]
    pub(crate) facility: FacilityId,
    /// Its identifier
    #[arg(long, value_name = "ID")]
    pub(crate) device: DeviceId,
}

#[derive(Debug, Subcommand)]
enum PersonCommand {
    /// Add a person, or change name, role and reach of one; prints a new person's password once
    Add(PersonAddArgs),
    /// List the people, their roles and how far they see
    List(ConfigArgs),
    /// Give a person a new password; whoever was signed in with the old one is signed out
    Password(PersonPasswordArgs),
    /// Bar a person, who is signed out at once
    Bar(PersonBarArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PersonAddArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// What they sign in with: wang.fang
    #[arg(value_name = "ACCOUNT")]
    pub(crate) account: PersonId,
    /// Their name, as it stands under what they do
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// What they may do: inspector, manager, integrator or administrator
    #[arg(long, value_name = "ROLE", value_parser = role)]
    pub(crate) role: Role,
    /// They see this region and those inside it; without it and without facilities, everything
    #[arg(long, value_name = "ID", conflicts_with = "facility")]
    pub(crate) region: Option<RegionId>,
    /// They see this facility; may be given again
    #[arg(long, value_name = "ID")]
    pub(crate) facility: Vec<FacilityId>,
    /// The file whose first line is the password; without it one is made and printed
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PersonPasswordArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Whose
    #[arg(value_name = "ACCOUNT")]
    pub(crate) account: PersonId,
    /// The file whose first line is the password; without it one is made and printed
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PersonBarArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Whom
    #[arg(value_name = "ACCOUNT")]
    pub(crate) account: PersonId,
    /// Let them sign in again
    #[arg(long)]
    pub(crate) lift: bool,
}

#[derive(Debug, Subcommand)]
enum MessagesCommand {
    /// Make the key by which browsers are notified, for [messages] push_key_file
    PushKeys(PushKeysArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PushKeysArgs {
    /// Where the private key is written, for its owner's eyes only; a file that is there already is left as it is
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| {
        let all = Role::ALL.map(Role::code).join(", ");
        format!("it is one of {all}")
    })
}

#[derive(Debug, Subcommand)]
enum CameraCommand {
    /// Connect once and say what the camera sends, or the one thing that is wrong
    Probe(CameraProbeArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CameraProbeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Where the camera is: rtsp://, http:// or https://, without user name and password
    #[arg(value_name = "URL")]
    pub(crate) url: CameraUrl,
    /// The user name, if it wants one
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub(crate) user: Option<String>,
    /// The file whose first line is the password: passwords on a command line are seen by everybody on the machine
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// Ask for RTP in datagrams instead of inside the RTSP connection
    #[arg(long)]
    pub(crate) udp: bool,
    /// Where to write the picture, as JPEG
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum EvidenceCommand {
    /// Check a folder of evidence, or a copy of one, for any edit, insertion, deletion, reorder or truncation
    Verify(EvidenceVerifyArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct EvidenceVerifyArgs {
    /// The folder: `evidence` in the data folder, or a copy of it
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
    /// The public key that the evidence must be signed with; without it the one beside the evidence is used
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum VisionCommand {
    /// Judge labelled clips and say how often that was right
    Evaluate(VisionEvaluateArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct VisionEvaluateArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// A folder of clips, each a folder of pictures with a labels.toml (see docs/MODELS.md)
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// How long one picture of a clip stays, in milliseconds
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(40..=60_000))]
    pub(crate) interval_ms: u32,
}

#[derive(Debug, Subcommand)]
enum TimeseriesCommand {
    /// Make InfluxDB's bucket with its retention, or say what VictoriaMetrics needs
    Setup(ConfigArgs),
}

#[derive(Debug, Subcommand)]
enum RulesCommand {
    /// List the rules that are switched on: severity, kind, limit, clause, edition and how well that is known
    List(ConfigArgs),
    /// Judge the stored history by a rule as it is and as it would be, and show the cases of each day
    Test(RulesTestArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RulesTestArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The rule
    #[arg(long, value_name = "ID")]
    pub(crate) rule: RuleId,
    /// The limit to try, in the metric's unit (for silence in report intervals, for sums in minutes)
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) limit: Option<f64>,
    /// The hold time to try, in seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) hold: Option<u32>,
    /// Another number of the rule to try; may be given several times
    #[arg(long = "set", value_name = "NAME=NUMBER", value_parser = named_number)]
    pub(crate) set: Vec<(String, f64)>,
    /// How many days of history, up to now (1 to 100)
    #[arg(long, value_name = "NUMBER", default_value_t = 30, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) days: u8,
    /// One facility only, as if these were its own numbers
    #[arg(long, value_name = "ID")]
    pub(crate) facility: Option<FacilityId>,
}

fn named_number(text: &str) -> Result<(String, f64), String> {
    let wrong = || format!("{text:?} is not NAME=NUMBER, such as clear_limit=5.5");
    let (name, number) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.to_owned(), number.parse().map_err(|_no_number| wrong())?))
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// List the journal's files: records, bytes, times, damage, cursors. Changes nothing
    Inspect(InspectArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The journal's folder, instead of the configuration's
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Read everything and say what is damaged. The server must be stopped
    Check(StoreArgs),
    /// Put every day that is over into its final form now. The server must be stopped
    Compact(StoreCompactArgs),
    /// List the store's files: days, bytes, readings. The server may run
    Stats(StoreArgs),
    /// Write readings as CSV or Parquet. The server must be stopped
    Export(StoreExportArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// The store's folder, instead of the configuration's
    #[arg(long, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StoreCompactArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Days that are not over too
    #[arg(long)]
    pub(crate) all: bool,
}

/// What an export is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportAs {
    /// Text with commas
    Csv,
    /// Columns, compressed
    Parquet,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StoreExportArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Readings of this facility only
    #[arg(long, value_name = "ID")]
    pub(crate) facility: Option<FacilityId>,
    /// Readings of devices with this identifier only
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<DeviceId>,
    /// Readings of this metric only: temperature, humidity, …
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Option<Metric>,
    /// From this moment on, as RFC 3339: 2027-01-01T00:00:00+08:00
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<jiff::Timestamp>,
    /// Until just before this moment
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<jiff::Timestamp>,
    /// What is written
    #[arg(long, value_enum, default_value = "csv")]
    pub(crate) format: ExportAs,
    /// The new file; standard output without one, or with `-`
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Runs the process: reads the arguments, does the work, and answers with the exit status — 0 for done, 1
/// for failed, 2 for arguments that make no sense, 64 for a refused configuration.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => run(cli),
        Err(refused) => {
            // `--help` and `--version` come this way too, with status 0.
            let status = u8::try_from(refused.exit_code()).unwrap_or(2);
            if refused.print().is_err() {
                return ExitCode::FAILURE;
            }
            ExitCode::from(status)
        }
    }
}

fn run(cli: Cli) -> ExitCode {
    let command = cli.command.unwrap_or_else(|| Command::Demo(DemoArgs::default()));
    let done = match command {
        Command::Demo(args) => commands::demo(&args),
        Command::Serve(args) => commands::serve(&args),
        Command::CheckConfig(args) => commands::check_config(&args),
        Command::Import(args) => commands::import(&args),
        Command::Device(DeviceCommand::Add(args)) => commands::device_add(&args),
        Command::Device(DeviceCommand::List(args)) => commands::device_list(&args),
        Command::Device(DeviceCommand::Revoke(args)) => commands::device_revoke(&args),
        Command::Person(PersonCommand::Add(args)) => commands::person_add(&args),
        Command::Person(PersonCommand::List(args)) => commands::person_list(&args),
        Command::Person(PersonCommand::Password(args)) => commands::person_password(&args),
        Command::Person(PersonCommand::Bar(args)) => commands::person_bar(&args),
        Command::Messages(MessagesCommand::PushKeys(args)) => commands::push_keys(&args),
        Command::Rules(RulesCommand::List(args)) => commands::rules_list(&args),
        Command::Rules(RulesCommand::Test(args)) => commands::rules_test(&args),
        Command::Device(DeviceCommand::Import(args)) => commands::device_import(&args),
        Command::Device(DeviceCommand::Claim(args)) => commands::device_claim(&args),
        Command::Device(DeviceCommand::Profiles(args)) => commands::device_profiles(&args),
        Command::Device(DeviceCommand::Calibrate(args)) => commands::device_calibrate(&args),
        Command::Journal(JournalCommand::Inspect(args)) => commands::journal_inspect(&args),
        Command::Store(StoreCommand::Check(args)) => commands::store_check(&args),
        Command::Store(StoreCommand::Compact(args)) => commands::store_compact(&args),
        Command::Store(StoreCommand::Stats(args)) => commands::store_stats(&args),
        Command::Store(StoreCommand::Export(args)) => commands::store_export(&args),
        Command::Camera(CameraCommand::Probe(args)) => commands::camera_probe(&args),
        Command::Evidence(EvidenceCommand::Verify(args)) => commands::evidence_verify(&args),
        Command::Vision(VisionCommand::Evaluate(args)) => commands::vision_evaluate(&args),
        Command::Timeseries(TimeseriesCommand::Setup(args)) => commands::timeseries_setup(&args),
        Command::Backup(args) => commands::backup(&args),
        Command::Restore(args) => commands::restore(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("sunshine: {failed:#}");
            let refused = failed.downcast_ref::<crate::ConfigError>().is_some();
            ExitCode::from(if refused { 64 } else { 1 })
        }
    }
}

/// Parses `arguments` as the process would: for tests of what a stranger can type.
///
/// # Errors
/// What `clap` would print.
pub fn parse<I, T>(arguments: I) -> Result<Cli, String>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    Cli::try_parse_from(arguments).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_argument_is_explained() {
        Cli::command().debug_assert();
        fn explained(command: &clap::Command) {
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    argument.get_id()
                );
            }
            command.get_subcommands().for_each(explained);
        }
        explained(&Cli::command());
    }

    #[test]
    fn arguments_are_checked_at_the_edge() {
        assert!(parse(["sunshine"]).is_ok());
        assert!(
            parse([
                "sunshine",
                "device",
                "add",
                "--facility",
                "binhe",
                "--device",
                "冰箱-1"
            ])
            .is_ok()
        );
        let refused = parse(["sunshine", "device", "add", "--facility", "a/b", "--device", "d"]);
        assert!(refused.unwrap_err().contains("'/'"));
        assert!(parse(["sunshine", "demo", "--facilities", "25"]).is_err());
    }
}
