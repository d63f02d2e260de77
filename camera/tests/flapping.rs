//! Cameras that come and go all the time. Alone in its program, because it counts the program's open files.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context;
use domain::{
    Clock,
    camera::{CameraUrl, RtpTransport},
};
use sunshine_camera::{
    Guard, SourceContext, SourceEvent, StreamSource, Timing, backoff::BackoffLimits, source::watch,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

const CAMERAS: usize = 50;

/// How often each of them is lost in either half of the test.
const TIMES: usize = 10;

const PATIENCE: Duration = Duration::from_secs(120);

/// What the runtime may open besides: a handful, whatever the number of cameras.
const OTHERS: usize = 10;

fn open_files() -> anyhow::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

/// Takes connections, and drops each: RTSP at once or after its question, HTTP after a picture.
async fn flap(listener: TcpListener) {
    let mut connections = JoinSet::new();
    let mut count = 0_usize;
    while let Ok((stream, _)) = listener.accept().await {
        count += 1;
        connections.spawn(serve_once(stream, count.is_multiple_of(2)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve_once(mut stream: TcpStream, at_once: bool) -> std::io::Result<()> {
    let mut question = [0; 4096];
    let length = stream.read(&mut question).await?;
    if !question[..length].starts_with(b"GET") {
        if !at_once {
            stream
                .write_all(b"RTSP/1.0 500 Internal Server Error\r\nCSeq: 1\r\n\r\n")
                .await?;
        }
        return Ok(());
    }
    let mut picture = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut picture)
        .encode_image(&image::RgbImage::new(16, 16))
        .map_err(std::io::Error::other)?;
    stream
        .write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n--b\r\n\r\n",
        )
        .await?;
    stream.write_all(&picture).await?;
    stream.write_all(b"\r\n--b\r\n").await
}

fn source(number: usize, address: SocketAddr) -> anyhow::Result<StreamSource> {
    if number.is_multiple_of(2) {
        let url = CameraUrl::new(&format!("http://{address}/{number}"))?;
        return Ok(StreamSource::Mjpeg { url });
    }
    Ok(StreamSource::Rtsp {
        url: CameraUrl::new(&format!("rtsp://{address}/{number}"))?,
        transport: if number.is_multiple_of(3) {
            RtpTransport::Udp
        } else {
            RtpTransport::Tcp
        },
    })
}

/// Counts until every camera has been lost `TIMES` times more; the most files that were open meanwhile.
async fn lose(taken: &mut mpsc::Receiver<(usize, bool)>) -> anyhow::Result<usize> {
    let mut lost = [0; CAMERAS];
    let mut most = 0;
    while lost.iter().any(|times| *times < TIMES) {
        let (number, down) = timeout(PATIENCE, taken.recv())
            .await?
            .context("the cameras go on")?;
        lost[number] += usize::from(down);
        most = most.max(open_files()?);
    }
    Ok(most)
}

#[tokio::test]
async fn fifty_flapping_cameras_keep_open_files_flat() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let mut server = JoinSet::new();
    server.spawn(flap(listener));
    let context = SourceContext {
        guard: Guard::new(Guard::loopback())?,
        clock: Clock::system(),
        timing: Timing {
            backoff: BackoffLimits {
                first: Duration::from_millis(1),
                most: Duration::from_millis(50),
                after_refusal: Duration::from_millis(50),
            },
            ..Timing::default()
        },
    };
    let before = open_files()?;
    let stop = CancellationToken::new();
    let mut cameras = JoinSet::new();
    let (all, mut taken) = mpsc::channel(64);
    for number in 0..CAMERAS {
        let (events, mut told) = mpsc::channel(8);
        cameras.spawn(watch(
            source(number, address)?,
            None,
            context.clone(),
            events,
            stop.clone(),
        ));
        let all = all.clone();
        cameras.spawn(async move {
            while let Some(event) = told.recv().await {
                let down = matches!(event, SourceEvent::Down(_));
                if all.send((number, down)).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(all);

    let first = lose(&mut taken).await?;
    let second = lose(&mut taken).await?;
    // One end of each connection is the camera's, both are in this program.
    let bound = before + 2 * CAMERAS + OTHERS;
    assert!(
        first <= bound && second <= bound,
        "{first} and {second} files, {bound} allowed"
    );
    stop.cancel();
    drop(taken);
    let ended = async { while cameras.join_next().await.is_some() {} };
    timeout(PATIENCE, ended).await.context("the cameras end")?;
    let deadline = Instant::now() + PATIENCE;
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    while open_files()? > before + OTHERS {
        anyhow::ensure!(
            Instant::now() < deadline,
            "{} files are open, {before} before",
            open_files()?
        );
        looks.tick().await;
    }
    assert!(second > before, "connections were open meanwhile");
    Ok(())
}
