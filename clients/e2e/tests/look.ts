// What is asked of every page.

import AxeBuilder from "@axe-core/playwright";
import { expect, type Page } from "@playwright/test";

/** Where this run of the tests keeps who is signed in. */
export const OWNER = "results/owner.json";
export const COLLEAGUE = "results/colleague.json";

/** A wish that the demo's scripted model has an answer to; a real model has one to any. */
export const WISH = process.env["HANGAR_E2E_WISH"] ?? "Add `normalized_hamming` to this crate: the Hamming distance as a share between 0.0 and 1.0. Add a test and run the test suite.";

/** axe finds nothing to complain about, in the light and in the dark. */
export async function accessible(page: Page, name: string): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    const { violations } = await new AxeBuilder({ page }).analyze();
    const found = violations.map((rule) => `${rule.id}: ${rule.help}\n  ${rule.nodes.map((node) => `${node.html}\n    ${node.failureSummary ?? ""}`).join("\n  ")}`);
    expect(found, `${name}, ${colorScheme}`).toEqual([]);
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "no-preference" });
}

/** Nothing is wider than the window. */
export async function fitsWindow(page: Page, name: string): Promise<void> {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  expect(over, `${name} is wider than the window`).toBeLessThanOrEqual(0);
}

/** The rows of the timeline as a reader sees them. */
export async function rows(page: Page): Promise<string[]> {
  await page.locator(".timeline").waitFor();
  return page.locator(".timeline > *:not(.edge):not(.working)").evaluateAll((elements) =>
    elements.map((element) => (element as HTMLElement).innerText.replace(/\s+/g, " ").trim()).filter((text) => text !== ""),
  );
}

/** Begins a session from the first page, on the given repository or the one that is offered, and gives its address. */
export async function beginSession(page: Page, wish: string, repo?: string): Promise<string> {
  await page.goto("/");
  const box = page.getByRole("textbox", { name: "Your wish" });
  await box.fill(wish);
  const picker = page.getByRole("combobox", { name: "Repository" });
  await expect(picker).not.toHaveValue("");
  if (repo !== undefined) {
    await picker.fill(repo);
    await page.getByRole("option", { name: repo, exact: true }).click();
    await expect(picker).toHaveValue(repo);
  }
  await box.press("Control+Enter");
  await page.waitForURL(/\/s\/[a-z0-9]+$/);
  return new URL(page.url()).pathname;
}

/** Waits until the turn that runs is over, and gives how often the page was seen to grow meanwhile. */
export async function untilTurnEnds(page: Page): Promise<number> {
  let seen = 0;
  let length = 0;
  const ended = page.locator(".turn-end").last();
  await expect
    .poll(async () => {
      const now = (await page.locator(".timeline").innerText()).length;
      if (now > length) seen += 1;
      length = now;
      return (await ended.isVisible()) && !(await page.locator(".working").isVisible());
    }, { timeout: 150_000, intervals: [100] })
    .toBe(true);
  return seen;
}
