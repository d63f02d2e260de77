//! Joins the vendored scripts into one file and gives all browser assets one version.

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::Hasher as _,
    io,
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    for watched in ["assets", "i18n", "templates"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let script = join(Path::new("assets/vendor"), "js")?;
    fs::write(out.join("vendor.js"), &script)?;
    let mut style = fs::read("assets/vendor/uplot.min.css")?;
    style.push(b'\n');
    style.extend(join(Path::new("assets"), "css")?);
    fs::write(out.join("app.css"), &style)?;

    // The version only has to change when an asset does: it lets browsers keep assets for a year.
    let mut hasher = DefaultHasher::new();
    for part in [&script, &style, &join(Path::new("assets"), "js")?] {
        hasher.write(part);
    }
    println!("cargo:rustc-env=ASSETS_VERSION={:016x}", hasher.finish());
    Ok(())
}

/// The files of `dir` with this extension, in the order of their names, one after the other.
fn join(dir: &Path, extension: &str) -> io::Result<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|p| p.extension().is_some_and(|e| e == extension));
    paths.sort();
    let mut joined = Vec::new();
    for path in paths {
        joined.extend(fs::read(path)?);
        joined.push(b'\n');
    }
    Ok(joined)
}
