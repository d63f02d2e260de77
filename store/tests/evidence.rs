//! The evidence archive through its public surface.
#![expect(clippy::unwrap_used, reason = "a fixture that fails is a test that fails")]

use std::{fs, path::Path};

use domain::{
    CameraKey, Check, Clock, DeviceId, EvidenceId, FacilityId, Metric, PictureBox, RuleId, Scope, SeriesKey,
    UtcMillis,
    camera::{GbId, Retention},
    observation::{LabelledBox, ModelStamp, Tally},
};
use sunshine_store::{
    Archive, ArchiveOptions, EvidenceError, KeyFileError,
    evidence::{
        About, EvidenceFilter, ItemRole, Listed, MAX_AMENDMENTS, MAX_ITEM_BYTES, NewItem, ProblemKind,
        PublicKey, RuleStamp, SensorReading, Swept, verify,
    },
    records::Problem,
};

const NOW: UtcMillis = UtcMillis(1_795_000_000_000);
const DAY_MS: i64 = 86_400_000;

fn key(facility: &str, camera: &str) -> CameraKey {
    CameraKey {
        facility: FacilityId::new(facility).unwrap(),
        camera: DeviceId::new(camera).unwrap(),
    }
}

fn about(facility: &str, camera: &str) -> About {
    About {
        camera: key(facility, camera),
        gb_id: Some(GbId::new("34020000001320000001").unwrap()),
        check: Check::NoMask,
        zone: Some(DeviceId::new("stove").unwrap()),
        rule: Some(RuleStamp {
            id: RuleId::new("CN-CAM-02").unwrap(),
            pack_version: "2026.11".into(),
        }),
        since: NOW - 10_000,
        at: NOW,
        received: NOW + 40,
        clock_offset_ms: Some(-1_200),
        model: Some(ModelStamp {
            name: "mask".into(),
            sha256: "ab".repeat(32),
        }),
        score: Some(0.9),
        threshold: Some(0.2),
        tally: Tally {
            judged: 10,
            positive: 8,
            unjudged: 1,
        },
        detections: vec![LabelledBox {
            label: "face".into(),
            score: 0.93,
            area: PictureBox::new(0.1, 0.2, 0.3, 0.4).unwrap(),
            track: None,
        }],
        readings: vec![SensorReading {
            point: SeriesKey {
                facility: FacilityId::new(facility).unwrap(),
                device: DeviceId::new("fridge-1").unwrap(),
                metric: Metric::new("temperature").unwrap(),
            },
            at: NOW - 1_000,
            value: 4.1,
        }],
        retention: Retention::Days30,
    }
}

fn still(bytes: &[u8]) -> NewItem {
    NewItem {
        role: ItemRole::At,
        media_type: "image/jpeg".into(),
        blurred: true,
        bytes: bytes.to_vec(),
    }
}

fn open(dir: &Path, clock: &Clock) -> Archive {
    Archive::open(ArchiveOptions::new(dir), clock.clone()).unwrap()
}

fn started() -> (tempfile::TempDir, Clock, Archive) {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(NOW);
    let archive = open(&dir.path().join("evidence"), &clock);
    (dir, clock, archive)
}

fn ids(listed: &[Listed]) -> Vec<EvidenceId> {
    listed.iter().map(|l| l.id).collect()
}

/// Every package, newest first.
fn all(archive: &Archive) -> Vec<EvidenceId> {
    let filter = EvidenceFilter {
        limit: 1_000,
        ..EvidenceFilter::default()
    };
    ids(&archive.list(&Scope::everything(), &filter))
}

fn check_sound(dir: &Path) {
    let found = verify(&dir.join("evidence"), None).unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
}

