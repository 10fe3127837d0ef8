import ast
import datetime
import pathlib
import sys


def fail(why):
    print(why)
    sys.exit(1)


OLD = ("utcnow", "utcfromtimestamp")
for path in sorted(pathlib.Path("boltons").rglob("*.py")):
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in OLD:
            fail(f"{path} line {node.lineno} still calls {node.attr}")
        if isinstance(node, ast.Attribute) and node.attr == "UTC":
            fail(f"{path} line {node.lineno} needs Python 3.11")
    for number, line in enumerate(text.splitlines(), 1):
        if ">>>" in line and any(old + "(" in line for old in OLD):
            fail(f"an example in {path} line {number} still calls it")

from boltons import ecoutils, timeutils

if timeutils.EPOCH_NAIVE != datetime.datetime(1970, 1, 1) or timeutils.EPOCH_NAIVE.tzinfo is not None:
    fail("EPOCH_NAIVE is another")
if timeutils.dt_to_timestamp(datetime.datetime(2020, 1, 1)) != 1577836800.0:
    fail("dt_to_timestamp gives something else")
now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
if timeutils.relative_time(now - datetime.timedelta(hours=2)) != "2 hours ago":
    fail("relative_time gives something else")
if timeutils.decimal_relative_time(now - datetime.timedelta(days=1, seconds=3600), cardinalize=False) != (1.0, "day"):
    fail("decimal_relative_time gives something else")
found = ecoutils.get_profile()["time_utc"]
if "+" in found or abs((datetime.datetime.fromisoformat(found.replace(" ", "T")) - now).total_seconds()) > 60:
    fail(f"the time of a profile is {found}")
print("times are as they were")
