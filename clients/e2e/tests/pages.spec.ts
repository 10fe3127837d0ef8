import { expect, test } from "@playwright/test";
import { accessible, beginSession, COLLEAGUE, untilTurnEnds, WISH } from "./look.ts";

test("settings: a token is shown once, works, and is gone when deleted", async ({ page, playwright, baseURL }) => {
  await page.goto("/settings");
  const label = `e2e ${Date.now()}`;
  await page.getByLabel("What it is for").fill(label);
  await page.getByRole("button", { name: "Create token" }).click();
  const secret = (await page.getByRole("status").filter({ hasText: label }).locator("code").innerText()).trim();
  const script = await playwright.request.newContext({ baseURL: baseURL ?? "", storageState: { cookies: [], origins: [] }, extraHTTPHeaders: { authorization: `Bearer ${secret}` } });
  expect((await script.get("/api/v1/me")).status()).toBe(200);
  await accessible(page, "settings");
  await page.reload();
  await expect(page.getByText(label)).toBeVisible();
  await expect(page.getByText(secret)).toHaveCount(0);
  await page.getByRole("button", { name: `Delete the token “${label}”` }).click();
  await expect(page.getByText(label)).toHaveCount(0);
  expect((await script.get("/api/v1/me")).status()).toBe(401);
});

test("settings: the chosen theme stays", async ({ page }) => {
  await page.emulateMedia({ colorScheme: "light" });
  await page.goto("/settings");
  const ground = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole("radio", { name: "Dark" }).check();
  await expect.poll(ground).not.toBe(light);
  await page.reload();
  await page.getByRole("heading", { name: "Settings" }).waitFor();
  expect(await ground()).not.toBe(light);
  await page.getByRole("radio", { name: "System" }).check();
});

test("what is not there is said in words", async ({ page }) => {
  await page.goto("/no/such/page");
  await expect(page.getByText("There is nothing at this address.")).toBeVisible();
  await accessible(page, "not found");
  await page.goto("/s/zzzzzzzzzzzz");
  await expect(page.getByRole("alert")).toBeVisible();
  await accessible(page, "no such session");
});

test("a wrong repository name is refused in the words of the server", async ({ page }) => {
  await page.goto("/");
  await page.getByRole("button", { name: "Add a repository" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Name here").fill("not a name");
  await accessible(page, "dialog");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await expect(dialog.getByRole("alert")).toContainText("owner/name");
  await page.keyboard.press("Escape");
  await expect(dialog).toBeHidden();
});

test("keys: ? lists them, g h goes home, Escape stops the turn, and a title can be changed", async ({ page, browser }) => {
  const address = await beginSession(page, WISH);
  const other = await (await browser.newContext({ storageState: COLLEAGUE })).newPage();
  await other.goto(address);
  await expect(page.getByRole("button", { name: "Stop" })).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.locator(".turn-end")).toContainText("Stopped by");
  await expect(other.locator(".turn-end")).toContainText("Stopped by");
  await page.locator("body").click({ position: { x: 5, y: 5 } });
  await page.keyboard.press("?");
  await expect(page.getByRole("dialog", { name: "Keys" })).toContainText("Stop the running turn");
  await accessible(page, "list of keys");
  await page.keyboard.press("Escape");
  // Keys are the dialog's own until it is gone.
  await expect(page.getByRole("dialog", { name: "Keys" })).toBeHidden();
  await page.keyboard.press("r");
  await page.getByRole("textbox", { name: "Title" }).fill("Stopped in time");
  await page.keyboard.press("Enter");
  await expect(other.getByRole("heading", { name: "Stopped in time" })).toBeVisible();
  await page.locator("body").click({ position: { x: 5, y: 5 } });
  await page.keyboard.press("g");
  await page.keyboard.press("h");
  await expect(page.getByRole("heading", { name: "What shall we build?" })).toBeVisible();
});

test("hostile words stay words", async ({ page }) => {
  const asked: string[] = [];
  page.on("request", (request) => asked.push(request.url()));
  page.on("dialog", () => { throw new Error("a script ran"); });
  const wish = [
    "# Look",
    "<script>alert(1)</script> <img src=x onerror=alert(2)> <iframe src=https://outside.example></iframe>",
    "![picture](https://outside.example/picture.png) [run](javascript:alert(3)) [data](data:text/html,x) [file](file:///etc/passwd)",
    "[good](https://example.com/a?b=1&c=2) <style>body{display:none}</style>",
    "| a | <b>b</b> |\n| --- | --- |\n| <svg onload=alert(4)> | `<i>` |",
  ].join("\n\n");
  await beginSession(page, wish);
  const prompt = page.locator(".prompt").first();
  await expect(prompt).toContainText("<script>alert(1)</script>");
  await expect(prompt).toContainText("<svg onload=alert(4)>");
  expect(await prompt.locator("script, img, iframe, style, svg, .prose b, .prose i").count()).toBe(0);
  const links = await prompt.locator("a").evaluateAll((all) => all.map((a) => [a.getAttribute("href"), a.getAttribute("rel"), a.getAttribute("target")]));
  expect(links).toEqual([
    ["https://outside.example/picture.png", "noopener noreferrer nofollow", "_blank"],
    ["https://example.com/a?b=1&c=2", "noopener noreferrer nofollow", "_blank"],
  ]);
  expect(asked.filter((url) => url.includes("outside.example"))).toEqual([]);
});

test("a pull request of nothing is refused, and what was written stays", async ({ page }) => {
  const address = await beginSession(page, "Say hello");
  await page.getByRole("button", { name: "Stop" }).or(page.locator(".turn-end")).first().waitFor();
  if (await page.getByRole("button", { name: "Stop" }).isVisible()) await page.keyboard.press("Escape");
  await untilTurnEnds(page);
  await page.goto(`${address}/pull-request`);
  await page.getByLabel("Description").fill("Something worth keeping");
  await page.getByRole("button", { name: "Open pull request" }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await accessible(page, "refused pull request");
  await page.reload();
  await expect(page.getByLabel("Description")).toHaveValue("Something worth keeping");
});
