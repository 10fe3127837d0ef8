// `npm run size`: what a first visit loads, gzipped, against its limit. Parts that are loaded later are listed, not counted.
import { readFileSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";

/** Script before any lazy part, in KiB of gzip. */
const SCRIPT_KIB_MAX = 120;
/** Styles, likewise. */
const STYLE_KIB_MAX = 12;

const dist = new URL("./dist/", import.meta.url);
const html = readFileSync(new URL("index.html", dist), "utf8");
const kib = (file) => gzipSync(readFileSync(new URL(`assets/${file}`, dist)), { level: 9 }).length / 1024;

// The page names its script, and what that script imports before anything else.
const first = new Set([...html.matchAll(/assets\/([^"]+\.(?:js|css))"/g)].map((match) => match[1]));
for (const file of first) {
  if (!file.endsWith(".js")) continue;
  const text = readFileSync(new URL(`assets/${file}`, dist), "utf8");
  for (const match of text.matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g)) first.add(match[1]);
}

const sum = { js: 0, css: 0 };
for (const file of readdirSync(new URL("assets/", dist)).toSorted()) {
  const size = kib(file);
  const at = first.has(file) ? "first" : "later";
  console.log(`${at}  ${size.toFixed(1).padStart(7)} KiB  ${file}`);
  if (first.has(file)) sum[file.endsWith(".js") ? "js" : "css"] += size;
}
console.log(`first visit: ${sum.js.toFixed(1)} of ${SCRIPT_KIB_MAX} KiB of script, ${sum.css.toFixed(1)} of ${STYLE_KIB_MAX} KiB of styles`);
if (sum.js === 0) throw new Error("no script was found: is the app built?");
if (sum.js > SCRIPT_KIB_MAX || sum.css > STYLE_KIB_MAX) {
  console.error("The first visit loads too much. Load what is not needed at once with `lazy`.");
  process.exit(1);
}
