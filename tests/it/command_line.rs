//! The program as scripts see it: exit status, standard output, standard error.

use std::process::{Command, Output};

use segue::config::{self, Settings};

fn segue(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEGUE_")) {
        command.env_remove(name);
    }
    command.args(arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn wrong_usage_is_status_two_and_errors_are_status_one() {
    let usage = segue(&["recommend"]);
    assert_eq!((usage.status.code(), usage.stdout.as_slice()), (Some(2), &[][..]));
    let nobody = segue(&["recommend", "--user", "u", "--surface", "radio", "--json"]);
    assert_eq!((nobody.status.code(), nobody.stdout.as_slice()), (Some(1), &[][..]));
    assert!(text(&nobody.stderr).contains("give --endpoint"), "{}", text(&nobody.stderr));
}

#[test]
fn a_server_that_is_not_there_is_named_with_how_to_start_it() {
    let arguments = ["recommend", "--user", "u", "--surface", "radio", "--endpoint", "http://127.0.0.1:1"];
    let output = segue(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("http://127.0.0.1:1") && error.contains("segue serve"), "{error}");
}

#[test]
fn the_printed_configuration_can_be_used_again() {
    let printed = segue(&["serve", "--data", "/somewhere", "--set", "limits.k_max=77", "--print-config"]);
    assert_eq!(printed.status.code(), Some(0), "{}", text(&printed.stderr));
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &printed.stdout).expect("written");
    let loaded = config::load(Some(file.path()), Vec::new(), &Vec::new()).expect("valid").settings;
    let mut expected = Settings { data: "/somewhere".into(), ..Settings::default() };
    expected.limits.k_max = 77;
    assert_eq!(loaded, expected);
}

#[test]
fn a_wrong_setting_stops_the_start_and_is_named() {
    let output = segue(&["serve", "--set", "limits.k_max=0", "--set", "limits.kmax=1"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("limits.k_max: must be") && error.contains("limits.kmax: no such setting"),
        "{error}"
    );
}

#[test]
fn estimate_prints_one_document() {
    let arguments = ["estimate", "--tracks", "100000000", "--users", "615000000", "--dim", "256", "--json"];
    let output = segue(&arguments);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let parts = document["parts"].as_array().expect("a list");
    let sum: u64 = parts.iter().filter_map(|part| part["disk_bytes"].as_u64()).sum();
    assert_eq!(document["disk_bytes"].as_u64(), Some(sum));
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing_behind() {
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().unwrap();
    let entries = || -> Vec<std::path::PathBuf> {
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let until = |what: &str, found: &dyn Fn() -> bool| {
        let start = Instant::now();
        while !found() {
            assert!(start.elapsed() < Duration::from_secs(120), "{what}: not in time");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    // At once, and while the database is being loaded.
    for file in ["", "tracks-0"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_segue"));
        command.args(["demo", "--tracks", "20000", "--listeners", "300"]).env("TMPDIR", folder.path());
        let mut child = command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("the program starts");
        until("the demo works", &|| entries().iter().any(|dir| dir.join(file).exists()));
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().expect("kill runs").success());
        let status = child.wait().expect("a child");
        let mut said = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().expect("piped"), &mut said).expect("text");
        assert_eq!((status.code(), entries().len()), (Some(130), 0), "{file}: {said}");
        assert!(!said.contains("error"), "{said}");
    }
}
