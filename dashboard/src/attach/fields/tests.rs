use domain::{
    Polygon, Spot,
    camera::{CountLine, Zone},
};

use super::*;

fn area(right: f32) -> Polygon {
    let spot = |x, y| Spot { x, y };
    Polygon::new(vec![spot(0.1, 0.1), spot(right, 0.1), spot(right, 0.9)]).unwrap()
}

/// A camera with everything set.
fn camera(source: CameraSource) -> Camera {
    let zone = DeviceId::new("stove").unwrap();
    Camera {
        key: CameraKey {
            facility: FacilityId::new("binhe-01").unwrap(),
            camera: DeviceId::new("cam-1").unwrap(),
        },
        room: Room::SpecialRoom,
        place_zh: "专间".into(),
        place_en: "Special room".into(),
        source,
        decoding: Decoding::AllFrames,
        masks: vec![area(0.5)],
        zones: vec![Zone {
            id: zone.clone(),
            name: "灶台".into(),
            area: area(0.9),
        }],
        line: Some(CountLine {
            from: Spot { x: 0.0, y: 0.5 },
            to: Spot { x: 1.0, y: 0.5 },
        }),
        capacity: Some(6),
        checks: vec![
            CheckSetting {
                zone: Some(zone),
                sensitivity: Some(0.35),
                ..CheckSetting::of(Check::NoMask)
            },
            CheckSetting::of(Check::NoMask),
            CheckSetting::of(Check::BinOpen),
        ],
        schedule: Schedule::default(),
        gb_id: Some(GbId::new("34020000001320000001").unwrap()),
        live: true,
        retention: Retention::Days90,
        enabled: false,
    }
}

fn url(text: &str) -> CameraUrl {
    CameraUrl::new(text).unwrap()
}

#[test]
fn a_camera_survives_its_form() {
    let sources = [
        CameraSource::Rtsp {
            main: url("rtsp://192.0.2.7/101"),
            sub: Some(url("rtsp://192.0.2.7/102")),
            transport: RtpTransport::Udp,
        },
        CameraSource::Rtsp {
            main: url("rtsp://192.0.2.7/101"),
            sub: None,
            transport: RtpTransport::Tcp,
        },
        CameraSource::Mjpeg {
            url: url("http://192.0.2.7/mjpeg"),
        },
        CameraSource::Snapshot {
            url: url("https://192.0.2.7/snap.jpg"),
            interval_ms: 500,
        },
        CameraSource::Pushed,
        CameraSource::Folder {
            path: "/srv/pictures".into(),
            interval_ms: 1000,
        },
    ];
    for source in sources {
        let camera = camera(source);
        let fields = Fields::of(&camera);
        let mut reading = Reading::of(&fields);
        let read = reading.camera(Some(&camera));
        assert_eq!((read, reading.problems), (Some(camera), Problems::new()));
    }
}

#[test]
fn every_wrong_field_is_named() {
    let good = Fields::of(&camera(CameraSource::Rtsp {
        main: url("rtsp://192.0.2.7/101"),
        sub: None,
        transport: RtpTransport::Tcp,
    }));
    let cases = [
        ("facility", "a/b", Problem::Id),
        ("camera", "", Problem::Missing),
        ("camera", "a b", Problem::Id),
        ("place_zh", "", Problem::Missing),
        ("room", "bedroom", Problem::Camera(CameraError::PrivateRoom)),
        ("room", "bathroom", Problem::Camera(CameraError::PrivateRoom)),
        ("room", "cellar", Problem::Choice),
        ("kind", "carrier-pigeon", Problem::Choice),
        ("kind", "folder", Problem::Folder),
        ("main", "", Problem::Missing),
        ("main", "http://192.0.2.7/", Problem::Scheme("rtsp")),
        (
            "main",
            "rtsp://admin:secret@192.0.2.7/",
            Problem::Camera(CameraError::UrlCredentials),
        ),
        (
            "zones",
            "stove: 0,0",
            Problem::Line((
                1,
                areas::AreaError::Polygon(domain::geometry::PolygonError::Corners(1)),
            )),
        ),
        ("capacity", "0", Problem::Number(1, 10_000)),
        ("gb_id", "123", Problem::Camera(CameraError::GbId)),
        ("retention", "31", Problem::Choice),
        ("working", "25:00-26:00", Problem::Spans),
        ("meals", "noon", Problem::Spans),
        ("c0-zone", "garden", Problem::Zone),
        ("c0-sensitivity", "1.5", Problem::Number(0, 1)),
        ("c0-duration", "0", Problem::Number(1, 3_600)),
        ("c0-vote", "11/10", Problem::Vote),
        ("c0-again", "x", Problem::Number(1, 36_000)),
        ("c0-hours", "never", Problem::Choice),
    ];
    for (name, value, want) in cases {
        let mut fields = good.clone();
        fields.set(name, value);
        let mut reading = Reading::of(&fields);
        assert_eq!(reading.camera(None), None, "{name}={value}");
        assert_eq!(reading.problems.get(name), Some(&want), "{name}={value}");
    }
}

#[test]
fn credentials_are_taken_out_of_the_form() {
    let pairs = [("user", "admin"), ("password", "hunter2"), ("camera", "c")];
    let pairs = pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
    let (fields, credentials) = Fields::received(pairs);
    assert_eq!(fields.get("password"), "");
    assert!(!format!("{fields:?}").contains("hunter2"));
    assert_eq!(credentials.map(|c| c.password), Some("hunter2".into()));
    assert_eq!(Fields::received(Vec::new()).1, None);
}

#[test]
fn hours_are_read_as_people_type_them() {
    let spans = parse_spans("06:30-8:00，11:00–13:00、22:00-2:00").unwrap();
    assert_eq!(print_spans(&spans), "06:30-08:00, 11:00-13:00, 22:00-02:00");
    assert_eq!(parse_spans(""), Ok(Vec::new()));
    assert_eq!(parse_spans("0:00-24:00").unwrap()[0].until_min, 1_440);
    assert_eq!(parse_spans("65535:0-1:00"), Err(Problem::Spans));
}

#[test]
fn a_new_camera_begins_with_checks_that_need_no_teaching() {
    let fields = Fields::blank();
    assert_eq!(fields.rows().len(), CHECKS.len());
    let on: Vec<&str> = fields
        .rows()
        .into_iter()
        .filter(|r| fields.is_on(&format!("c{}-on", r.index)))
        .map(|r| r.check.code())
        .collect();
    assert_eq!(
        on,
        [
            "no_mask",
            "animal_in_kitchen",
            "off_hours_presence",
            "camera_tampered"
        ]
    );
}
