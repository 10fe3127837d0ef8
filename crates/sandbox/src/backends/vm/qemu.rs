//! What QEMU is told.

use std::path::Path;

use hangar_protocol::guest::setup::{MACHINE_PORT, MACHINE_ROOT, MACHINE_TREES};

use super::{jail, kernel};

/// What runs the machine's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accelerator {
    /// The processor itself, by way of the host's kernel.
    Kvm,
    /// QEMU, in software: slow, and works everywhere.
    Software,
}

impl Accelerator {
    /// More words for the machine's kernel. Emulated, a page table of its own for user space costs a third of all time, and there is no processor whose
    /// guesses it would hide the kernel from.
    fn kernel_words(self) -> &'static str {
        match self {
            Self::Kvm => "",
            Self::Software => "mitigations=off no_timer_check ",
        }
    }

    /// How many of these processors a machine gets. Emulated ones that wait for each other on a busy host stand still for seconds.
    pub(super) fn processors(self, wanted: u32) -> u32 {
        match self {
            Self::Kvm => wanted,
            Self::Software => 1,
        }
    }

    fn arguments(self) -> [String; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"].map(String::from),
            Self::Software => {
                let engine = format!("tcg,thread=multi,tb-size={TRANSLATED_MIB}");
                ["-accel".into(), engine, "-cpu".into(), "max".into()]
            }
        }
    }
}

/// Memory for translated instructions.
const TRANSLATED_MIB: u32 = 64;
/// For every machine's kernel: it says little and ends when it panics, looks for no keyboard, checks no ciphers, waits for no slow grace periods, and calls its
/// card `eth0`.
const KERNEL_WORDS: &str = "console=ttyS0 quiet panic=-1 i8042.noaux i8042.nokbd i8042.nopnp cryptomgr.notests rcupdate.rcu_expedited=1 net.ifnames=0";
/// Descriptors that QEMU finds: the guest's port and the card's cable.
const PORT_FD: i32 = 3;
const CARD_FD: i32 = 4;

/// A machine to start.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    pub accelerator: Accelerator,
    /// Says in a list of processes whose it is.
    pub directory: &'a Path,
    pub memory_mib: u64,
    pub processors: u32,
    pub equipment: Equipment,
}

/// What it has beside its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Equipment {
    /// Nothing: it only has to start.
    None,
    /// A root, the host's trees and a card.
    Full,
}

/// QEMU's arguments. There is no device but those which are named here.
pub(super) fn arguments(plan: &Plan<'_>) -> Vec<String> {
    let mut all = words(&["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    // Once it runs, QEMU may start nothing, become nobody else and change no priorities.
    all.extend(words(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]));
    // Commas end a value.
    all.extend(["-name".into(), format!("guest={}", plan.directory.to_string_lossy().replace(',', ",,"))]);
    all.extend(words(&["-M", "pc,usb=off,vmport=off"]));
    all.extend(plan.accelerator.arguments());
    all.extend(["-m".into(), format!("{}M", plan.memory_mib), "-smp".into(), plan.processors.to_string()]);
    all.extend(words(&["-kernel", jail::KERNEL, "-initrd", jail::ARCHIVE, "-append"]));
    let more = plan.accelerator.kernel_words();
    all.push(format!("{KERNEL_WORDS} {more}rdinit={} -- machine", kernel::GUEST));
    all.extend(words(&["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]));
    all.extend(words(&["-device", "virtio-serial-pci", "-chardev"]));
    all.push(format!("socket,id=host,fd={PORT_FD}"));
    all.extend(["-device".into(), format!("virtserialport,chardev=host,name={MACHINE_PORT}")]);
    match plan.equipment {
        Equipment::None => {}
        Equipment::Full => {
            for (path, tag) in [(jail::ROOT, MACHINE_ROOT), (jail::TREES, MACHINE_TREES)] {
                // Owners are those of QEMU's own user namespace. Trees of several file systems are told apart.
                let share = format!("local,id={tag},path={path},security_model=passthrough,multidevs=remap");
                let device = format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}");
                all.extend(["-fsdev".into(), share, "-device".into(), device]);
            }
            all.extend(["-netdev".into(), format!("tap,id=border,fd={CARD_FD},vhost=off")]);
            all.extend(words(&["-device", "virtio-net-pci,netdev=border,romfile="]));
        }
    }
    all
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(accelerator: Accelerator, equipment: Equipment) -> Plan<'static> {
        Plan { accelerator, directory: Path::new("/data,1/plots/0"), memory_mib: 512, processors: 2, equipment }
    }

    #[test]
    fn there_are_no_devices_but_those_that_were_asked_for() {
        let bare = arguments(&plan(Accelerator::Kvm, Equipment::None));
        let full = arguments(&plan(Accelerator::Software, Equipment::Full));
        let devices = |all: &[String]| {
            let each = all.windows(2).filter(|pair| pair[0] == "-device").map(|pair| pair[1].clone());
            each.map(|device| device.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(devices(&bare), ["virtio-serial-pci", "virtserialport"]);
        let all = ["virtio-serial-pci", "virtserialport", "virtio-9p-pci", "virtio-9p-pci", "virtio-net-pci"];
        assert_eq!(devices(&full), all);
        for arguments in [&bare, &full] {
            assert!(arguments.contains(&"-nodefaults".to_owned()) && arguments.contains(&"-no-user-config".to_owned()));
            assert!(arguments.iter().any(|word| word.starts_with("on,") && word.contains("spawn=deny")));
            assert!(arguments.contains(&"guest=/data,,1/plots/0".to_owned()), "a comma would end the name");
        }
        assert!(!bare.iter().any(|word| word.contains("mitigations")), "on a processor they are needed");
    }
}
