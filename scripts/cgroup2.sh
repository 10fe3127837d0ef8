#!/usr/bin/env bash
# cgroup2.sh [FILTER…]: tests of the backend `namespace` on a machine that has control groups of version 2 alone, whatever this machine has.
#
# The machine is QEMU with the kernel that `scripts/install.sh test` has unpacked. Its root is this machine's, shared for reading; its disk is an image that is
# thrown away afterwards. Needs what `make test` needs, root, and 4 GB of memory and of disk. No KVM: processors are emulated, so the tests' patience is
# multiplied (HANGAR_TEST_SLOWNESS). Without a FILTER (as `cargo test` takes them) everything is run that is about limits and ends, in each of these places:
#   root      the root of the hierarchy, as in a container that has one of its own
#   service   a group of its own, as a systemd service with `Delegate=yes`
#   session   a group that is shared with other processes, as that of a login
# HANGAR_CGROUP2_PLACES="root" runs there only; HANGAR_CGROUP2_SECONDS is when a machine is given up.
set -euo pipefail
cd "$(dirname "$0")/.."
slowness=10
read -ra places <<<"${HANGAR_CGROUP2_PLACES:-root service session}"
filters=("$@")
[ ${#filters[@]} -gt 0 ] || filters=(conformance::namespace limits:: life:: slots::)

fail() { echo "cgroup2: $*" >&2; exit 1; }
[ "$(id -u)" -eq 0 ] || fail "this has to read all of this machine's root: run it as root"
scripts/install.sh test
kernel=$(compgen -G "target/machine/boot/vmlinuz-*" | head -n 1) || fail "there is no kernel below target/machine; scripts/install.sh test puts one there"
version=${kernel##*/vmlinuz-}

built=$(cargo test --package hangar-sandbox --test it --no-run --message-format=json |
  python3 -c 'import json,sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "it": print(message["executable"])')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rustc --edition 2024 -O -C target-feature=+crt-static -C strip=symbols -o "$work/init" scripts/cgroup2/init.rs
truncate -s 4G "$work/disk"
mke2fs -q -t ext4 -E lazy_itable_init=1,nodiscard "$work/disk"
drivers=(virtio_pci virtio_blk ext4 crc32c_generic 9pnet_virtio 9p overlay loop tun veth)

# job PLACE: the script of the machine's shell. Its last line on the console is "cgroup2: status N".
job() {
  cat <<END
export PATH='$PATH' HOME='$HOME' RUSTUP_HOME='${RUSTUP_HOME:-$HOME/.rustup}' CARGO_HOME='${CARGO_HOME:-$HOME/.cargo}' RUSTC='$(rustc --print sysroot)/bin/rustc'
export TMPDIR=/mnt LANG=C.UTF-8 CARGO_MANIFEST_DIR='$PWD/crates/sandbox' HANGAR_TEST_SLOWNESS=$slowness RUST_BACKTRACE=1
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev && mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 devpts /dev/pts && mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=755 tmpfs /run && mount /dev/vda /mnt && chmod 1777 /mnt
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup && echo '+cpu +memory +pids' >/sys/fs/cgroup/cgroup.subtree_control
group=/sys/fs/cgroup
if [ $1 != root ]; then
  group=/sys/fs/cgroup/slice/$1
  mkdir -p \$group && echo '+cpu +memory +pids' >/sys/fs/cgroup/slice/cgroup.subtree_control
fi
if [ $1 = session ]; then
  sleep 100000 & echo \$! >\$group/cgroup.procs
fi
ip link set lo up
uname -sr; echo "cgroup2: in \$group"
cd '$PWD/crates/sandbox'
sh -c 'echo \$\$ >'\$group'/cgroup.procs; exec "\$@"' test '$built' $(printf "'%s' " "${filters[@]}")--nocapture 2>&1
status=\$?
echo "cgroup2: groups left behind:\$(find /sys/fs/cgroup -name 'hangar-*' ! -name hangar-server -printf ' %p')"
echo "cgroup2: status \$status"
sync; echo o >/proc/sysrq-trigger; while :; do :; done
END
}

# try PLACE: boots a machine there, shows what it says, and fails when a test does or the machine does not come to its end.
try() {
  local place=$1 began=$SECONDS
  job "$place" >"$work/job"
  python3 scripts/cgroup2/archive.py "target/machine/lib/modules/$version" "$work/archive" "$work/init" "$work/job" "${drivers[@]}"
  cp --sparse=always "$work/disk" "$work/disk-of-$place"
  timeout --foreground "${HANGAR_CGROUP2_SECONDS:-1800}" qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -M pc,usb=off,vmport=off \
    -accel tcg,thread=multi,tb-size=256 -cpu max -smp 2 -m 4G -kernel "$kernel" -initrd "$work/archive" \
    -append "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check cryptomgr.notests rcupdate.rcu_expedited=1 loglevel=3" -serial stdio \
    -drive "file=$work/disk-of-$place,if=none,id=disk,format=raw,cache=unsafe" -device virtio-blk-pci,drive=disk \
    -fsdev local,id=host,path=/,security_model=passthrough,multidevs=remap,readonly=on -device virtio-9p-pci,fsdev=host,mount_tag=host \
    </dev/null | stdbuf -oL tr -d '\r' | tee "$work/said"
  rm "$work/disk-of-$place"
  grep -qx 'cgroup2: status 0' "$work/said" || fail "not everything passed in $place"
  echo "cgroup2: $place: $(grep -Eo '[0-9]+ passed' "$work/said" | tail -n 1), $((SECONDS - began)) s"
}

for place in "${places[@]}"; do try "$place"; done
