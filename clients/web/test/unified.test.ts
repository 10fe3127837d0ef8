import { expect, test } from "vitest";
import { readPatch } from "../src/diff/unified.ts";

test("lines are numbered before and after, hunk by hunk", () => {
  const patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@ fn main\n a\n-b\n+B\n c\n@@ -10 +10,2 @@\n-- not a header\n+++ neither\n+\n\\ No newline at end of file\n";
  expect(readPatch(patch).map((line) => [line.kind, line.before, line.after, line.text])).toStrictEqual([
    ["hunk", null, null, "fn main"],
    ["same", 1, 1, "a"],
    ["removed", 2, null, "b"],
    ["added", null, 2, "B"],
    ["same", 3, 3, "c"],
    ["hunk", null, null, ""],
    ["removed", 10, null, "- not a header"],
    ["added", null, 10, "++ neither"],
    ["added", null, 11, ""],
    ["note", null, null, "No newline at end of file"],
  ]);
});

test("a patch without hunks has no lines", () => {
  expect(readPatch("")).toStrictEqual([]);
  expect(readPatch("Binary files a/x and b/x differ\n")).toStrictEqual([]);
});
