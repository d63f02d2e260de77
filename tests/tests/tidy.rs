//! The house rules that a machine can check, as ordinary tests: `cargo test` is the only gate.
//!
//! Each rule is a function from a [`repository::Repository`] to findings. It runs here on this checkout,
//! and in its own module on small examples that break it, so that a rule which finds nothing is known
//! to be able to find something. What each rule protects: `docs/ARCHITECTURE.md`, `CONTRIBUTING.md`.

#[path = "tidy/conduct.rs"]
mod conduct;
#[path = "tidy/fluent.rs"]
mod fluent;
#[path = "tidy/graph.rs"]
mod graph;
#[path = "tidy/knowledge.rs"]
mod knowledge;
#[path = "tidy/manifests.rs"]
mod manifests;
#[path = "tidy/mask.rs"]
mod mask;
#[path = "tidy/repository.rs"]
mod repository;
#[path = "tidy/rust.rs"]
mod rust;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/words.rs"]
mod words;

use std::sync::LazyLock;

use repository::{Finding, Repository};

/// Read and scanned once for all rules; nothing changes it.
static CHECKOUT: LazyLock<Repository> = LazyLock::new(Repository::of_this_checkout);

/// Runs one rule on this checkout; fails with every finding as `file:line`, the rule and the remedy.
#[track_caller]
fn check(rule: fn(&Repository) -> Vec<Finding>) {
    let read = CHECKOUT.files.len();
    assert!(read > 40, "only {read} files were found");
    let findings: Vec<String> = rule(&CHECKOUT).iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn crates_depend_only_along_the_graph() {
    check(graph::edges);
}

#[test]
fn the_architecture_document_shows_the_graph() {
    check(graph::document);
}

#[test]
fn there_is_one_binary_and_no_default_member() {
    check(manifests::one_binary);
}

#[test]
fn every_member_takes_the_workspace_lints() {
    check(manifests::lints);
}

#[test]
fn the_lock_file_holds_one_of_each_native_library() {
    check(manifests::lock_file);
}

#[test]
fn manifests_name_no_crate_that_belongs_elsewhere() {
    check(knowledge::manifests);
}

#[test]
fn sources_name_no_crate_that_belongs_elsewhere() {
    check(knowledge::sources);
}

#[test]
fn only_the_server_reads_the_environment() {
    check(knowledge::environment);
}

#[test]
fn files_and_functions_stay_short() {
    check(shape::lengths);
}

#[test]
fn modules_are_named_for_what_they_own() {
    check(shape::module_names);
}

#[test]
fn every_source_file_is_part_of_its_crate() {
    check(shape::orphans);
}

#[test]
fn every_crate_says_what_it_owns_and_must_not_know() {
    check(shape::essays);
}

#[test]
fn nothing_unwraps_outside_tests() {
    check(conduct::unwraps);
}

#[test]
fn nothing_is_left_undone() {
    check(conduct::placeholders);
}

#[test]
fn lints_are_expected_with_a_reason_never_allowed() {
    check(conduct::suppressions);
}

#[test]
fn every_test_asserts() {
    check(conduct::assertions);
}

#[test]
fn the_architecture_document_names_tests_that_exist() {
    check(conduct::named_tests);
}

#[test]
fn both_languages_say_the_same_things() {
    check(fluent::catalogues);
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    check(words::machine_paths);
}

#[test]
fn no_file_carries_a_mark_for_later() {
    check(words::marks);
}
