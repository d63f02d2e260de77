//! A whole running product in a test: real sockets, real files, port 0, nothing left behind.
//!
//! Owns: [`TestApp`], the clients that tests share, and waiting for a condition with a deadline.
//!
//! Must not know: how any part works inside. It starts the product as `server` does and talks to it as a
//! device, a browser or a tool would.

pub mod cameras;
pub mod messages;
pub mod sink;
pub mod sparkplug;

use std::{
    collections::HashMap,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use domain::{
    Clock, DeviceId, Facility, FacilityId, FacilityKind, Identity, IdentityName, Metric, Person, PersonId,
    Point, Reach, Region, RegionId, Role, SecretHash, SizeClass, Unit,
};
use server::{Addresses, App, Config};
use store::Records;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for something that must happen before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The secret of every device that a [`TestApp`] knows.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The facility that every [`TestApp`] has.
pub const FACILITY: &str = "binhe";

/// The seed of every simulated district.
const SEED: u64 = 7;

/// Any free port, for pages and for devices.
const ANY_PORT: (u16, u16) = (0, 0);

/// A product running in this process on ports of its own, with its data in a folder of its own.
pub struct TestApp {
    /// What listens where.
    pub addrs: Addresses,
    /// The record store, as another process would open it.
    pub records: Records,
    dir: Option<TempDir>,
    path: PathBuf,
    /// The configuration beyond the usual one.
    extra: String,
    stop: CancellationToken,
    running: Option<JoinHandle<anyhow::Result<()>>>,
    simulated: Option<JoinHandle<anyhow::Result<()>>>,
}

/// A point for a test's inventory.
#[must_use]
pub fn point(device: &str, metric: &str, point_type: &str) -> Point {
    let metric = Metric::new(metric).expect("a metric of the test");
    Point {
        facility: FacilityId::new(FACILITY).expect("a constant"),
        device: DeviceId::new(device).expect("a device of the test"),
        unit: metric.unit(),
        metric,
        point_type: point_type.to_owned(),
        place_zh: format!("{device} 处"),
        place_en: format!("At {device}"),
        report_interval_s: 60,
    }
}

fn facility() -> Facility {
    Facility {
        id: FacilityId::new(FACILITY).expect("a constant"),
        region: RegionId::new("district").expect("a constant"),
        name_zh: "滨河颐养院".into(),
        name_en: "Binhe Care Home".into(),
        kind: FacilityKind::CareHome,
        size: SizeClass::Medium,
        beds: 120,
        people_served: 118,
        address: "滨河路 1 号".into(),
    }
}

/// The points that every [`TestApp`] has.
#[must_use]
pub fn inventory() -> Vec<Point> {
    vec![
        point("fridge-1", "temperature", "fridge_air"),
        point("gas-1", "combustible_gas", "kitchen_gas"),
        point("smoke-1", "smoke_alarm", "smoke_detector"),
        point("door-1", "door_open", "cold_room"),
        Point {
            unit: Unit::Fahrenheit,
            ..point("freezer-1", "temperature", "freezer_air")
        },
    ]
}

impl TestApp {
    /// Starts a product with [`inventory`] and a `tool` service that clients without credentials act as.
    pub async fn start() -> anyhow::Result<TestApp> {
        Self::start_with("").await
    }

    /// The same with further configuration (TOML, whole sections that are not already in use).
    pub async fn start_with(extra: &str) -> anyhow::Result<TestApp> {
        let dir = tempfile::tempdir().context("no temporary folder")?;
        let path = dir.path().to_owned();
        seed(&path).await?;
        let mut app = Self::open(&path, extra, ANY_PORT).await?;
        app.dir = Some(dir);
        Ok(app)
    }

    /// Starts a product with a simulated district of `facilities` that publishes over real MQTT: two days
    /// of past, then live, with its scripted incidents.
    pub async fn start_district(facilities: usize) -> anyhow::Result<TestApp> {
        let dir = tempfile::tempdir().context("no temporary folder")?;
        let path = dir.path().to_owned();
        seed(&path).await?;
        let district = simulator::district(SEED, facilities);
        let secrets = seed_district(&path, &district).await?;
        let mut app = Self::open(&path, "", ANY_PORT).await?;
        app.dir = Some(dir);
        let now = Clock::system().now();
        let scenario = simulator::Scenario {
            history_from: Some(now - 48 * 3_600_000),
            facilities,
            ..simulator::Scenario::new(SEED, now)
        };
        let simulator =
            simulator::Simulator::new(scenario, district, app.addrs.mqtt, secrets, Clock::system());
        app.simulated = Some(owned(simulator.run(app.stop.child_token())));
        Ok(app)
    }

    async fn open(path: &Path, extra: &str, ports: (u16, u16)) -> anyhow::Result<TestApp> {
        let config = configuration(path, extra, ports)?;
        let app = App::build(config, Clock::system()).await?;
        let addrs = app.addrs()?;
        let stop = CancellationToken::new();
        let running = owned(app.run(stop.clone()));
        let records = Records::open(&path.join("records.db"), Clock::system()).await?;
        let app = TestApp {
            addrs,
            records,
            dir: None,
            path: path.to_owned(),
            extra: extra.to_owned(),
            stop,
            running: Some(running),
            simulated: None,
        };
        until("the product is ready", || async {
            Ok(app.get("/readyz").await?.0 == 200)
        })
        .await?;
        Ok(app)
    }

    /// The folder with its data.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.path
    }

    /// Stops it in order and starts it again on the same data and the same ports.
    pub async fn restart(self) -> anyhow::Result<TestApp> {
        let extra = self.extra.clone();
        self.restart_with(&extra).await
    }

    /// The same with further configuration, as for [`TestApp::start_with`].
    pub async fn restart_with(mut self, extra: &str) -> anyhow::Result<TestApp> {
        let dir = self.dir.take();
        let path = self.path.clone();
        let ports = (self.addrs.http.port(), self.addrs.mqtt.port());
        self.finish().await?;
        let mut app = Self::open(&path, extra, ports).await?;
        app.dir = dir;
        Ok(app)
    }

    /// Stops it in order; an error of any part is the test's error.
    pub async fn finish(mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.records.close().await;
        if let Some(simulated) = self.simulated.take() {
            tokio::time::timeout(PATIENCE, simulated)
                .await
                .context("the simulator did not stop")???;
        }
        match self.running.take() {
            Some(running) => tokio::time::timeout(PATIENCE, running)
                .await
                .context("it did not stop")??,
            None => bail!("it was stopped before"),
        }
    }

    /// [`TestApp::finish`], with a moment in between at which nothing is written any more and the data still lies there.
    ///
    /// # Errors
    /// As [`TestApp::finish`], and when `keep` fails.
    pub async fn finish_keeping(mut self, keep: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
        let dir = self.dir.take();
        self.finish().await?;
        let kept = keep();
        drop(dir);
        kept
    }

    /// Adds a device with [`SECRET`].
    pub async fn add_device(&self, device: &str) -> anyhow::Result<IdentityName> {
        let identity = device_identity(device)?;
        let name = identity.name.clone();
        self.records.put_identities(&[identity]).await?;
        Ok(name)
    }

    /// Puts somebody of this role on record, signs them in and says why they look: the cookies of all that.
    ///
    /// # Errors
    /// When that is refused.
    pub async fn sign_in(&self, role: Role, purpose: &str) -> anyhow::Result<String> {
        const PASSWORD: &str = "correct-horse";
        let person = Person {
            id: PersonId::new(role.code())?,
            name: role.code().to_owned(),
            role,
            reach: Reach::Everything,
            barred: false,
        };
        self.records.put_person(&person, "test").await?;
        self.records.set_password(&person.id, PASSWORD, "test").await?;
        let session = self
            .set_cookie(
                "/sign-in",
                &format!("account={}&password={PASSWORD}", person.id),
                "",
            )
            .await?;
        let purpose = self
            .set_cookie("/watcher", &format!("purpose={purpose}"), &session)
            .await?;
        Ok(format!("{session}; {purpose}"))
    }

    /// Sends a form as a page of ours would; the first cookie that the answer sets.
    async fn set_cookie(&self, path: &str, form: &str, cookie: &str) -> anyhow::Result<String> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let answer = client
            .post(self.url(path))
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", cookie)
            .body(form.to_owned())
            .send()
            .await?;
        let status = answer.status();
        let set = answer.headers().get("set-cookie");
        let set = set
            .with_context(|| format!("{path} set no cookie: {status}"))?
            .to_str()?;
        Ok(set.split(';').next().unwrap_or_default().to_owned())
    }

    /// Adds a device of another make with [`SECRET`], and waits until it may sign in.
    ///
    /// # Errors
    /// When the records refuse it.
    pub async fn add_device_of(
        &self,
        device: &str,
        profile: &str,
        root: Option<&str>,
    ) -> anyhow::Result<Device> {
        let secret = SecretHash::of(SECRET.as_bytes(), [7; 16]);
        let root = root.map(domain::VendorRoot::parse).transpose()?;
        let identity = Identity::of_device(
            &FacilityId::new(FACILITY)?,
            &DeviceId::new(device)?,
            profile,
            secret,
        )?;
        self.records.put_identities(&[identity.below(root)]).await?;
        until("it may sign in", || async {
            Ok(Device::connect(self.addrs.mqtt, device).await.is_ok())
        })
        .await?;
        Device::connect(self.addrs.mqtt, device).await
    }

    /// The address of HTTP intake.
    #[must_use]
    pub fn intake(&self, path: &str) -> String {
        let address = self.addrs.intake.expect("the test configured it");
        format!("http://{address}{path}")
    }

    /// The address of a page.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addrs.http)
    }

    /// Fetches a page: status and text.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let answer = reqwest::get(self.url(path)).await?;
        Ok((answer.status().as_u16(), answer.text().await?))
    }

    /// Fetches JSON from the API.
    pub async fn json(&self, path: &str) -> anyhow::Result<serde_json::Value> {
        let (status, text) = self.get(path).await?;
        anyhow::ensure!(status == 200, "{path} answered {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// The latest value of a point, if it has one.
    pub async fn latest(&self, device: &str, metric: &str) -> anyhow::Result<Option<f64>> {
        let (status, text) = self
            .get(&format!("/api/v1/points/{FACILITY}/{device}/{metric}/latest"))
            .await?;
        if status == 404 {
            return Ok(None);
        }
        let answer: serde_json::Value = serde_json::from_str(&text)?;
        Ok(answer["value"].as_f64())
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn configuration(path: &Path, extra: &str, (http, mqtt): (u16, u16)) -> anyhow::Result<Config> {
    let file = path.join("sunshine.toml");
    // Most tests have no use for models.
    let vision = if extra.contains("[vision]") {
        ""
    } else {
        "[vision]\nenabled = false\n"
    };
    let text = format!(
        "data_dir = {path:?}\n[http]\nlisten = \"127.0.0.1:{http}\"\n[mqtt]\nlisten = \"127.0.0.1:{mqtt}\"\n\
         anonymous_as = \"tool\"\n[[mqtt.service]]\nname = \"tool\"\npublish = [\"sk/v1/#\"]\n\
         subscribe = [\"sk/v1/#\"]\n[journal]\nsegment_mib = 4\ncapacity_mib = 256\n{vision}{extra}\n"
    );
    std::fs::write(&file, text)?;
    Ok(Config::load(Some(&file), &Vec::new())?)
}

fn device_identity(device: &str) -> anyhow::Result<Identity> {
    identity_of(&FacilityId::new(FACILITY)?, &DeviceId::new(device)?)
}

fn identity_of(facility: &FacilityId, device: &DeviceId) -> anyhow::Result<Identity> {
    let secret = SecretHash::of(SECRET.as_bytes(), [7; 16]);
    Ok(Identity::of_device(facility, device, "standard", secret)?)
}

/// Writes the inventory into the record store of a data folder.
///
/// # Errors
/// When the store cannot be written.
pub async fn seed(path: &Path) -> anyhow::Result<()> {
    let records = Records::open(&path.join("records.db"), Clock::system()).await?;
    let id = RegionId::new("district")?;
    let region = Region {
        id,
        parent: None,
        name_zh: "滨河区".into(),
        name_en: "Binhe".into(),
    };
    records.put_region(&region).await?;
    records.put_facility(&facility()).await?;
    let points = inventory();
    records.put_points(&points).await?;
    let mut identities = HashMap::new();
    for point in &points {
        let identity = device_identity(point.device.as_str())?;
        identities.insert(identity.name.clone(), identity);
    }
    let identities: Vec<Identity> = identities.into_values().collect();
    records.put_identities(&identities).await?;
    records.close().await;
    Ok(())
}

/// Writes a simulated district into the record store of a data folder; answers with its devices' secrets.
async fn seed_district(
    path: &Path,
    district: &simulator::District,
) -> anyhow::Result<HashMap<IdentityName, String>> {
    let records = Records::open(&path.join("records.db"), Clock::system()).await?;
    let mut secrets = HashMap::new();
    let mut identities = Vec::new();
    for device in &district.devices {
        let hash = SecretHash::of(SECRET.as_bytes(), [7; 16]);
        let identity = Identity::of_device(&device.facility, &device.device, device.profile, hash)?;
        secrets.insert(identity.name.clone(), SECRET.to_owned());
        identities.push(identity);
    }
    for region in &district.regions {
        records.put_region(region).await?;
    }
    for facility in &district.facilities {
        records.put_facility(facility).await?;
    }
    records.put_points(&district.points).await?;
    records.put_identities(&identities).await?;
    records.close().await;
    Ok(secrets)
}

/// Starts a task whose handle the caller keeps: it is joined or aborted before the test ends.
#[expect(
    clippy::disallowed_methods,
    reason = "the handle is its owner, and the runtime ends with the test"
)]
pub fn owned<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn(task)
}

