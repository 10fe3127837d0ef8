//! Whether this machine's processor can run machines: found out by starting one, and remembered.
//!
//! `/dev/kvm` being there says little. On some hosts it is an emulation that no ordinary kernel starts on.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{Inner, qemu::Accelerator};
use crate::error::Error;

/// How long a machine may take to start where the processor runs it; half a second is usual.
pub(super) const TRIAL_PATIENCE: Duration = Duration::from_secs(5);
/// The device.
const DEVICE: &str = "/dev/kvm";
/// Where the answer is kept, below the engine's state.
const ANSWER: &str = "accelerator";

/// Finds out, or remembers. `Software` when in doubt.
pub(super) async fn choose(inner: &Arc<Inner>) -> Accelerator {
    if File::options().read(true).write(true).open(DEVICE).is_err() {
        return Accelerator::Software;
    }
    let answer = inner.ground.state.join(ANSWER);
    let key = key(&[&inner.qemu, &inner.kernel, Path::new(DEVICE)]);
    match fs::read_to_string(&answer).ok().and_then(|text| remembered(&text, &key)) {
        Some(known) => return known,
        None => tracing::info!("finding out whether this processor runs virtual machines; this is done once"),
    }
    let found = match inner.try_kvm(TRIAL_PATIENCE).await {
        Ok(()) => Accelerator::Kvm,
        Err(reason) => {
            tracing::warn!(%reason, "{DEVICE} is there but does not run a machine; machines are emulated, which is slow");
            Accelerator::Software
        }
    };
    if let Err(error) = fs::write(&answer, written(found, &key)).map_err(Error::host(&answer)) {
        tracing::warn!(%error, "the answer is not remembered");
    }
    found
}

/// What the answer depends on: these files as they are, and the host's kernel.
fn key(files: &[&Path]) -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let seen = files.iter().map(|path| {
        let changed = fs::metadata(path).map(|meta| (meta.size(), meta.mtime())).unwrap_or_default();
        format!("{} {changed:?}", PathBuf::from(path).display())
    });
    seen.chain([release.trim().to_owned()]).collect::<Vec<String>>().join("\n")
}

/// What was found out by the engine with this state directory, in a word.
pub(crate) fn known(state: &Path) -> Option<&'static str> {
    let text = fs::read_to_string(state.join(ANSWER)).ok()?;
    match text.lines().next()? {
        "kvm" => Some("on the processor (KVM)"),
        "software" => Some("emulated, which is slow: /dev/kvm does not run a machine here"),
        _ => None,
    }
}

fn written(found: Accelerator, key: &str) -> String {
    let word = match found {
        Accelerator::Kvm => "kvm",
        Accelerator::Software => "software",
    };
    format!("{word}\n{key}\n")
}

fn remembered(text: &str, key: &str) -> Option<Accelerator> {
    let (word, of) = text.split_once('\n')?;
    if of.trim_end() != key {
        return None;
    }
    match word {
        "kvm" => Some(Accelerator::Kvm),
        "software" => Some(Accelerator::Software),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_remembered_until_something_changes() {
        for found in [Accelerator::Kvm, Accelerator::Software] {
            let text = written(found, "qemu 1\nkernel 2");
            assert_eq!(remembered(&text, "qemu 1\nkernel 2"), Some(found));
            assert_eq!(remembered(&text, "qemu 2\nkernel 2"), None);
        }
        assert_eq!(remembered("", "x"), None);
    }
}
