//! The whole district on the air.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use domain::{Clock, IdentityName};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    cameras::{PushedCamera, StovePlug},
    connection::{Device, Line, Outbox, Speech},
    district::District,
    history::History,
    makes::{self, MadeDevice, Make, Telegraf},
    model::DeviceModel,
    noise::{Dice, key},
    schedule::Live,
    script::{Scenario, Script},
};

/// How many devices tell their past at once.
const HISTORIANS: usize = 16;
/// Devices sign in this far apart, so that the broker is not rung by all at once.
const STAGGER: Duration = Duration::from_millis(2);

/// A district about to go on the air.
#[derive(Debug)]
pub struct Simulator {
    scenario: Scenario,
    district: District,
    broker: SocketAddr,
    intake: Option<SocketAddr>,
    secrets: HashMap<IdentityName, String>,
    clock: Clock,
}

impl Simulator {
    /// `secrets` holds one for every device's [`crate::SimDevice::identity`], and may hold one for the
    /// [`crate::SimCamera::identity`] of every camera that pushes and for the [`crate::SimMake::identity`] of every
    /// device of another make: without, it publishes nothing. With a simulated `clock`, devices
    /// notice within a second of real time that it was moved.
    #[must_use]
    pub fn new(
        scenario: Scenario,
        district: District,
        broker: SocketAddr,
        secrets: HashMap<IdentityName, String>,
        clock: Clock,
    ) -> Simulator {
        Simulator {
            scenario,
            district,
            broker,
            intake: None,
            secrets,
            clock,
        }
    }

    /// Where what speaks HTTP is to send its readings; without it, that says nothing.
    #[must_use]
    pub fn with_intake(mut self, intake: Option<SocketAddr>) -> Simulator {
        self.intake = intake;
        self
    }

    /// Runs every device until `stop` is cancelled; each then says goodbye within two seconds. A broker that
    /// is away, or that refuses a device, is no error: the devices keep trying and say so in the log.
    ///
    /// # Errors
    /// When a device has no secret, and when a device's task fails, which is a defect of the simulator.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let (told, told_seen) = watch::channel(0);
        let line = Arc::new(Line {
            broker: self.broker,
            clock: self.clock.clone(),
            start: self.scenario.start,
            historians: Semaphore::new(HISTORIANS),
            told,
        });
        let count = self.district.devices.len();
        let mut tasks = JoinSet::new();
        let script = Arc::new(Script::new(&self.scenario, &self.district));
        let mut devices = VecDeque::with_capacity(count);
        for index in 0..count {
            devices.push_back(self.device(index, &script, &line)?);
        }
        devices.extend(self.pushed_cameras(&line));
        devices.extend(self.stove_plugs(&line));
        self.start_makes(&mut tasks, (&line, &stop));
        tasks.spawn(announce(told_seen, count, stop.clone()));
        while let Some(device) = devices.pop_front() {
            tasks.spawn(device.run(stop.clone()));
            if stop.run_until_cancelled(sleep(STAGGER)).await.is_none() {
                break;
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a simulated device's task failed")?;
        }
        Ok(())
    }

    /// Starts the devices of other makes that have a secret.
    fn start_makes(&mut self, tasks: &mut JoinSet<()>, (line, stop): (&Arc<Line>, &CancellationToken)) {
        let step_ms = self.scenario.interval_ms(makes::EVERY_S);
        for (n, of) in self.district.makes.iter().enumerate() {
            let Some(secret) = self.secrets.remove(&of.identity()) else {
                continue;
            };
            let (of, name) = (of.clone(), of.identity().to_string());
            let (line, stop) = (Arc::clone(line), stop.clone());
            if of.make != Make::Telegraf {
                let dice = Dice::new(key(self.scenario.seed, 0x3A4E_F000 + n as u64));
                let device = MadeDevice {
                    of,
                    name,
                    secret,
                    dice,
                    step_ms,
                    line,
                };
                tasks.spawn(device.run(stop));
            } else if let Some(intake) = self.intake {
                let agent = Telegraf {
                    of,
                    name,
                    secret,
                    intake,
                    step_ms,
                    line,
                };
                tasks.spawn(agent.run(stop));
            }
        }
    }

    /// The cameras that push and have a secret.
    fn pushed_cameras(&mut self, line: &Arc<Line>) -> Vec<Device> {
        let from = self.clock.now().max(line.start);
        let mut made = Vec::new();
        for camera in self.district.cameras.iter().filter(|camera| camera.is_pushed()) {
            let identity = camera.identity();
            let Some(secret) = self.secrets.remove(&identity) else {
                continue;
            };
            let pushed = PushedCamera::new(camera, self.scenario.scene_start, from);
            made.push(Device {
                name: identity.as_str().to_owned(),
                secret,
                status: pushed.topic("status"),
                dice: Dice::new(key(self.scenario.seed, 0xCA3E_0000 + made.len() as u64)),
                speech: Some(Speech::Pictures(Box::new(pushed))),
                outbox: Outbox::default(),
                line: Arc::clone(line),
            });
        }
        made
    }

    /// The plugs of stoves that have a secret.
    fn stove_plugs(&mut self, line: &Arc<Line>) -> Vec<Device> {
        let from = self.clock.now().max(line.start);
        let mut made = Vec::new();
        for stove in &self.district.stoves {
            let identity = stove.identity();
            let Some(secret) = self.secrets.remove(&identity) else {
                continue;
            };
            let plug = StovePlug::new(stove, self.scenario.scene_start, from);
            made.push(Device {
                name: identity.as_str().to_owned(),
                secret,
                status: plug.topic("status"),
                dice: Dice::new(key(self.scenario.seed, 0x570E_0000 + made.len() as u64)),
                speech: Some(Speech::Power(plug)),
                outbox: Outbox::default(),
                line: Arc::clone(line),
            });
        }
        made
    }

    fn device(&mut self, index: usize, script: &Arc<Script>, line: &Arc<Line>) -> anyhow::Result<Device> {
        let model = DeviceModel::new(&self.scenario, &self.district, script, index);
        let identity = self.district.devices[index].identity();
        let secret = self.secrets.remove(&identity).with_context(|| {
            format!("the device {identity} has no secret; register the district's devices and hand in theirs")
        })?;
        let status = format!("{}status", model.root);
        let dice = Dice::new(model.key);
        let now = self.clock.now().max(line.start);
        let speech = match self.scenario.history_from {
            Some(_) => Speech::Past(History::new(&self.scenario, model, now)),
            None => Speech::Present(Live::from(model, now)),
        };
        let line = Arc::clone(line);
        Ok(Device {
            name: identity.as_str().to_owned(),
            secret,
            status,
            speech: Some(speech),
            outbox: Outbox::default(),
            dice,
            line,
        })
    }
}

/// Logs when every device has told its past.
async fn announce(mut told: watch::Receiver<usize>, devices: usize, stop: CancellationToken) {
    let begun = Instant::now();
    let all = told.wait_for(|count| *count >= devices);
    if let Some(Ok(_)) = stop.run_until_cancelled(all).await {
        tracing::info!(
            devices,
            duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "The simulated district has published its past."
        );
    }
}
