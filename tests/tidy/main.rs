//! The rules of the house, checked by reading the sources: who may import whom, how long a file may be, what every
//! `unsafe` must carry, what may not be committed.
//!
//! The goal is that a rule breaks a build and not a review. Every message says how to put it right; the rules
//! themselves are in docs/ARCHITECTURE.md and CONTRIBUTING.md.

mod layers;
mod lexer;
mod repository;
mod rules;

use repository::Repository;

/// Fails with all violations at once, one a line.
fn none(what: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{} {what}:\n{}\n", violations.len(), violations.join("\n"));
}

#[test]
fn layers_point_one_way() {
    none("imports against the layers", &layers::imports(&Repository::read()));
}

#[test]
fn outside_crates_stay_in_their_layer() {
    none("crates outside their layer", &layers::crates(&Repository::read()));
}

#[test]
fn the_index_opens_no_file() {
    none("uses of files in the index", &layers::files_in_index(&Repository::read()));
}

#[test]
fn grpc_codes_are_named_in_one_file() {
    none("uses of gRPC codes outside src/api/status.rs", &layers::grpc_codes(&Repository::read()));
}

#[test]
fn files_are_short() {
    none("files that are too long", &rules::length(&Repository::read()));
}

#[test]
fn every_unsafe_block_is_explained_and_listed() {
    none("unsafe blocks without their papers", &rules::unsafe_blocks(&Repository::read()));
}

#[test]
fn nothing_is_left_unfinished() {
    none("unfinished places", &rules::unfinished(&Repository::read()));
}

#[test]
fn no_test_is_switched_off_unknown_to_the_documents() {
    none("ignored tests that docs/TESTING.md does not know", &rules::ignored_tests(&Repository::read()));
}

#[test]
fn identifiers_are_ascii() {
    none("identifiers that are not ASCII", &rules::ascii(&Repository::read()));
}

#[test]
fn every_module_says_what_it_is() {
    none("files without a module doc", &rules::module_docs(&Repository::read()));
}

#[test]
fn module_files_are_maps() {
    none("mod.rs files with too much in them", &rules::thin_modules(&Repository::read()));
}

#[test]
fn no_data_is_committed() {
    none("files that do not belong into the repository", &rules::committed_data());
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    none("broken links", &rules::links());
}
