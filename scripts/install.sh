#!/usr/bin/env bash
# install.sh [build|test]: installs the system packages that are missing. Does nothing when all are there.
set -euo pipefail
want=${1:-build}
need() { command -v "$1" >/dev/null 2>&1 || packages+=("$2"); }
packages=()
need git git
need cc gcc
need curl curl
need make make
need python3 python3
if [ "$want" = test ]; then
  need ip iproute2
  need openssl openssl
  need unshare util-linux
  need mkfs.ext4 e2fsprogs
  need chromium chromium
  need tmux tmux
  # Judges of images that are not hangar's, a real registry, and what makes Debian bases.
  need skopeo skopeo
  need umoci umoci
  need docker-registry docker-registry
  need mmdebstrap mmdebstrap
  # Backends of sandboxes: every one is tested.
  need dockerd docker.io
  if ! command -v runsc >/dev/null 2>&1; then
    packages+=(runsc)
    # The one of Debian 12 itself is too old to pass a socket on.
    if grep -qs bookworm /etc/os-release; then backports=bookworm-backports; fi
  fi
  need qemu-system-x86_64 qemu-system-x86
  python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
  python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
fi
if ! command -v cargo >/dev/null || ! command -v npm >/dev/null; then
  echo "hangar needs cargo (Rust 1.95 or newer, https://rustup.rs) and npm (Node 20 or newer). Install them, then run this again." >&2
  exit 1
fi
# What virtual machines start from in tests. A kernel is not installed on this machine: that would touch what it boots from itself. The package is unpacked.
kernel=$(dirname "$0")/../target/machine
machine_kernel() {
  [ "$want" = test ] && ! compgen -G "$kernel/boot/vmlinuz-*" >/dev/null && command -v apt-get >/dev/null || return 0
  apt-cache depends linux-image-amd64 >/dev/null 2>&1 || apt-get update -q
  local name unpacked
  name=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
  unpacked=$(mktemp -d)
  (cd "$unpacked" && chmod 755 . && apt-get download -q "$name")
  dpkg-deb -x "$unpacked"/linux-image-*.deb "$unpacked/files"
  # Most of it is for hardware that no machine here has.
  for unused in sound drivers/{gpu,media,infiniband,scsi,staging,usb} drivers/net/{wireless,ethernet}; do
    rm -rf "$unpacked"/files/lib/modules/*/kernel/"$unused"
  done
  mkdir -p "$kernel"
  # The kernel itself last: it is what says that all of it is there.
  cp -r "$unpacked/files/lib" "$kernel/" && cp -r "$unpacked/files/boot" "$kernel/"
  rm -rf "$unpacked"
}
if [ ${#packages[@]} -eq 0 ]; then
  machine_kernel
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "These packages are missing: ${packages[*]}. Install them, then run this again." >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
if [ -n "${backports:-}" ] && ! grep -rqs "$backports" /etc/apt/sources.list /etc/apt/sources.list.d; then
  # From wherever this machine has Debian from.
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Codename: bookworm' | head -n 1)
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:-http://deb.debian.org/debian} $backports main" > /etc/apt/sources.list.d/hangar-backports.list
fi
apt-get update -q
[ -z "${backports:-}" ] || packages=("${packages[@]/%runsc/runsc\/$backports}")
# Where one part of QEMU is from the backports already, the others must be as well, and apt does not find that out by itself.
if [[ " ${packages[*]} " == *" qemu-system-x86 "* ]] && dpkg-query -W -f='${Version}' qemu-utils 2>/dev/null | grep -q '~bpo'; then
  from=$(. /etc/os-release && echo "$VERSION_CODENAME")-backports
  packages=("${packages[@]/%qemu-system-x86/qemu-system-x86\/$from}" "qemu-system-common/$from" "qemu-system-data/$from" "seabios/$from")
fi
apt-get install -q -y --no-install-recommends "${packages[@]}" fonts-dejavu-core
machine_kernel
