//! `crashfs` as tests use it, by `#[path]`: built, mounted, cut off, and cleaned up behind.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a child may take to say what it has to say.
const DEADLINE: Duration = Duration::from_secs(60);

/// Kills the child when the test is done with it, also when it fails.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

pub(crate) struct MountedDisk {
    tool: Child,
    pub(crate) mountpoint: PathBuf,
}

impl MountedDisk {
    /// A disk with the content of `dir/image`, mounted at `dir/mount`.
    pub(crate) fn mount(tool: &Path, dir: &Path, faults: &[&str]) -> MountedDisk {
        let mountpoint = dir.join("mount");
        fs::create_dir_all(&mountpoint).unwrap();
        let mut command = Command::new(tool);
        command
            .args([&dir.join("image"), &mountpoint])
            .args(faults)
            .stdout(Stdio::piped());
        let mut tool = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(tool.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let disk = MountedDisk { tool, mountpoint };
        assert_eq!(
            line,
            "ready\n",
            "crashfs could not mount {}",
            disk.mountpoint.display()
        );
        disk
    }

    /// The same disk, which tears what was being written when the power goes, by that seed. A strict one keeps of names
    /// only what POSIX promises.
    pub(crate) fn tearing(tool: &Path, dir: &Path, (seed, strict): (u64, bool)) -> MountedDisk {
        println!("seed {seed}, strict: {strict}");
        let seed = seed.to_string();
        let faults = ["--tear", "--seed", &seed, "--strict"];
        MountedDisk::mount(tool, dir, if strict { &faults } else { &faults[..3] })
    }

    /// Runs this test program in `dir` as the child `test`, and cuts the power once it has said so many lines. Answers
    /// the whole lines that it said; the last one may have been half written.
    pub(crate) fn cut_while(mut self, dir: &Path, test: &str, lines: usize) -> String {
        let said = dir.join("said");
        let errors = dir.join("child-errors");
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .current_dir(dir)
            .stdout(fs::File::create(&said).unwrap())
            .stderr(fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let mut child = Ended(child);
        let deadline = Instant::now() + DEADLINE;
        let count = |bytes: Vec<u8>| bytes.iter().filter(|byte| **byte == b'\n').count();
        while count(fs::read(&said).unwrap()) < lines {
            let errors = || fs::read_to_string(&errors).unwrap();
            assert!(
                child.0.try_wait().unwrap().is_none(),
                "the child has ended: {}",
                errors()
            );
            assert!(
                Instant::now() < deadline,
                "the child makes no progress: {}",
                errors()
            );
            thread::yield_now();
        }
        self.cut();
        drop(child);
        let mut said = fs::read_to_string(&said).unwrap();
        said.truncate(said.rfind('\n').unwrap_or_default());
        said
    }

    /// Cuts the power and waits until what survives is stored.
    pub(crate) fn cut(&mut self) {
        let killed = Command::new("kill")
            .args(["-USR1", &self.tool.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        let status = self.tool.wait().unwrap();
        assert!(status.success(), "crashfs ended with {status}");
    }
}

impl Drop for MountedDisk {
    fn drop(&mut self) {
        if self.tool.try_wait().unwrap().is_none() {
            self.tool.kill().unwrap();
            self.tool.wait().unwrap();
            Command::new("fusermount3")
                .args(["-u", "-z", "-q"])
                .arg(&self.mountpoint)
                .status()
                .unwrap();
        }
    }
}

pub(crate) fn cannot_mount() -> Option<String> {
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse") {
        return Some(format!("/dev/fuse cannot be opened: {error}"));
    }
    let found = Command::new("fusermount3")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    found
        .err()
        .map(|error| format!("fusermount3 cannot be run: {error}"))
}

/// Builds `tests/crashfs` beside the workspace's own output; quick when that was done before.
pub(crate) fn build_tool() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/crashfs/Cargo.toml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("crashfs");
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .status()
        .unwrap();
    assert!(built.success(), "tests/crashfs does not build");
    target.join("debug/crashfs")
}

pub(crate) fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    if !from.exists() {
        return;
    }
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