#[test]
fn a_package_comes_back_as_it_was_put_in_also_after_reopening() {
    let (dir, clock, archive) = started();
    let scope = Scope::everything();
    let clip = NewItem {
        role: ItemRole::Clip,
        media_type: "video/mp4".into(),
        blurred: false,
        bytes: vec![7; 300_000],
    };
    let id = archive
        .put(&about("a", "cam-1"), &[still(b"jpeg"), clip.clone()])
        .unwrap();
    clock.set(NOW + 5_000);
    let more = archive
        .amend(&id, &about("a", "cam-1"), &[still(b"later")])
        .unwrap();
    let told = archive.stats();
    drop(archive);

    let archive = open(&dir.path().join("evidence"), &clock);
    let package = archive.get(&scope, &id).unwrap().unwrap();
    assert_eq!(package.about, about("a", "cam-1"));
    assert_eq!((package.created_at, package.amends), (NOW, None));
    let roles: Vec<_> = package
        .items
        .iter()
        .map(|i| (i.role, i.blurred, i.size))
        .collect();
    assert_eq!(roles, [(ItemRole::At, true, 4), (ItemRole::Clip, false, 300_000)]);
    let (item, bytes) = archive.item(&scope, &id, 1).unwrap().unwrap();
    assert_eq!((item.media_type.as_str(), bytes), ("video/mp4", clip.bytes));
    assert_eq!(archive.item(&scope, &id, 2).unwrap(), None);
    let later = archive.get(&scope, &more).unwrap().unwrap();
    assert_eq!((later.amends, later.created_at), (Some(id), NOW + 5_000));
    assert_eq!(ids(&archive.family(&scope, &more)), [id, more]);
    assert_eq!(archive.stats(), told);
    assert!(
        told.bytes > 300_000 && told.packages == 2 && told.lines == 3,
        "{told:?}"
    );
    check_sound(dir.path());
}

#[test]
fn files_with_the_same_contents_are_kept_once() {
    let (dir, clock, archive) = started();
    let picture = vec![1; 100_000];
    let one = archive.put(&about("a", "cam-1"), &[still(&picture)]).unwrap();
    let bytes = archive.stats().bytes;
    let other = archive.put(&about("a", "cam-2"), &[still(&picture)]).unwrap();
    assert!(archive.stats().bytes < bytes + 5_000);
    let again = archive.put(&about("a", "cam-1"), &[still(&picture)]).unwrap();
    assert_eq!(again, one, "the same package at the same moment is the same");
    assert_eq!(archive.stats().packages, 2);
    archive
        .hold(&Scope::everything(), &other, "王芳", "case 7")
        .unwrap();
    clock.set(NOW + 31 * DAY_MS);
    archive.sweep().unwrap();
    assert_eq!(all(&archive), [other]);
    let (_, bytes) = archive.item(&Scope::everything(), &other, 0).unwrap().unwrap();
    assert_eq!(bytes, picture, "the other one still needs it");
    check_sound(dir.path());
}

#[test]
fn each_class_is_kept_for_its_days_and_held_evidence_longer() {
    let (dir, clock, archive) = started();
    let scope = Scope::everything();
    let mut put = Vec::new();
    for retention in Retention::ALL {
        let about = About {
            retention,
            ..about("a", "cam-1")
        };
        put.push(
            archive
                .put(&about, &[still(retention.days().to_string().as_bytes())])
                .unwrap(),
        );
    }
    let held = archive.put(&about("a", "cam-2"), &[still(b"held")]).unwrap();
    let amendment = archive
        .amend(&held, &about("a", "cam-2"), &[still(b"more")])
        .unwrap();
    archive.hold(&scope, &amendment, "王芳", "case 7").unwrap();
    for (n, days) in [7, 15, 30, 90].into_iter().enumerate() {
        clock.set(NOW + days * DAY_MS - 1);
        assert_eq!(archive.sweep().unwrap().expired, 0, "day {days} is not over");
        clock.set(NOW + days * DAY_MS);
        let swept = archive.sweep().unwrap();
        let on_hold = if days < 30 { 0 } else { 2 };
        assert_eq!((swept.expired, swept.on_hold), (1, on_hold), "day {days}");
        assert!(swept.bytes_freed > 0);
        assert_eq!(archive.get(&scope, &put[n]).unwrap(), None);
    }
    let listed = archive.family(&scope, &held);
    assert!(listed.iter().all(|l| l.held) && listed.len() == 2, "{listed:?}");
    archive.release(&scope, &held, "王芳", "case closed").unwrap();
    assert!(matches!(
        archive.release(&scope, &held, "王芳", "again"),
        Err(EvidenceError::NotHeld)
    ));
    assert_eq!(archive.sweep().unwrap().expired, 2);
    let stats = archive.stats();
    assert_eq!((stats.packages, stats.bytes, stats.removed), (0, 0, 6));
    drop(archive);
    let found = verify(&dir.path().join("evidence"), None).unwrap();
    assert!(found.is_sound(), "{:?}", found.problems);
    assert_eq!((found.packages, found.removed, found.blobs), (0, 6, 0));
}