/// Asks again and again until the answer is yes; fails after [`PATIENCE`].
///
/// # Errors
/// When `ask` fails, or the answer stays no.
pub async fn until<F>(what: &str, ask: impl Fn() -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<bool>>,
{
    let deadline = Instant::now() + PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        match ask().await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(e) => last = Some(e),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    match last {
        Some(e) => Err(e.context(format!("waited in vain until {what}"))),
        None => bail!("waited in vain until {what}"),
    }
}

/// A device of the test's facility that publishes at QoS 1 and waits for each acknowledgement.
pub struct Device {
    client: rumqttc::AsyncClient,
    events: rumqttc::EventLoop,
}

impl Device {
    /// Signs in; [`SECRET`] opens every device of a [`TestApp`].
    ///
    /// # Errors
    /// When the broker refuses it.
    pub async fn connect(mqtt: SocketAddr, device: &str) -> anyhow::Result<Device> {
        let mut options =
            rumqttc::MqttOptions::new(format!("test-{device}"), mqtt.ip().to_string(), mqtt.port());
        options.set_credentials(format!("{FACILITY}/{device}"), SECRET);
        options.set_keep_alive(Duration::from_secs(30));
        // As large as the broker takes.
        options.set_max_packet_size(262_144, 262_144);
        let (client, events) = rumqttc::AsyncClient::new(options, 64);
        let mut device = Device { client, events };
        device
            .wait_for(|packet| matches!(packet, rumqttc::Packet::ConnAck(_)))
            .await?;
        Ok(device)
    }

    /// Publishes below the device's own root and waits until the broker has it on disk.
    ///
    /// # Errors
    /// When the connection breaks before the acknowledgement.
    pub async fn publish(&mut self, leaf: &str, device: &str, payload: &str) -> anyhow::Result<()> {
        let topic = format!("sk/v1/{FACILITY}/{device}/{leaf}");
        self.client
            .publish(topic, rumqttc::QoS::AtLeastOnce, false, payload)
            .await?;
        self.wait_for(|packet| matches!(packet, rumqttc::Packet::PubAck(_)))
            .await
    }

    /// Publishes anywhere and waits until the broker has it on disk.
    ///
    /// # Errors
    /// When the connection breaks before the acknowledgement.
    pub async fn publish_to(&mut self, topic: &str, payload: &[u8]) -> anyhow::Result<()> {
        self.client
            .publish(topic, rumqttc::QoS::AtLeastOnce, false, payload)
            .await?;
        self.wait_for(|packet| matches!(packet, rumqttc::Packet::PubAck(_)))
            .await
    }

    /// Subscribes and waits until the broker has answered; true when it grants it.
    ///
    /// # Errors
    /// When the connection breaks before the answer.
    pub async fn subscribe(&mut self, filter: &str) -> anyhow::Result<bool> {
        self.client.subscribe(filter, rumqttc::QoS::AtLeastOnce).await?;
        let mut granted = false;
        let answered = |packet: &rumqttc::Packet| matches!(packet, rumqttc::Packet::SubAck(_));
        let found = async {
            loop {
                if let rumqttc::Event::Incoming(packet) = self.events.poll().await?
                    && answered(&packet)
                {
                    if let rumqttc::Packet::SubAck(answer) = packet {
                        granted = !answer
                            .return_codes
                            .contains(&rumqttc::SubscribeReasonCode::Failure);
                    }
                    return anyhow::Ok(granted);
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .context("the broker did not answer")?
    }

    /// The next message that is delivered: its topic and its payload.
    ///
    /// # Errors
    /// When none comes within [`PATIENCE`].
    pub async fn delivered(&mut self) -> anyhow::Result<(String, Vec<u8>)> {
        let found = async {
            loop {
                if let rumqttc::Event::Incoming(rumqttc::Packet::Publish(message)) =
                    self.events.poll().await?
                {
                    return anyhow::Ok((message.topic, message.payload.to_vec()));
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .context("nothing was delivered")?
    }

    /// Waits until the broker ends the connection.
    ///
    /// # Errors
    /// When it does not within [`PATIENCE`].
    pub async fn closed(&mut self) -> anyhow::Result<()> {
        tokio::time::timeout(PATIENCE, async { while self.events.poll().await.is_ok() {} })
            .await
            .context("the connection stayed open")
    }

    async fn wait_for(&mut self, wanted: impl Fn(&rumqttc::Packet) -> bool) -> anyhow::Result<()> {
        let found = async {
            loop {
                if let rumqttc::Event::Incoming(packet) = self.events.poll().await?
                    && wanted(&packet)
                {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, found)
            .await
            .context("the broker did not answer")?
    }
}
