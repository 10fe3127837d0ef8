// Against a server that runs: HANGAR_URL is its address, HANGAR_CODE the code of an unused sign-in link of an owner. The server
// needs one repository and a model whose turn changes a file and pushes (the scripted one of the demo does).

import { defineConfig } from "@playwright/test";

const url = process.env["HANGAR_URL"];
if (!url) throw new Error("Set HANGAR_URL to the address of a running hangar and HANGAR_CODE to a sign-in code.");

const browser = {
  executablePath: process.env["HANGAR_CHROMIUM"] ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"],
};

export default defineConfig({
  testDir: "tests",
  outputDir: "results",
  timeout: 180_000,
  expect: { timeout: 20_000 },
  workers: 1,
  fullyParallel: false,
  forbidOnly: true,
  maxFailures: 1,
  reporter: [["list"]],
  use: { baseURL: url, browserName: "chromium", headless: true, launchOptions: browser, screenshot: "only-on-failure", trace: "off" },
  projects: [
    { name: "sign-in", testMatch: "sign-in.ts" },
    { name: "desktop", testMatch: "session.spec.ts", dependencies: ["sign-in"], use: { viewport: { width: 1280, height: 820 }, storageState: "results/owner.json" } },
    { name: "phone", testMatch: ["session.spec.ts", "touch.spec.ts"], dependencies: ["desktop"], use: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, storageState: "results/owner.json" } },
    { name: "pages", testMatch: ["pages.spec.ts", "stream.spec.ts"], dependencies: ["phone"], use: { viewport: { width: 1280, height: 820 }, storageState: "results/owner.json" } },
  ],
});
