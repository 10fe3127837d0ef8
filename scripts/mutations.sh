#!/usr/bin/env bash
# Takes the guards of a sandbox away, one by one and some together, and lists in docs/mutations.md which cases of the security suite notice.
# Needs root. Takes some twenty minutes, and at most two and a half for one line. `scripts/mutations.sh Seccomp@escape Seccomp,Landlock@escape,network` tries only these and prints what it finds.
set -euo pipefail
cd "$(dirname "$0")/.."

# Guards, and the groups that are about them: the others would only take time. `Planted…` is a fault that the suite itself puts in (planted.rs).
mutants=(
  Seccomp@escape,kernel_surface,network,leaks Seccomp,Capabilities@escape,kernel_surface,network,files_in_and_out
  Capabilities@escape,network,files_in_and_out Landlock@escape,kernel_surface,files_in_and_out
  NotDumpable@escape,kernel_surface NotDumpable,Landlock@escape,kernel_surface
  Masks@escape,kernel_surface,leaks ReadOnly@escape Capabilities,ReadOnly@escape MountFlags@escape OwnProc@escape,leaks
  ControlGroupNamespace@escape,resources IpcNamespace@escape,leaks UtsNamespace@escape,leaks
  Network@escape,network Network,Landlock@network BorderPorts,Capabilities@network CloseDescriptors@escape
  NoCoreDumps@resources Processes@resources Memory@resources Processor@resources Disk@resources OpenFiles@resources
  FileSize@resources TemporaryFiles@resources OwnIds@escape,files_in_and_out OwnRange@lifecycle
  MachineId@leaks,lifecycle Names@lifecycle RegularFiles@files_in_and_out ListingLimit@files_in_and_out
  Seccomp,Keyring@kernel_surface Seccomp,Landlock@escape,kernel_surface Seccomp,Landlock,NoNewPrivileges@escape
  Seccomp,Landlock,Capabilities,NotDumpable,Masks,ReadOnly@escape,leaks
  PlantedFiles@leaks,files_in_and_out,network PlantedEnvironment@leaks,network PlantedLayer@escape,leaks,files_in_and_out
  PlantedLayer,Landlock@files_in_and_out PlantedDirectory@escape PlantedSurvivors@lifecycle PlantedTwin@lifecycle
)
write=true
if [ $# -gt 0 ]; then
  mutants=("$@")
  write=false
fi

built=$(cargo test --package hangar-sandbox --test it --features mutations --no-run --message-format=json |
  python3 -c 'import json,sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["name"] == "it": print(message["executable"])')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

groups=escape,kernel_surface,resources,leaks,files_in_and_out,network,lifecycle
# try GUARDS@GROUPS: runs these groups without these guards; $work/GUARDS has a line for each case.
try() {
  local without=${1%@*} tests=()
  local of=$groups
  case "$1" in *@*) of=${1#*@} ;; esac
  for group in ${of//,/ }; do tests+=("security::as_agent::$group" "security::as_builder::$group"); done
  : >"$work/$without"
  # Elsewhere the host's own limit already keeps programs from leaving a core behind.
  (ulimit -c unlimited
    cd crates/sandbox && RUST_BACKTRACE=0 CARGO_MANIFEST_DIR=$PWD HANGAR_WITHOUT=$without HANGAR_PLANTED=$without \
    HANGAR_SECURITY_RESULTS=$work/$without timeout 150 "$built" "${tests[@]}" >"$work/output" 2>&1) || true
  # A group that could not even make its sandbox has said nothing.
  grep -q . "$work/$without" || { echo "nothing ran without $without:" >&2; tail -20 "$work/output" >&2; }
}

try None
if grep -P '\tFAILED' "$work/None"; then
  echo "cases fail although every guard stands" >&2
  exit 1
fi
# Every group has said its last word: none was cut off.
[ "$(grep -c '^host-unchanged' "$work/None")" -eq 14 ] || { echo "not every group came to its end" >&2; cat "$work/output"; exit 1; }
for mutant in "${mutants[@]}"; do
  try "$mutant"
  without=${mutant%@*}
  echo "without $without: $(grep -cP '\tFAILED' "$work/$without" || true) of $(grep -c . "$work/$without") fail"
  $write || grep -P '\tFAILED' "$work/$without" || true
done
$write || exit 0

scripts/mutations.py "$work" "${mutants[@]}" >docs/mutations.md
