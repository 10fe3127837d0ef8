#!/usr/bin/env python3
"""Writes docs/mutations.md from what scripts/mutations.sh saw: mutations.py RESULTS MUTANT... (GUARDS@GROUPS)."""

import pathlib
import re
import sys

# Cases that no mutation here can show, and why. A case that is seen after all must leave this list.
REASONS = pathlib.Path("scripts/mutations.txt")
PAGE = pathlib.Path("docs/security.md")


def cases(results, what):
    """The cases of one run with this result; a call that was not made says nothing."""
    rows = [line.split("\t") for line in results.read_text().splitlines()]
    return {row[0] for row in rows if len(row) > 2 and row[2].startswith(what) and not row[2].startswith('FAILED "unknown')} - {"host-unchanged"}


def elsewhere():
    """Cases that are answered differently by another wall: the suite expects that, so it was seen that they notice."""
    parts = re.split(r"^### Where `(\w+)` answers differently.*$", PAGE.read_text(), flags=re.M)
    found = {}
    for backend, text in zip(parts[1::2], parts[2::2]):
        for case in re.findall(r"^\| `([a-z0-9-]+)` \|", text, flags=re.M):
            found.setdefault(case, []).append(backend)
    return found


def reasons():
    """From `words: case case` to a sentence for each case."""
    found = []
    for block in REASONS.read_text().strip().split("\n\n"):
        names, sentence = block.split("\n", 1)
        found.append((names.split(), " ".join(sentence.split())))
    return found


def listed(names):
    return ", ".join(f"`{name}`" for name in sorted(names))


def main():
    work, mutants = pathlib.Path(sys.argv[1]), [mutant.split("@")[0] for mutant in sys.argv[2:]]
    every = cases(work / "None", "held")
    noticed = set()
    print("""# Guards and the cases that miss them

Written by `scripts/mutations.sh` (`make mutations`): each line is a run of those groups of the security suite that are about the guards of the first column, with these
taken away, as user and as root of the sandbox, on `namespace`. The switch exists in a build for this purpose alone (feature `mutations`); a test shows that the shipped
guest and engine have none. `Planted…` takes no guard away but puts a fault in, such as a broken engine would leave: the host's files or environment in a sandbox, a
layer with what must not be in one, a sandbox that is not ended, one slot given to two (`crates/sandbox/tests/it/security/planted.rs`).

| without | cases that then fail |
| --- | --- |""")
    for mutant in mutants:
        failed = cases(work / mutant, "FAILED")
        noticed |= failed
        words = listed(failed) or "none: what it holds back is held by another guard as well"
        print(f"| {mutant.replace(',', ', ')} | {words} |")
    others = elsewhere()
    only_elsewhere = {case for case in others if case in every - noticed}
    left = every - noticed - only_elsewhere
    print(f"""
## What was seen

{len(every & noticed)} of {len(every)} cases were seen to fail on `namespace` without a guard or with a planted fault. {len(only_elsewhere)} more are answered differently by a wall that is
built otherwise, and so were seen to notice (docs/security.md says what and why it is harmless there):
{", ".join(f"`{case}` ({', '.join(others[case])})" for case in sorted(only_elsewhere)) or "none"}.

## What cannot be shown

{len(left)} cases were not seen to fail: nothing that can be taken away here without giving the host away lets them happen.
""")
    explained = set()
    for names, sentence in reasons():
        here = [name for name in names if name in left]
        explained |= set(here)
        if here:
            print(f"- {listed(here)}: {sentence}")
    for name in sorted(left - explained):
        print(f"- `{name}`: NOT EXPLAINED in {REASONS}")
    stale = [name for names, _ in reasons() for name in names if name in every and name not in left]
    if left - explained or stale:
        sys.exit(f"not explained: {sorted(left - explained)}; explained but seen: {stale}")


main()
