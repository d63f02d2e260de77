//! All cameras behind one RTSP listener.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use domain::{Camera, CameraSource, CameraUrl, Clock, Credentials, UtcMillis, camera::RtpTransport};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, broadcast::error::RecvError},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::cameras::{
    attached::SimCamera,
    dialogue::{Dialogue, Offer, Step},
    encoder::{ParameterSets, parameter_sets},
    request::{Incoming, MAX_BODY_BYTES, MAX_HEAD_BYTES, read},
    rtp::Packets,
    studio::{Gallery, MAX_CLIENTS, Seat, Studio},
};

/// A client that takes no data for so long is dropped.
const WRITE_DEADLINE: Duration = Duration::from_secs(5);
/// A client that says nothing for so long, while it gets no pictures, is dropped.
const SILENCE_DEADLINE: Duration = Duration::from_secs(60);
/// Waiting after the system refused to accept a connection: too many files are open.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Simulated cameras, bound and about to be served.
///
/// Each is found at `rtsp://HOST:PORT/cam/<facility>/<camera>` and asks for digest authentication. A camera
/// draws and encodes only while somebody watches, at most 8 clients each; a further client is told 453. Each
/// sends H.264, 640 × 360, 5 pictures a second, a key frame every second, inside the RTSP connection; UDP is
/// refused with 461. Its script counts from the moment of [`CameraFarm::start`].
#[derive(Debug)]
pub struct CameraFarm {
    listener: TcpListener,
    addr: SocketAddr,
    cameras: Vec<SimCamera>,
    clock: Clock,
    start: UtcMillis,
    sets: ParameterSets,
}

/// What all connections share.
#[derive(Debug)]
struct Served {
    offers: Arc<[Offer]>,
    sets: Arc<ParameterSets>,
    galleries: Vec<Gallery>,
}

impl CameraFarm {
    /// Binds `listen`. Cameras that push their pictures over MQTT are none of the farm's and are left out.
    ///
    /// # Errors
    /// When the address cannot be bound, or the encoder does not work.
    pub async fn start(
        listen: SocketAddr,
        cameras: Vec<SimCamera>,
        clock: Clock,
    ) -> anyhow::Result<CameraFarm> {
        let listener = TcpListener::bind(listen).await.with_context(|| {
            format!("the simulated cameras cannot listen on {listen}; choose another address")
        })?;
        let addr = listener
            .local_addr()
            .context("the simulated cameras' address is unknown")?;
        let start = clock.now();
        let mut cameras = cameras;
        cameras.retain(|camera| !camera.is_pushed());
        for camera in &mut cameras {
            let url = CameraUrl::new(&format!("rtsp://{addr}/cam/{}", camera.name()))
                .context("a simulated camera's name makes no URL")?;
            camera.camera.source = CameraSource::Rtsp {
                main: url,
                sub: None,
                transport: RtpTransport::Tcp,
            };
        }
        Ok(CameraFarm {
            listener,
            addr,
            cameras,
            clock,
            start,
            sets: parameter_sets()?,
        })
    }

    /// As if it had been started so many milliseconds earlier: the scripts are that far on.
    #[must_use]
    pub fn begun_earlier(mut self, by_ms: i64) -> CameraFarm {
        self.start = self.start - by_ms;
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The cameras with their URLs, and what signs in to them.
    #[must_use]
    pub fn cameras(&self) -> Vec<(Camera, Credentials)> {
        let both = |camera: &SimCamera| (camera.camera.clone(), camera.credentials.clone());
        self.cameras.iter().map(both).collect()
    }

    /// The moment from which the scripts count.
    #[must_use]
    pub fn started_at(&self) -> UtcMillis {
        self.start
    }

    /// Serves until `stop` is cancelled, then closes every connection and ends every task.
    ///
    /// # Errors
    /// When a camera cannot draw or encode, which is a defect of the simulator.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let galleries: Vec<Gallery> = self.cameras.iter().map(|_| Gallery::new()).collect();
        let mut studios = JoinSet::new();
        for (camera, gallery) in self.cameras.iter().zip(&galleries) {
            let studio = Studio {
                script: camera.script,
                start: self.start,
                clock: self.clock.clone(),
                gallery: gallery.clone(),
            };
            studios.spawn(studio.run(stop.clone()));
        }
        let offers = self.cameras.iter().map(|camera| Offer {
            name: camera.name(),
            credentials: camera.credentials.clone(),
        });
        let served = Arc::new(Served {
            offers: offers.collect(),
            sets: Arc::new(self.sets),
            galleries,
        });
        let mut connections = JoinSet::new();
        accept(&self.listener, &served, &mut connections, &stop).await;
        connections.shutdown().await;
        while let Some(ended) = studios.join_next().await {
            ended.context("a simulated camera's task failed")??;
        }
        Ok(())
    }
}

