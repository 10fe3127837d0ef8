//! What a program for tests does at its steps, as its environment tells it.

use std::{
    collections::HashMap,
    env,
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::{Mutex, OnceLock, PoisonError, mpsc},
};

use rustix::process::{Signal, getpid, kill_process};

/// `<step>` or `<step>:<n>`: the process kills itself once it has done this step for the n-th time.
const END_AFTER: &str = "HANGAR_END_AFTER";
/// A file with the same words, read anew at every step; steps are counted from when its words changed. For programs that live through many steps before the one.
const END_AFTER_IN: &str = "HANGAR_END_AFTER_IN";
/// A file to which every step is added, a line each.
const STEPS_TO: &str = "HANGAR_STEPS_TO";
/// A file that, right before the end, gets a line for each process below this one: its number, when it started, its namespaces.
const CHILDREN_TO: &str = "HANGAR_CHILDREN_TO";

/// A step, and whom to tell that it may go on.
type Told = (&'static str, mpsc::SyncSender<()>);

static TO_WATCHER: OnceLock<Mutex<mpsc::Sender<Told>>> = OnceLock::new();

/// Obeys the environment from now on. Only programs for tests call this.
pub fn as_told() {
    if ![END_AFTER, END_AFTER_IN, STEPS_TO].iter().any(|name| env::var_os(name).is_some()) {
        return;
    }
    let (told, steps) = mpsc::channel::<Told>();
    // A thread of its own: some steps are done by threads that see a sandbox's files and processes instead of the host's.
    std::thread::spawn(move || {
        let mut obedience = Obedience::default();
        for (step, go_on) in steps {
            obedience.obey(step);
            // Whoever waited may have been ended meanwhile.
            let _ = go_on.send(());
        }
    });
    let _ = TO_WATCHER.set(Mutex::new(told));
    super::on_step(|step| {
        let Some(watcher) = TO_WATCHER.get() else { return };
        // Held until the step is noted, so that no other thread gets a step further meanwhile.
        let watcher = watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let (go_on, may) = mpsc::sync_channel(1);
        if watcher.send((step, go_on)).is_ok() {
            let _ = may.recv();
        }
    });
}

/// What was ordered, and how often each step was done since.
#[derive(Default)]
struct Obedience {
    order: String,
    done: HashMap<&'static str, u32>,
}

impl Obedience {
    fn obey(&mut self, step: &'static str) {
        let order = order();
        if order != self.order {
            self.order = order;
            self.done.clear();
        }
        let times = self.done.entry(step).or_default();
        *times += 1;
        if let Some(path) = env::var_os(STEPS_TO) {
            // A test that finds no line fails.
            let file = File::options().create(true).append(true).open(path);
            let _ = file.and_then(|mut file| writeln!(file, "{step}"));
        }
        let (name, number) = self.order.split_once(':').unwrap_or((&self.order, "1"));
        if name == step && number == times.to_string() {
            if let Some(path) = env::var_os(CHILDREN_TO) {
                let _ = fs::write(path, children());
            }
            // Does not come back.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

/// After which step the process is to end; empty where after none.
fn order() -> String {
    let written = || fs::read_to_string(env::var_os(END_AFTER_IN)?).ok();
    env::var(END_AFTER).ok().or_else(written).unwrap_or_default().trim().to_owned()
}

/// Everything below this process.
fn children() -> String {
    let all: Vec<(i32, i32, String)> = processes();
    let mut found = vec![getpid().as_raw_nonzero().get()];
    let mut next = 0;
    let mut text = String::new();
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        for (pid, _, started) in all.iter().filter(|(_, above, _)| *above == parent) {
            found.push(*pid);
            let names = fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten();
            let spaces: Vec<String> = names
                .filter_map(|entry| fs::read_link(entry.path()).ok())
                .map(|link| link.to_string_lossy().into_owned())
                .collect();
            let _ = writeln!(text, "{pid} {started} {}", spaces.join(" "));
        }
    }
    text
}

/// Number, parent and start of every process.
fn processes() -> Vec<(i32, i32, String)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| process(&entry.path())).collect()
}

fn process(directory: &Path) -> Option<(i32, i32, String)> {
    let pid = directory.file_name()?.to_str()?.parse().ok()?;
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    // Behind the name, which may hold anything: state, parent, …, and as the 20th the start.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    Some((pid, parent, fields.nth(17)?.to_owned()))
}
