// `npm run screens`: the pictures of the README and the docs, taken from a running server (HANGAR_URL, HANGAR_CODE) while a real
// session runs on its first repository. Written to docs/screens; a picture that grew too large fails.

import { mkdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** Longest a picture may be. */
const PICTURE_KIB_MAX = 150;
const DESKTOP = { width: 1200, height: 760 };
const PHONE = { width: 390, height: 760 };

const url = process.env.HANGAR_URL;
const code = process.env.HANGAR_CODE;
if (!url || !code) throw new Error("Set HANGAR_URL to the address of a running hangar and HANGAR_CODE to a sign-in code.");
const wish =
  process.env.HANGAR_E2E_WISH ??
  "Add `normalized_hamming` to this crate: the Hamming distance as a share between 0.0 and 1.0, like `normalized_levenshtein`. Add a test and run the test suite.";
const folder = new URL("../../docs/screens/", import.meta.url);
mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.HANGAR_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
});

async function picture(page, name) {
  const path = fileURLToPath(new URL(`${name}.png`, folder));
  await page.evaluate(() => document.activeElement?.blur());
  await page.screenshot({ path, animations: "disabled", caret: "hide" });
  const kib = statSync(path).size / 1024;
  console.log(`docs/screens/${name}.png  ${kib.toFixed(0)} KiB`);
  if (kib > PICTURE_KIB_MAX) throw new Error(`${name}.png is larger than ${PICTURE_KIB_MAX} KiB.`);
}

/** Lets somebody in, as the owner whose code was given; gives the part of their sign-in link from `#` on. */
async function invite(person) {
  const context = await browser.newContext({ baseURL: url });
  const page = await context.newPage();
  await page.goto(`/sign-in#${code}`);
  await page.getByRole("heading", { name: "What shall we build?" }).waitFor();
  const headers = { "x-hangar": "1", origin: url };
  let answer = await context.request.post("/api/v1/users", { headers, data: person });
  // Taken before: the person is known already.
  if (answer.status() === 409) answer = await context.request.post(`/api/v1/users/${person.user}/sign-in-link`, { headers });
  if (!answer.ok()) throw new Error(`${person.user} could not be let in: ${await answer.text()}`);
  const { hash } = new URL((await answer.json()).url);
  await context.close();
  return hash;
}

try {
  // The pictures show Ada, and not who happens to have installed the server.
  const link = await invite({ user: "ada", name: "Ada Lovelace", email: "ada@example.com", role: "member" });
  const desk = await browser.newContext({ baseURL: url, viewport: DESKTOP, colorScheme: "light" });
  const page = await desk.newPage();
  await page.goto(`/sign-in${link}`);
  await page.getByRole("heading", { name: "What shall we build?" }).waitFor();
  const box = page.getByRole("textbox", { name: "Your wish" });
  await box.fill(wish);
  await box.press("Control+Enter");
  await page.waitForURL(/\/s\/[a-z0-9]+$/);
  const address = new URL(page.url()).pathname;
  await page.locator(".file-chip").first().waitFor({ timeout: 120_000 });
  await page.locator(".tool.running", { hasText: "bash" }).or(page.locator(".turn-end")).first().waitFor({ timeout: 120_000 });
  await picture(page, "session");

  await page.locator(".turn-end").waitFor({ timeout: 180_000 });
  await page.goto(`${address}/changes`);
  await page.locator(".patch tr.added").first().waitFor();
  await picture(page, "changes");

  await page.goto(`${address}/pull-request`);
  const open = page.getByRole("button", { name: "Open pull request" });
  await open.or(page.locator(".merge-box")).first().waitFor();
  if (await open.isVisible()) await open.click();
  await page.getByText("Can be merged without conflict.").waitFor();
  await picture(page, "pull-request");
  await page.goto("/");
  await page.locator(".session-row").first().waitFor();
  await picture(page, "home");

  const kept = await desk.storageState();
  const dark = await (await browser.newContext({ baseURL: url, viewport: DESKTOP, colorScheme: "dark", storageState: kept })).newPage();
  await dark.goto(address);
  await dark.locator(".turn-end").waitFor();
  await picture(dark, "session-dark");
  const phone = await (await browser.newContext({ baseURL: url, viewport: PHONE, colorScheme: "light", isMobile: true, hasTouch: true, storageState: kept })).newPage();
  await phone.goto(address);
  await phone.locator(".turn-end").waitFor();
  await picture(phone, "phone");
} finally {
  await browser.close();
}
