//! A `segue serve` process on free ports, and the other commands as scripts run them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use segue::api::Client;
use serde_json::Value;

/// Longest wait for a server to be ready, or to be gone.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of a server's log that a failing test shows.
const LINES_SHOWN: usize = 40;

/// The program without the environment's settings.
pub fn program() -> Command {
    program_at(Path::new(env!("CARGO_BIN_EXE_segue")))
}

/// The same of another program, such as an older one.
pub fn program_at(path: &Path) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SEGUE_")) {
        command.env_remove(name);
    }
    command
}

/// A server on free ports that has not been started.
pub fn serve(data: &Path, settings: &[&str], flags: &[&str]) -> Command {
    serve_with(program(), data, settings, flags)
}

/// The same of a program of the caller's.
pub fn serve_with(mut command: Command, data: &Path, settings: &[&str], flags: &[&str]) -> Command {
    let data = data.display().to_string();
    command.args(["serve", "--data", &data, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
    command.args(["--set", "log.format=json", "--set", "storage.disk_reserve_bytes=0"]);
    settings.iter().for_each(|setting| {
        command.args(["--set", setting]);
    });
    command.args(flags);
    command
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program starts")
}

/// Runs a command that must succeed and print one JSON document.
pub fn document(arguments: &[&str]) -> Value {
    document_of(program(), arguments)
}

/// The same of a program of the caller's.
pub fn document_of(mut command: Command, arguments: &[&str]) -> Value {
    let output = command.args(arguments).output().expect("the program starts");
    let error = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?}: {error}{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|wrong| panic!("{arguments:?}: {wrong}"))
}

/// A running server; killed when dropped before it was stopped.
pub struct Running {
    child: Child,
    /// `http://HOST:PORT` of the gRPC port.
    pub endpoint: String,
    /// `HOST:PORT` of the HTTP port.
    pub http: String,
    /// Reads its log to the end: a pipe that nobody reads fills up, and then whoever writes to it waits for ever.
    log: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a server on a directory and waits until it is ready.
    pub fn start(data: &Path, settings: &[&str]) -> Self {
        let running = Self::launch(data, settings, &[]);
        running.until_ready();
        running
    }

    /// Starts a server on a directory with further flags; it answers, and may not be ready.
    pub fn launch(data: &Path, settings: &[&str], flags: &[&str]) -> Self {
        Self::of(serve(data, settings, flags))
    }

    /// Starts a server by its command; it answers, and may not be ready.
    pub fn of(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let listening = line_with(&mut log, "listening");
        let address = |name: &str| listening[name].as_str().expect("an address").to_owned();
        let (endpoint, http) = (format!("http://{}", address("grpc")), address("http"));
        Self { child, endpoint, http, log: Some(std::thread::spawn(move || rest_of(log))) }
    }

    /// Waits until it is ready.
    pub fn until_ready(&self) {
        let start = Instant::now();
        while !self.get("/readyz").starts_with("HTTP/1.1 200") {
            assert!(start.elapsed() < PATIENCE, "the server is not ready: {}", self.get("/readyz"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once, as a machine that loses power does to a process.
    pub fn kill(mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }

    /// A client of it.
    pub fn client(&self) -> Client {
        Client::connect(&self.endpoint).expect("the server answers")
    }

    /// An answer of the HTTP port, status line and all.
    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).expect("the port answers");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: segue\r\nconnection: close\r\n\r\n").expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("text");
        reply
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, such as `-STOP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill runs").success());
    }

    /// Waits until it is gone; its status and the rest of its log.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "the server does not stop");
            std::thread::sleep(Duration::from_millis(5));
        };
        (status, self.log.take().expect("asked once").join().expect("text"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone when it was stopped.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(log) = self.log.take().filter(|_| std::thread::panicking()) {
            let log = log.join().unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the last lines of the log of {}:", self.http);
            lines[lines.len().saturating_sub(LINES_SHOWN)..].iter().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// What a server writes from now on until it ends.
fn rest_of(mut log: BufReader<ChildStderr>) -> String {
    let mut rest = String::new();
    log.read_to_string(&mut rest).expect("text");
    rest
}

/// The first line of a log with this message.
fn line_with(log: &mut impl BufRead, message: &str) -> Value {
    let mut seen = String::new();
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).expect("text") > 0, "no `{message}` in the log: {seen}");
        match serde_json::from_str::<Value>(&line) {
            Ok(entry) if entry["message"] == message => return entry,
            _ => seen.push_str(&line),
        }
    }
}
