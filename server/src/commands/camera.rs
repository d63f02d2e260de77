//! Cameras, looked at before they are attached.

use anyhow::{Context, bail};
use camera::{
    guard::Guard,
    probe::{ProbeTarget, probe as look},
};
use domain::{
    CameraFault, CameraSource, Clock, Credentials, ProbeReport,
    camera::{CameraUrl, RtpTransport},
};

use crate::{
    cli::CameraProbeArgs,
    commands::{block_on, load, say},
    secret_file::first_line,
    sight::guard_of,
};

/// How often a URL that answers with one picture is asked while it is looked at, in milliseconds.
const ASK_EVERY_MS: u32 = 1_000;

pub(crate) fn probe(args: &CameraProbeArgs) -> anyhow::Result<()> {
    let config = load(&args.config)?;
    let guard: Guard = guard_of(&config)?;
    let credentials = credentials(args)?;
    let report = block_on(async {
        let mut last = None;
        for source in sources(&args.url, args.udp) {
            let target = ProbeTarget {
                source,
                sub: false,
                credentials: credentials.clone(),
            };
            match look(target, &guard, &Clock::system()).await {
                Ok(report) => return Ok(report),
                Err(failure) => {
                    let goes_on = failure.fault == CameraFault::Protocol;
                    last = Some(failure);
                    if !goes_on {
                        break;
                    }
                }
            }
        }
        let failure = last.context("the URL is none of a camera")?;
        let (zh, en) = failure.fault.advice();
        bail!("{}: {}\n{zh}\n{en}", failure.fault.code(), failure.detail)
    })?;
    tell(&report)?;
    if let Some(path) = &args.picture {
        std::fs::write(path, &report.picture).with_context(|| format!("cannot write {}", path.display()))?;
        say(&format!("picture        {}", path.display()))?;
    }
    Ok(())
}

/// What an address may be: an HTTP one is a stream of pictures, or answers with one.
fn sources(url: &CameraUrl, udp: bool) -> Vec<CameraSource> {
    match url.scheme() {
        "rtsp" => vec![CameraSource::Rtsp {
            main: url.clone(),
            sub: None,
            transport: if udp { RtpTransport::Udp } else { RtpTransport::Tcp },
        }],
        _ => vec![
            CameraSource::Mjpeg { url: url.clone() },
            CameraSource::Snapshot {
                url: url.clone(),
                interval_ms: ASK_EVERY_MS,
            },
        ],
    }
}

fn credentials(args: &CameraProbeArgs) -> anyhow::Result<Option<Credentials>> {
    let (Some(user), Some(file)) = (&args.user, &args.password_file) else {
        return Ok(None);
    };
    Ok(Some(Credentials {
        user: user.clone(),
        password: first_line(file)?,
    }))
}

fn tell(report: &ProbeReport) -> anyhow::Result<()> {
    let gap = report.key_frame_gap_s.map_or_else(
        || "fewer than two key frames came".to_owned(),
        |s| format!("{s:.1} s"),
    );
    let clock = report.clock_offset_ms.map_or_else(
        || "it tells no time".to_owned(),
        |ms| format!("{ms} ms ahead of ours"),
    );
    say(&format!(
        "codec          {}\nsize           {} × {}\nframes         {:.1} a second\nbit rate       {:.0} kbit/s\n\
         key frames     {gap} apart\nclock          {clock}",
        report.codec, report.width, report.height, report.fps, report.bitrate_kbps
    ))?;
    for warning in &report.warnings {
        let (zh, en) = warning.advice();
        say(&format!(
            "warning        {}: {zh}\n               {en}",
            warning.code()
        ))?;
    }
    Ok(())
}