/// Takes connections until `stop`: as many at once as the cameras take clients, and half as many again that
/// have not chosen yet. More wait in the listener's own queue.
async fn accept(
    listener: &TcpListener,
    served: &Arc<Served>,
    connections: &mut JoinSet<()>,
    stop: &CancellationToken,
) {
    let most = served.galleries.len() * MAX_CLIENTS * 3 / 2 + MAX_CLIENTS;
    let room = Arc::new(Semaphore::new(most));
    loop {
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await.ok()?;
            Some((listener.accept().await, place))
        };
        let Some(Some((accepted, place))) = stop.run_until_cancelled(next).await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let served = Arc::clone(served);
                connections.spawn(async move {
                    serve(stream, &served).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "The simulated cameras could not accept a connection.");
                stop.run_until_cancelled(sleep(ACCEPT_AGAIN)).await;
            }
        }
    }
}

/// One client, from its connection to its end.
async fn serve(stream: TcpStream, served: &Served) {
    let mut client = Client {
        stream,
        buffer: Vec::with_capacity(1024),
        out: Vec::new(),
        playing: None,
    };
    let mut chance = [0; 24];
    if let Err(error) = getrandom::fill(&mut chance) {
        tracing::warn!(error = %error, "The system gives no random numbers; a client of a simulated camera is refused.");
        return;
    }
    let (nonce, session) = (hex::encode(&chance[..16]), hex::encode(&chance[16..]));
    let mut dialogue = Dialogue::new(
        Arc::clone(&served.offers),
        Arc::clone(&served.sets),
        nonce,
        session,
    );
    while client.live(&mut dialogue, served).await.is_some() {}
}

/// Pictures on their way to a client.
struct Playing {
    seat: Seat,
    packets: Packets,
    /// A key frame has been sent.
    begun: bool,
}

/// One client's connection.
struct Client {
    stream: TcpStream,
    /// What came in and is not yet read: at most one request.
    buffer: Vec<u8>,
    /// What goes out next.
    out: Vec<u8>,
    playing: Option<Playing>,
}

impl Client {
    /// Waits for one thing to happen and deals with it; `None` at the end.
    async fn live(&mut self, dialogue: &mut Dialogue, served: &Served) -> Option<()> {
        let shot = match &mut self.playing {
            None => {
                let come = timeout(SILENCE_DEADLINE, self.stream.read_buf(&mut self.buffer));
                let count = come.await.ok()?.ok()?;
                return if count > 0 {
                    self.answer(dialogue, served).await
                } else {
                    None
                };
            }
            Some(playing) => {
                tokio::select! {
                    come = self.stream.read_buf(&mut self.buffer) => {
                        let count = come.ok()?;
                        return if count > 0 { self.answer(dialogue, served).await } else { None };
                    }
                    shot = playing.seat.shots.recv() => shot,
                }
            }
        };
        match shot {
            Ok(shot) => {
                let playing = self.playing.as_mut()?;
                playing.begun |= shot.picture.key;
                if playing.begun {
                    playing.packets.write(&shot.picture, shot.taken, &mut self.out);
                }
                self.send().await
            }
            Err(RecvError::Lagged(_)) => {
                tracing::debug!("A client of a simulated camera is too slow and is dropped.");
                None
            }
            Err(RecvError::Closed) => None,
        }
    }

    /// Answers every request that is here as a whole.
    async fn answer(&mut self, dialogue: &mut Dialogue, served: &Served) -> Option<()> {
        loop {
            let (request, length) = match read(&self.buffer) {
                Ok(Incoming::Request(request, length)) => (request, length),
                Ok(Incoming::Other(length)) => {
                    self.buffer.drain(..length);
                    continue;
                }
                // A packet of the client's may be longer than a request; it is not waited for either.
                Ok(Incoming::Incomplete) => {
                    let most = MAX_HEAD_BYTES + MAX_BODY_BYTES;
                    return (self.buffer.len() <= most).then_some(());
                }
                Err(error) => {
                    tracing::debug!(error = %error, "A client of a simulated camera does not speak RTSP.");
                    return None;
                }
            };
            self.buffer.drain(..length);
            let (mut response, mut step) = dialogue.respond(&request);
            if let Step::Play { camera, channel } = step
                && self.playing.is_none()
            {
                match served.galleries[camera].sit_down() {
                    Some(seat) => {
                        let source = getrandom::u32().ok()?;
                        let packets = Packets::new(channel, source, (source >> 16) as u16);
                        self.playing = Some(Playing {
                            seat,
                            packets,
                            begun: false,
                        });
                    }
                    None => (response, step) = (Dialogue::refuse_crowd(&request), Step::Wait),
                }
            }
            self.out.extend(response);
            self.send().await?;
            if step == Step::Close {
                return None;
            }
        }
    }

    async fn send(&mut self) -> Option<()> {
        let sent = timeout(WRITE_DEADLINE, self.stream.write_all(&self.out)).await;
        self.out.clear();
        sent.ok()?.ok()
    }
}

#[cfg(test)]
mod tests;
