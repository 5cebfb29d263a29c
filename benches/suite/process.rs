//! The benchmark itself once more, as a process that answers in lines.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// It is ended when it is dropped, and ends by itself when this process does: nobody tells it more.
pub(crate) struct Process {
    child: Child,
    told: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// With as many descriptors as it may have, which the shell can ask for.
const WITH_DESCRIPTORS: &str = r#"ulimit -n "$(ulimit -H -n)"; exec "$0" "$@""#;

impl Process {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", WITH_DESCRIPTORS]);
        command.arg(env::current_exe().expect("it runs")).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it ran before");
        let told = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        Self {
            child,
            told,
            answers,
        }
    }

    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it is text");
        assert!(line.ends_with('\n'), "the process has failed");
        line.trim_end().to_owned()
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        writeln!(self.told, "{line}").expect("it listens");
        self.answer()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The most descriptors that a process may have; `None` where nothing says so, or any number may be had.
pub(crate) fn descriptors() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
