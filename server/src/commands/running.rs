//! The commands that run until they are told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;
use domain::Clock;
use simulator::{CameraFarm, Scenario, Simulator};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use tracing_subscriber::EnvFilter;

use crate::{
    App, Config,
    app::DataFolder,
    cli::{ConfigArgs, DemoArgs},
    commands::say,
    config::process_environment,
};

/// The status of a process that a second signal ended.
const FORCED: i32 = 130;

/// Where HTTP intake of a demo listens, if that is free.
const INTAKE_PORT: u16 = 8086;

/// Where the demo's cameras are.
const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Worker threads for connections and pages. More than the machine's two cores would only take turns.
const WORKERS: usize = 2;

pub(crate) fn serve(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref(), &process_environment())?;
    log_to_stderr();
    runtime()?.block_on(async {
        let stop = stop_on_signal()?;
        let data_dir = config.data_dir.0.clone();
        let app = App::build(config, Clock::system()).await?;
        announce(
            &app,
            &data_dir.display().to_string(),
            "sunshine device add --help",
        )?;
        app.run(stop).await
    })
}

pub(crate) fn demo(args: &DemoArgs) -> anyhow::Result<()> {
    let mut config = Config::load(None, &process_environment())?;
    config.data_dir.0.clone_from(&args.data_dir);
    config.http.listen = args.http;
    config.mqtt.listen = free_or_any(args.mqtt);
    // One device of the district speaks HTTP. Whoever asks for any port gets any here too.
    let intake = if args.mqtt.port() == 0 { 0 } else { INTAKE_PORT };
    config.intake.listen = Some(free_or_any(SocketAddr::new(args.mqtt.ip(), intake)));
    config.site.name_zh = "滨河区".into();
    config.site.name_en = "Binhe District".into();
    // The demo's cameras are on this machine.
    config
        .cameras
        .allowed_networks
        .push(format!("{}/32", LOOPBACK.ip()));
    anyhow::ensure!(
        config.http.listen.ip().is_loopback() && config.mqtt.listen.ip().is_loopback(),
        "the demo listens on this machine only: use 127.0.0.1"
    );
    log_to_stderr();
    runtime()?.block_on(async {
        let stop = stop_on_signal()?;
        let clock = Clock::system();
        let district = simulator::district(args.seed, usize::from(args.facilities));
        let folder = DataFolder::open(&config, &clock).await?;
        let secrets = crate::demo::register(&folder.records, &district).await?;
        let farm = CameraFarm::start(LOOPBACK, district.cameras.clone(), clock.clone()).await?;
        crate::demo::attach(&folder.records, &args.data_dir, (&district, &farm.cameras())).await?;
        let people = crate::demo::people(&folder.records, &district).await?;
        let app = App::on(folder, config, clock.clone()).await?.as_demo(people);

        let now = clock.now();
        let scenario = Scenario {
            scene_start: farm.started_at(),
            history_from: Some(crate::demo::history_from(app.series(), &district, now)),
            facilities: usize::from(args.facilities),
            ..Scenario::new(args.seed, now)
        };
        let addresses = app.addrs()?;
        let simulator = Simulator::new(scenario, district, addresses.mqtt, secrets, clock);
        let simulator = simulator.with_intake(addresses.intake);
        announce(
            &app,
            &args.data_dir.display().to_string(),
            "nothing to do: the district signs itself in",
        )?;
        // The devices say goodbye before their broker goes; a broker that fails takes them with it.
        let serving = CancellationToken::new();
        let served = async {
            let ended = app.run(serving.clone()).await;
            stop.cancel();
            ended
        };
        let simulated = async {
            let (ended, shown) = tokio::join!(simulator.run(stop.clone()), farm.run(stop.clone()));
            if let Err(e) = ended.as_ref().and(shown.as_ref()) {
                error!("The simulated district stopped: {e:#}");
            }
            stop.cancelled().await;
            serving.cancel();
            ended.and(shown)
        };
        let (served, simulated) = tokio::join!(served, simulated);
        served.and(simulated)
    })
}

/// `wanted` when it is free; any free port of the same address otherwise, because a newcomer's machine may
/// well run another broker.
fn free_or_any(wanted: SocketAddr) -> SocketAddr {
    if wanted.port() == 0 || TcpListener::bind(wanted).is_ok() {
        return wanted;
    }
    eprintln!("sunshine: {wanted} is in use; devices get a free port instead.");
    SocketAddr::new(wanted.ip(), 0)
}

fn announce(app: &App, data_dir: &str, sign_in: &str) -> anyhow::Result<()> {
    let addresses = app.addrs()?;
    say(&format!(
        "Sunshine Kitchen 阳光厨房 {version}\n\
         \x20 Pages and API   http://{http}\n\
         \x20                 this machine only: there is no sign-in yet, so other addresses are refused\n\
         \x20 MQTT 3.1.1, 5   {mqtt}\n\
         \x20                 user <facility>/<device> with its secret; {sign_in}\n\
         \x20 Data            {data_dir}\n\
         \x20 Stop            Ctrl+C ends in order, a second one at once",
        version = env!("CARGO_PKG_VERSION"),
        http = addresses.http,
        mqtt = addresses.mqtt,
    ))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Cancels on the first SIGINT or SIGTERM; the second ends the process at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl+C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let asked = stop.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "it lives as long as the process and ends it"
    )]
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if first {
                asked.cancel();
            } else {
                warn!("A second signal: ending at once. What was acknowledged is on disk.");
                #[expect(clippy::exit, reason = "a second signal forces the end")]
                std::process::exit(FORCED);
            }
        }
    });
    Ok(stop)
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,rumqttd=error"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if subscriber.try_init().is_err() {
        eprintln!("sunshine: logging was already set up by somebody else");
    }
}
