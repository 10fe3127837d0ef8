#!/usr/bin/env python3
"""Writes what a machine starts from: archive.py MODULES OUT INIT JOB DRIVER...

A cpio archive ("newc", Documentation/driver-api/early-userspace/buffer-format.rst) of the program INIT, the shell script JOB, and these drivers with all that
they need, numbered so that their order is the one in which they can be loaded.
"""

import pathlib
import sys

DIRECTORY, PROGRAM = 0o040755, 0o100755


def name(path):
    return path.name.split(".ko")[0].replace("-", "_")


def closure(modules, drivers):
    """The files of these drivers, each behind what it needs itself. What is not a file is a part of the kernel."""
    files = {name(path): path for path in (modules / "kernel").rglob("*.ko")}
    order = []

    def add(driver):
        if driver not in files or files[driver] in order:
            return
        # A driver says itself what it needs.
        needs = files[driver].read_bytes().split(b"\0depends=", 1)[1].split(b"\0", 1)[0].decode()
        for needed in filter(None, needs.split(",")):
            add(needed.replace("-", "_"))
        order.append(files[driver])

    for driver in drivers:
        add(driver)
    return order


def entry(number, path, mode, content=b""):
    fields = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + path.encode() + b"\0"
    return b"".join(part + bytes(-len(part) % 4) for part in (head, content))


def main():
    modules, out, init, job, *drivers = sys.argv[1:]
    entries = [
        ("init", PROGRAM, pathlib.Path(init).read_bytes()),
        ("job", PROGRAM, pathlib.Path(job).read_bytes()),
        ("dev", DIRECTORY, b""),
        ("drivers", DIRECTORY, b""),
    ]
    for number, path in enumerate(closure(pathlib.Path(modules), drivers)):
        entries.append((f"drivers/{number:02}-{path.name}", PROGRAM, path.read_bytes()))
    entries.append(("TRAILER!!!", 0, b""))
    pathlib.Path(out).write_bytes(b"".join(entry(number, *each) for number, each in enumerate(entries, 1)))


main()
