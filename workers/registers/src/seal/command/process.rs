//! A program at work: in a process group of its own, which is killed whole when its time is over, when the build ends
//! before it does, and when it has ended and left something running.

use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use runtime::no_core_files;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::given::Given;
use super::program::Program;

/// How much of the end of what a program says is kept.
const SAID_BYTES_MAX: usize = 4096;
/// How long the end of that is waited for; what has left the group may hold it open.
const SAID_WAIT: Duration = Duration::from_secs(5);

/// What one of a program's streams is connected with.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    Piped,
    None,
}

impl From<Stream> for Stdio {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Piped => Self::piped(),
            Stream::None => Self::null(),
        }
    }
}

pub(super) struct Process {
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stop: SyncSender<Over>,
    watch: Option<JoinHandle<Ended>>,
}

/// Why nobody waits for a program any more.
enum Over {
    Ended,
    NotWanted,
}

/// How a program ended.
#[derive(Default)]
pub(super) struct Ended {
    path: String,
    status: Option<ExitStatus>,
    /// It was killed, since its time was over.
    pub(super) timed_out: bool,
    said: Vec<u8>,
}

/// A program, and how long it is waited for.
struct Watching {
    path: String,
    child: Child,
    pid: Pid,
    timeout: Duration,
}

impl Process {
    /// Runs `argv` with the variables and for the time of `program`.
    pub(super) fn start(argv: Vec<String>, program: &Program, stdin: Stream, stdout: Stream) -> Result<Self, String> {
        let Some((path, arguments)) = argv.split_first() else {
            return Err("there is no program to run".to_owned());
        };
        let mut child = Command::new(path)
            .args(arguments)
            .env_clear()
            .envs(program.variables())
            .current_dir("/")
            .process_group(0)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{path} cannot be run: {error}"))?;
        let pid = Pid::from_child(&child);
        // If it crashes, what it was given must not be left in a file. It has our limit already, where we could set one.
        let _ = no_core_files(Some(pid));
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (stop, over) = sync_channel(2);
        let watching = Watching {
            path: path.clone(),
            child,
            pid,
            timeout: program.timeout(),
        };
        let ended = stop.clone();
        let watch = std::thread::Builder::new().name("seal-watch".into());
        let watch = watch
            .spawn(move || watching.watch(stderr, ended, &over))
            .map_err(|error| format!("{path} cannot be watched: {error}"))?;
        Ok(Self {
            stdin,
            stdout,
            stop,
            watch: Some(watch),
        })
    }

    pub(super) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Tells it that there is no more, and waits until it has ended or was made to.
    pub(super) fn end(&mut self) -> Ended {
        self.stdin = None;
        let ended = self.watch.take().and_then(|watch| watch.join().ok());
        ended.unwrap_or_default()
    }
}

impl Write for Process {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match &mut self.stdin {
            Some(stdin) => stdin.write(data),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Process {
    /// A build that broke off leaves no program behind.
    fn drop(&mut self) {
        let _ = self.stop.try_send(Over::NotWanted);
        self.end();
    }
}

impl Watching {
    /// Waits for the end of a program or of its time, then kills what is left of its group.
    fn watch(mut self, stderr: Option<ChildStderr>, ended: SyncSender<Over>, over: &Receiver<Over>) -> Ended {
        let pid = self.pid;
        // Waits without reaping: until `child.wait` below nobody else can have its number, so the right group is killed.
        std::thread::spawn(move || {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), options) {}
            let _ = ended.try_send(Over::Ended);
        });
        let (saying, said) = sync_channel(1);
        std::thread::spawn(move || saying.send(stderr.map(tail).unwrap_or_default()));
        let over = over.recv_timeout(self.timeout);
        let _ = kill_process_group(pid, Signal::KILL);
        Ended {
            path: self.path,
            status: self.child.wait().ok(),
            timed_out: matches!(over, Err(RecvTimeoutError::Timeout)),
            said: said.recv_timeout(SAID_WAIT).unwrap_or_default(),
        }
    }
}

/// The end of what is said.
fn tail(mut stderr: ChildStderr) -> Vec<u8> {
    let mut said = Vec::new();
    let mut block = [0; SAID_BYTES_MAX];
    while let Ok(read @ 1..) = stderr.read(&mut block) {
        said.extend_from_slice(&block[..read]);
        let over = said.len().saturating_sub(SAID_BYTES_MAX);
        said.drain(..over);
    }
    said
}

impl Ended {
    /// Why this end is not a success, for an operator; `None` when it is one.
    pub(super) fn refused(&self, exit_codes: &[i32], given: &Given) -> Option<String> {
        let how = match self.status {
            _ if self.timed_out => "was killed when its time was over".to_owned(),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) if exit_codes.contains(&code) => return None,
                (Some(code), _) => format!("ended with exit code {code}"),
                (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
            },
            None => "was lost sight of".to_owned(),
        };
        let said = given.masked(&self.said);
        let colon = if said.is_empty() { "" } else { ": " };
        Some(format!("{} {how}{colon}{said}", self.path))
    }
}
