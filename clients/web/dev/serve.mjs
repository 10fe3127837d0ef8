// `npm run fake`: the fake API and, where it was built, the app, on one port. HANGAR_FAKE_PORT (4400) and HANGAR_FAKE_PACE (1).
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";

const { module } = await runnerImport(fileURLToPath(new URL("./fake.ts", import.meta.url)), { configFile: false, logLevel: "error" });
const fake = new module.Fake(Number(process.env.HANGAR_FAKE_PACE ?? 1));
const dist = fileURLToPath(new URL("../dist", import.meta.url));
// The server's own policy, so that what it forbids is noticed here.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; " +
  "manifest-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

async function page(request, response) {
  const { pathname } = new URL(request.url, "http://fake");
  const file = extname(pathname) === "" ? "/index.html" : pathname;
  try {
    const bytes = await readFile(dist + file);
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-security-policy": POLICY });
    response.end(bytes);
  } catch {
    response.writeHead(404).end("Not built: npm run build --workspace web\n");
  }
}

const server = createServer((request, response) => {
  if (request.url.startsWith("/api/")) fake.answer(request, response);
  else void page(request, response);
});
server.on("upgrade", fake.upgrade);
server.listen(Number(process.env.HANGAR_FAKE_PORT ?? 4400), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/sign-in#ada`);
});
