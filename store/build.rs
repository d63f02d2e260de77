//! A new migration is a change of the program: it is embedded.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