#[test]
fn a_full_archive_drops_the_oldest_that_is_not_on_hold() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::simulated(NOW);
    let options = ArchiveOptions {
        max_bytes: 100_000,
        max_packages: 8,
        ..ArchiveOptions::new(dir.path().join("evidence"))
    };
    let archive = Archive::open(options, clock.clone()).unwrap();
    let scope = Scope::everything();
    let put = |n: u8, size: usize| {
        clock.set(NOW + i64::from(n));
        archive.put(&about("a", "cam-1"), &[still(&vec![n; size])])
    };
    let first = put(0, 20_000).unwrap();
    archive.hold(&scope, &first, "王芳", "case 7").unwrap();
    let rest: Vec<_> = (1..5).map(|n| put(n, 20_000).unwrap()).collect();
    assert_eq!(
        all(&archive),
        [rest[3], rest[2], rest[1], first],
        "the second made room"
    );
    let large = put(9, 70_000).unwrap();
    assert_eq!(all(&archive), [large, first]);
    let error = put(10, 80_000).unwrap_err();
    assert!(
        matches!(
            error,
            EvidenceError::CapReached {
                max_bytes: 100_000,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        archive.get(&scope, &first).unwrap().is_some(),
        "what is on hold stays"
    );
    let small: Vec<_> = (20..28).map(|n| put(n, 10).unwrap()).collect();
    assert_eq!(archive.stats().packages, 8);
    assert_eq!(
        all(&archive)[..7],
        small[1..].iter().rev().copied().collect::<Vec<_>>()
    );
    let base = small[1];
    clock.set(NOW + 50);
    let amendment = archive
        .amend(&base, &about("a", "cam-1"), &[still(b"more")])
        .unwrap();
    assert_eq!(
        ids(&archive.family(&scope, &amendment)),
        [base, amendment],
        "it does not push out its own base"
    );
    check_sound(dir.path());
}

#[test]
fn packages_are_listed_by_scope_camera_check_and_hold() {
    let (_dir, clock, archive) = started();
    let mut phone = about("a", "cam-1");
    phone.check = Check::PhoneUse;
    let mut put = Vec::new();
    for (n, about) in [
        about("a", "cam-1"),
        phone,
        about("a", "cam-2"),
        about("b", "cam-1"),
    ]
    .into_iter()
    .enumerate()
    {
        clock.set(NOW + n as i64);
        put.push(archive.put(&about, &[still(&[n as u8])]).unwrap());
    }
    let everything = Scope::everything();
    archive.hold(&everything, &put[2], "王芳", "case 7").unwrap();
    let only_b = Scope::facilities([FacilityId::new("b").unwrap()]);
    let second = archive.family(&everything, &put[1])[0].seq;
    type Narrow = Box<dyn Fn(&mut EvidenceFilter)>;
    let cases: [(&Scope, Narrow, &[usize]); 9] = [
        (&everything, Box::new(|_| ()), &[3, 2, 1]),
        (&everything, Box::new(move |f| f.before = Some(second)), &[0]),
        (
            &everything,
            Box::new(|f| f.facility = Some(FacilityId::new("a").unwrap())),
            &[2, 1, 0],
        ),
        (
            &everything,
            Box::new(|f| f.camera = Some(key("a", "cam-1"))),
            &[1, 0],
        ),
        (&everything, Box::new(|f| f.check = Some(Check::PhoneUse)), &[1]),
        (&everything, Box::new(|f| f.held_only = true), &[2]),
        (&everything, Box::new(|f| f.limit = 0), &[]),
        (&only_b, Box::new(|_| ()), &[3]),
        (
            &only_b,
            Box::new(|f| f.facility = Some(FacilityId::new("a").unwrap())),
            &[],
        ),
    ];
    for (row, (scope, narrow, want)) in cases.into_iter().enumerate() {
        let mut filter = EvidenceFilter {
            limit: 3,
            ..EvidenceFilter::default()
        };
        narrow(&mut filter);
        let want: Vec<_> = want.iter().map(|n| put[*n]).collect();
        assert_eq!(ids(&archive.list(scope, &filter)), want, "row {row}");
    }
    assert_eq!(archive.get(&only_b, &put[0]).unwrap(), None);
    assert_eq!(archive.item(&only_b, &put[0], 0).unwrap(), None);
    assert_eq!(archive.family(&only_b, &put[0]), []);
    for refused in [
        archive.hold(&only_b, &put[0], "李雷", "x"),
        archive.release(&only_b, &put[2], "李雷", "x"),
        archive.note_view(&only_b, &put[0], "李雷", "x"),
    ] {
        assert!(matches!(refused, Err(EvidenceError::NotFound)), "{refused:?}");
    }
}

#[test]
fn holds_and_views_stand_in_the_chain() {
    let (dir, _clock, archive) = started();
    let scope = Scope::everything();
    let id = archive.put(&about("a", "cam-1"), &[still(b"one")]).unwrap();
    archive.note_view(&scope, &id, " 王芳 ", "case 7").unwrap();
    archive.hold(&scope, &id, "李雷", "letter 12").unwrap();
    archive.release(&scope, &id, "李雷", "withdrawn").unwrap();
    for (by, purpose, field) in [
        ("", "x", "by"),
        ("a\nb", "x", "by"),
        (&"x".repeat(65), "x", "by"),
        ("王芳", " ", "reason"),
        ("王芳", &"x".repeat(501), "reason"),
    ] {
        let error = archive.note_view(&scope, &id, by, purpose).unwrap_err();
        let its = matches!(error, EvidenceError::Invalid { field: f, .. } if f == field);
        assert!(its, "{by:?} {purpose:?}: {error:?}");
    }
    let log = dir.path().join("evidence/chain/2026-11-18.log");
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<_> = text.lines().skip(2).collect();
    assert_eq!(lines.len(), 3);
    for (line, words) in lines.iter().zip([
        ["\"viewed\"", "\"王芳\"", "\"case 7\""],
        ["\"held\"", "\"李雷\"", "\"letter 12\""],
        ["\"released\"", "\"李雷\"", "\"withdrawn\""],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
    check_sound(dir.path());
}

#[test]
fn what_is_out_of_bounds_is_refused_and_leaves_nothing() {
    let (dir, _clock, archive) = started();
    type Spoil = fn(&mut About, &mut Vec<NewItem>);
    let spoilt: [(&str, Spoil); 12] = [
        ("items", |_, items| items.clear()),
        ("items", |_, items| *items = vec![items[0].clone(); 17]),
        ("item", |_, items| items[0].bytes.clear()),
        ("item", |_, items| items[0].bytes = vec![0; MAX_ITEM_BYTES + 1]),
        ("media_type", |_, items| items[0].media_type = "a\nb".into()),
        ("detections", |about, _| {
            about.detections = vec![about.detections[0].clone(); 65]
        }),
        ("detections", |about, _| about.score = Some(f32::NAN)),
        ("detections", |about, _| {
            about.detections[0].area.right = f32::INFINITY
        }),
        ("readings", |about, _| {
            about.readings = vec![about.readings[0].clone(); 257]
        }),
        ("readings", |about, _| about.readings[0].value = f64::NAN),
        ("label", |about, _| about.detections[0].label = "长".repeat(81)),
        ("pack_version", |about, _| {
            about.rule.as_mut().unwrap().pack_version.clear()
        }),
    ];
    for (want, spoil) in spoilt {
        let (mut about, mut items) = (about("a", "cam-1"), vec![still(b"one")]);
        spoil(&mut about, &mut items);
        match archive.put(&about, &items) {
            Err(EvidenceError::Invalid { field, .. }) => assert_eq!(field, want),
            other => panic!("{want}: {other:?}"),
        }
    }
    assert_eq!(archive.stats().bytes, 0);
    let id = archive.put(&about("a", "cam-1"), &[still(b"one")]).unwrap();
    let other = archive
        .amend(&id, &about("a", "cam-2"), &[still(b"two")])
        .unwrap_err();
    assert!(
        matches!(
            other,
            EvidenceError::Invalid {
                problem: Problem::Another,
                ..
            }
        ),
        "{other:?}"
    );
    let nothing = archive.amend(&EvidenceId([1; 32]), &about("a", "cam-1"), &[still(b"two")]);
    assert!(matches!(nothing, Err(EvidenceError::NotFound)), "{nothing:?}");
    for n in 0..MAX_AMENDMENTS {
        archive
            .amend(&id, &about("a", "cam-1"), &[still(&[n as u8])])
            .unwrap();
    }
    let error = archive
        .amend(&id, &about("a", "cam-1"), &[still(b"x")])
        .unwrap_err();
    assert!(
        matches!(
            error,
            EvidenceError::Invalid {
                field: "amendments",
                ..
            }
        ),
        "{error:?}"
    );
    check_sound(dir.path());
}

#[test]
fn a_file_changed_on_disk_is_not_shown() {
    let (dir, _clock, archive) = started();
    let id = archive.put(&about("a", "cam-1"), &[still(b"one")]).unwrap();
    let package = archive.get(&Scope::everything(), &id).unwrap().unwrap();
    let name = package.items[0].sha256.to_string();
    let path = dir.path().join("evidence/blobs").join(&name[..2]).join(&name);
    fs::write(&path, b"two").unwrap();
    let error = archive.item(&Scope::everything(), &id, 0).unwrap_err();
    assert!(matches!(error, EvidenceError::Damaged { .. }), "{error:?}");
    // The same picture comes again: what is there is mended with it.
    archive.put(&about("a", "cam-2"), &[still(b"one")]).unwrap();
    assert!(archive.item(&Scope::everything(), &id, 0).unwrap().is_some());
    check_sound(dir.path());
}

#[test]
fn a_clock_that_goes_back_keeps_the_chain_in_order() {
    let (dir, clock, archive) = started();
    for (n, days) in [0, 3, 1, 2, 4, 0].into_iter().enumerate() {
        clock.set(NOW + days * DAY_MS);
        archive.put(&about("a", "cam-1"), &[still(&[n as u8])]).unwrap();
    }
    drop(archive);
    check_sound(dir.path());
    let archive = open(&dir.path().join("evidence"), &clock);
    archive.put(&about("a", "cam-1"), &[still(b"more")]).unwrap();
    check_sound(dir.path());
    let days = fs::read_dir(dir.path().join("evidence/chain")).unwrap().count();
    assert_eq!(days, 3 + 2, "three days, of which two are over and signed");
}

#[test]
fn an_archive_is_believed_by_its_own_key_only() {
    let (dir, _clock, archive) = started();
    archive.put(&about("a", "cam-1"), &[still(b"one")]).unwrap();
    let key = archive.public_key().clone();
    let root = dir.path().join("evidence");
    let pem = fs::read_to_string(root.join("public.key")).unwrap();
    assert_eq!(PublicKey::parse(&pem), Some(key.clone()));
    assert!(verify(&root, Some(&key)).unwrap().is_sound());
    let (_other_dir, _clock, other) = started();
    let found = verify(&root, Some(other.public_key())).unwrap();
    let signatures = found.problems.iter().filter(|p| p.kind == ProblemKind::Signature);
    assert_eq!(
        signatures.count(),
        4,
        "the key, the head and both lines: {:?}",
        found.problems
    );
    assert_eq!(found.public_key.as_ref(), Some(other.public_key()));
}

#[test]
fn the_folder_has_one_archive_and_its_key() {
    let (dir, clock, archive) = started();
    let root = dir.path().join("evidence");
    let second = Archive::open(ArchiveOptions::new(&root), clock.clone());
    assert!(matches!(second, Err(EvidenceError::InUse { .. })), "{second:?}");
    archive.put(&about("a", "cam-1"), &[still(b"one")]).unwrap();
    drop(archive);
    let signing = root.join("signing.key");
    let secret = fs::read(&signing).unwrap();
    fs::remove_file(&signing).unwrap();
    let keyless = Archive::open(ArchiveOptions::new(&root), clock.clone());
    assert!(
        matches!(keyless, Err(EvidenceError::KeyMissing { .. })),
        "{keyless:?}"
    );
    fs::write(&signing, secret).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&signing, fs::Permissions::from_mode(0o644)).unwrap();
        let exposed = Archive::open(ArchiveOptions::new(&root), clock.clone());
        assert!(
            matches!(exposed, Err(EvidenceError::Key(KeyFileError::Exposed { .. }))),
            "{exposed:?}"
        );
        fs::set_permissions(&signing, fs::Permissions::from_mode(0o600)).unwrap();
        let mode = fs::metadata(&root).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "pictures of people are their owner's alone");
    }
    assert_eq!(open(&root, &clock).stats().packages, 1);
}

#[test]
fn many_threads_put_at_once() {
    let (dir, _clock, archive) = started();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let archive = archive.clone();
            scope.spawn(move || {
                for n in 0..5_u8 {
                    let camera = format!("cam-{thread}");
                    archive.put(&about("a", &camera), &[still(&[thread, n])]).unwrap();
                }
            });
        }
    });
    assert_eq!(archive.stats().packages, 20);
    assert_eq!(archive.head().seq, 21);
    assert_eq!(archive.sweep().unwrap(), Swept::default());
    check_sound(dir.path());
}
