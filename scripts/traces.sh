#!/usr/bin/env bash
# Lists what hangar and its tests could leave behind on a machine, a line each, so that before and after can be compared.
set -uo pipefail
mount=$(awk '{print "mount " $5}' /proc/self/mountinfo)
echo "$mount" | sort
for group in $(find /sys/fs/cgroup -maxdepth 4 -type d -name '*hangar*' 2>/dev/null); do echo "cgroup $group"; done | sort
losetup --all 2>/dev/null | sed 's/^/loop /' | sort
ls /run/netns 2>/dev/null | sed 's/^/netns /' | sort
find "${TMPDIR:-/tmp}" -maxdepth 1 \( -name 'hangar*' -o -name '.tmp*' \) -printf 'file %p\n' 2>/dev/null | sort
# Processes by program, without this script's own helpers and cargo's.
for process in /proc/[0-9]*; do
  program=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null | cut -d' ' -f1)
  case "$program" in
    *hangar* | *git-http-backend* | *chromium*) echo "process $program" ;;
  esac
done | grep -v 'clippy\|rustc' | sort || true
