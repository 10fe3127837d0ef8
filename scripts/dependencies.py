"""Checks the Rust dependencies: their licences, and that no crate comes in two versions without anybody having decided so.

Reads `cargo metadata`. Licences are SPDX expressions, evaluated with the library license-expression. A new duplicate is either
resolved or written into scripts/duplicates.txt with the reason.
"""

import json
import pathlib
import subprocess
import sys

from license_expression import get_spdx_licensing

ALLOWED = {
    "0BSD", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CDLA-Permissive-2.0", "ISC", "MIT", "MIT-0", "MPL-2.0", "Unicode-3.0", "Unlicense", "Zlib",
}
HERE = pathlib.Path(__file__).parent


def metadata() -> dict:
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, cwd=HERE.parent).stdout)


def allowed(expression: str) -> bool:
    """Whether some choice that the expression offers is on the list."""
    licensing = get_spdx_licensing()
    parsed = licensing.parse(expression.replace("/", " OR "), validate=True)
    return holds(parsed)


def holds(part) -> bool:
    operator = getattr(part, "operator", None)
    if operator and operator.strip().upper() == "OR":
        return any(holds(arg) for arg in part.args)
    if operator and operator.strip().upper() == "AND":
        return all(holds(arg) for arg in part.args)
    return part.render() in ALLOWED


def main() -> int:
    graph = metadata()
    used = {node["id"] for node in graph["resolve"]["nodes"]}
    packages = [package for package in graph["packages"] if package["id"] in used]
    faults = []
    for package in packages:
        licence = package["license"]
        if not licence or not allowed(licence):
            faults.append(f"{package['name']} {package['version']}: licence {licence!r} is not on the list")
    versions: dict[str, set[str]] = {}
    for package in packages:
        versions.setdefault(package["name"], set()).add(package["version"])
    known = {
        line.split("#")[0].strip()
        for line in (HERE / "duplicates.txt").read_text().splitlines()
        if line.split("#")[0].strip()
    }
    duplicates = {name for name, found in versions.items() if len(found) > 1}
    faults += [f"{name} comes in versions {sorted(versions[name])}: resolve it or name it in scripts/duplicates.txt"
               for name in sorted(duplicates - known)]
    faults += [f"{name} is no duplicate any more: take it out of scripts/duplicates.txt" for name in sorted(known - duplicates)]
    print("\n".join(faults) or f"{len(packages)} packages: licences allowed, duplicates as decided")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
