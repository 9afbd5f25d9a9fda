//! Killed with -9 at random moments: what was acknowledged is there, once, in order.
//!
//! The test runs itself as a child process: [`child`] writes until it is killed and prints a number
//! after its acknowledgement.

use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::machine::{Journal, Random, open_one, seed, write};

const CHILD_DIR: &str = "SEGUE_KILL_TEST_DIR";
const ROUNDS: usize = 5;

/// Not a test of its own: the body of the child.
#[test]
fn child() {
    let Ok(dir) = env::var(CHILD_DIR) else {
        return;
    };
    let journal = Arc::new(Journal::default());
    let (_node, group) = open_one(dir.as_ref(), &journal);
    let mut next = journal.entries.lock().len();
    loop {
        // Several at a time, so that the kill falls into group commits.
        let answers: Vec<_> =
            (next..next + 8).map(|number| group.propose(number.to_string()).unwrap()).collect();
        for answer in answers {
            answer.wait().unwrap();
            println!("acknowledged {next}");
            next += 1;
        }
        std::io::stdout().flush().unwrap();
    }
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(seed());
    let mut acknowledged = 0;
    for round in 0..ROUNDS {
        let pause = Duration::from_millis(60 + random.below(250));
        acknowledged = acknowledged.max(run_and_kill(dir.path(), pause));
        let journal = Arc::new(Journal::default());
        let (node, group) = open_one(dir.path(), &journal);
        let texts = journal.texts();
        assert!(texts.len() >= acknowledged, "round {round}: {} of {acknowledged} are left", texts.len());
        let expected: Vec<_> = (0..texts.len()).map(|number| number.to_string()).collect();
        assert_eq!(texts, expected, "round {round}");
        println!("round={round} acknowledged={acknowledged} found={} {:?}", texts.len(), node.report());
        write(&group, &texts.len().to_string()).unwrap();
        acknowledged = texts.len() + 1;
    }
    assert!(acknowledged > 50, "the children hardly ran: {acknowledged}");
}

/// Runs the child, kills it `pause` after its first acknowledgement; returns how many it printed.
fn run_and_kill(dir: &std::path::Path, pause: Duration) -> usize {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::child", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, receiver) = mpsc::channel();
    let reader = thread::spawn(move || {
        let numbers = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("acknowledged ")?.parse::<usize>().ok());
        numbers.for_each(|number| sender.send(number + 1).unwrap());
    });
    let mut last = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    thread::sleep(pause);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    while let Ok(number) = receiver.try_recv() {
        last = number;
    }
    last
}
