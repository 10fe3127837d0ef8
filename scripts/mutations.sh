#!/usr/bin/env bash
# Takes the guards of a sandbox away, one by one and some together, and lists in docs/mutations.md which cases of the security suite notice.
# Needs root. Takes some ten minutes. `scripts/mutations.sh Seccomp@escape Seccomp,Landlock@escape,network` tries only these and prints what it finds.
set -euo pipefail
cd "$(dirname "$0")/.."

# Guards, and the groups that are about them: the others would only take time.
mutants=(
  Seccomp@escape,kernel_surface,network Landlock@escape,kernel_surface,files_in_and_out Capabilities@escape,network NotDumpable@escape
  Masks@escape,kernel_surface,leaks ReadOnly@escape MountFlags@escape OwnProc@escape,leaks ControlGroupNamespace@escape,resources IpcNamespace@escape,leaks
  Network@escape,network NoCoreDumps@resources Processes@resources Memory@resources Processor@resources Disk@resources OpenFiles@resources
  FileSize@resources TemporaryFiles@resources OwnIds@escape,files_in_and_out OwnRange@lifecycle
  Seccomp,Keyring@kernel_surface Seccomp,Landlock@escape,kernel_surface Seccomp,Landlock,NoNewPrivileges@escape Capabilities,ReadOnly@escape
  Seccomp,Landlock,Capabilities@escape,network,files_in_and_out,resources
  Seccomp,Landlock,Capabilities,NotDumpable,Masks,ReadOnly@escape,leaks
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
  (cd crates/sandbox && RUST_BACKTRACE=0 CARGO_MANIFEST_DIR=$PWD HANGAR_WITHOUT=$without HANGAR_SECURITY_RESULTS=$work/$without \
    timeout 300 "$built" "${tests[@]}" >"$work/output" 2>&1) || true
  # A group that could not even make its sandbox has said nothing.
  grep -q . "$work/$without" || { echo "nothing ran without $without:" >&2; tail -20 "$work/output" >&2; }
}

try None
if grep -P '\tFAILED' "$work/None"; then
  echo "cases fail although every guard stands" >&2
  exit 1
fi
for mutant in "${mutants[@]}"; do
  try "$mutant"
  without=${mutant%@*}
  echo "without $without: $(grep -cP '\tFAILED' "$work/$without" || true) of $(grep -c . "$work/$without") fail"
  $write || grep -P '\tFAILED' "$work/$without" || true
done
$write || exit 0

python3 - "$work" "${mutants[@]}" >docs/mutations.md <<'PYTHON'
import pathlib, sys
work, mutants = pathlib.Path(sys.argv[1]), [mutant.split('@')[0] for mutant in sys.argv[2:]]
def cases(name, what):
    lines = [line.split("\t") for line in (work / name).read_text().splitlines()]
    return {line[0] for line in lines if len(line) > 2 and line[2].startswith(what)}
every = cases("None", "held") - {"host-unchanged"}
noticed = set()
print("""# Guards and the cases that miss them

Written by `scripts/mutations.sh`: each line is a run of those groups of the security suite that are about the guards of the first column, with these taken away, as user
and as root of the sandbox. The switch exists in a build for this purpose alone (feature `mutations`); a test shows that the shipped guest and engine have none.

| without | cases that then fail |
| --- | --- |""")
for mutant in mutants:
    failed = cases(mutant, "FAILED") - {"host-unchanged"}
    noticed |= failed
    words = ", ".join(f"`{case}`" for case in sorted(failed)) or "none: what it holds back is held by another guard as well"
    print(f"| {mutant.replace(',', ', ')} | {words} |")
left = sorted(every - noticed)
print(f"""
{len(every & noticed)} of {len(every)} cases were seen to fail. The others were not, because no guard above can be taken away to let them happen without giving the host away, or because
what they try is held back by how a sandbox is built: {", ".join(f"`{case}`" for case in left) or "none"}.""")
PYTHON
