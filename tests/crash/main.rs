//! Kill, damage, a full disk and power cuts, against the engine as a real process.
//!
//! This binary has no test harness of its own: it starts itself again as the process that is killed or that opens
//! damaged files. `cargo test --test crash [FILTER]`; the long forms are in docs/TESTING.md.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod check;
mod child;
mod damage;
mod damage_child;
mod disk;
mod kill;
mod power;
mod script;

/// A test's name and body; the body says what it did.
type Case = (&'static str, fn() -> String);

/// Each test, in order.
const CASES: [Case; 4] = [
    ("kill::no_acknowledged_write_is_lost", kill::no_acknowledged_write_is_lost),
    ("damage::no_damaged_byte_goes_unnoticed", damage::no_damaged_byte_goes_unnoticed),
    (
        "disk::a_full_disk_refuses_writes_and_keeps_reading",
        disk::a_full_disk_refuses_writes_and_keeps_reading,
    ),
    ("power::a_power_cut_loses_nothing_acknowledged", power::a_power_cut_loses_nothing_acknowledged),
];

fn main() {
    if let Ok(role) = std::env::var(child::ROLE) {
        match role.as_str() {
            "write" => child::write(),
            "open" => child::open(),
            "damage" => damage_child::serve(),
            other => panic!("unknown role: {other}"),
        }
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let wanted =
        |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    if arguments.iter().any(|argument| argument == "--list") {
        CASES.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, body) in CASES.into_iter().filter(|(name, _)| wanted(name)) {
        let started = std::time::Instant::now();
        let outcome = std::panic::catch_unwind(body);
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(what) => {
                passed += 1;
                println!("test {name} ... ok ({seconds:.1} s: {what})");
            }
            Err(_) => {
                failed += 1;
                println!("test {name} ... FAILED ({seconds:.1} s)");
            }
        }
    }
    println!("\ntest result: {passed} passed; {failed} failed\n");
    if failed > 0 {
        std::process::exit(1);
    }
}
