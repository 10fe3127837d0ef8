// Reads the hunks of a unified diff.

export interface DiffLine {
  kind: "same" | "added" | "removed" | "hunk" | "note";
  before: number | null;
  after: number | null;
  text: string;
}

const HUNK = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@(.*)$/;

/** The lines of a patch with their numbers before and after. What stands before the first hunk is left out. */
export function readPatch(patch: string): DiffLine[] {
  const lines: DiffLine[] = [];
  let before = 0;
  let after = 0;
  let inHunk = false;
  for (const line of patch.replace(/\n$/, "").split("\n")) {
    const hunk = HUNK.exec(line);
    if (hunk) {
      before = Number(hunk[1]);
      after = Number(hunk[2]);
      inHunk = true;
      lines.push({ kind: "hunk", before: null, after: null, text: (hunk[3] ?? "").trim() });
      continue;
    }
    if (!inHunk) continue;
    const text = line.slice(1);
    switch (line[0]) {
      case "+":
        lines.push({ kind: "added", before: null, after, text });
        after += 1;
        break;
      case "-":
        lines.push({ kind: "removed", before, after: null, text });
        before += 1;
        break;
      case "\\":
        lines.push({ kind: "note", before: null, after: null, text: text.trim() });
        break;
      default:
        lines.push({ kind: "same", before, after, text });
        before += 1;
        after += 1;
    }
  }
  return lines;
}
