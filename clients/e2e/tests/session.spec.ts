import { expect, test } from "@playwright/test";
import { accessible, beginSession, COLLEAGUE, fitsWindow, rows, untilTurnEnds, WISH } from "./look.ts";

test("a prompt becomes a merged pull request, seen live by two", async ({ page, browser }, info) => {
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  const outside: string[] = [];
  page.on("request", (request) => { if (new URL(request.url()).origin !== new URL(info.project.use.baseURL ?? "").origin) outside.push(request.url()); });

  await page.goto("/");
  await expect(page.getByRole("button", { name: "Start" })).toBeDisabled();
  await accessible(page, "home");
  await fitsWindow(page, "home");

  const repos = (await (await page.request.get("/api/v1/repos")).json()) as Array<{ repo: string }>;
  const repo = repos.map((known) => known.repo).find((name) => name.endsWith("-phone") === (info.project.name === "phone"));
  const address = await beginSession(page, WISH, repo);
  const words = WISH.split(/[`*]/)[0]?.trim() ?? "";
  await expect(page.locator(".prompt").first()).toContainText(words);

  // A colleague opens the link in another browser and sees the same while it happens; then they leave in the middle and come back.
  const other = await (await browser.newContext({ storageState: COLLEAGUE })).newPage();
  await other.goto(address);
  await expect(other.locator(".prompt").first()).toContainText(words);

  // A second prompt waits, and is taken back.
  const box = page.getByRole("textbox", { name: "Prompt" });
  await expect(page.getByRole("button", { name: "Stop" })).toBeVisible();
  await box.fill("And something else");
  await page.getByRole("button", { name: "Queue" }).click();
  const queue = page.getByRole("region", { name: "Waiting prompts" });
  await expect(queue).toContainText("And something else");
  await expect(other.getByRole("region", { name: "Waiting prompts" })).toContainText("And something else");
  await page.getByRole("button", { name: "Take this prompt back" }).click();
  await expect(queue).toBeHidden();

  await page.locator(".tool").first().waitFor();
  await other.reload();
  await page.reload();
  const seen = await untilTurnEnds(page);
  expect(seen, "the timeline grew while it was watched").toBeGreaterThan(2);
  await untilTurnEnds(other);
  const live = await rows(page);
  expect(live.length).toBeGreaterThan(4);
  expect(await rows(other), "two browsers see the same").toEqual(live);
  await page.reload();
  await untilTurnEnds(page);
  expect(await rows(page), "a reload loses nothing").toEqual(live);

  const tool = page.locator(".tool").first();
  await tool.locator("summary").click();
  await expect(tool.getByRole("region", { name: "Input" })).toBeVisible();
  await expect(tool.getByText("Output")).toBeVisible();
  await accessible(page, "timeline");
  await fitsWindow(page, "timeline");

  await page.getByRole("link", { name: /^Changes/ }).click();
  const file = page.locator(".diff-file").first();
  await expect(file.locator("tr.added").first()).toBeVisible();
  await accessible(page, "changes");
  await fitsWindow(page, "changes");

  await page.getByRole("link", { name: /^Pull request/ }).click();
  await page.locator(".pull").waitFor();
  const open = page.getByRole("button", { name: "Open pull request" });
  if (await open.isVisible()) {
    // The agent left this step to people.
    await accessible(page, "open a pull request");
    await open.click();
  }
  await expect(page.getByText("Can be merged without conflict.")).toBeVisible();
  await accessible(page, "pull request");
  await fitsWindow(page, "pull request");

  // Nobody approves what they asked for; a colleague may.
  await page.getByRole("button", { name: "Approve" }).click();
  await expect(page.getByRole("alert")).toBeVisible();
  await other.goto(`${address}/pull-request`);
  await other.getByRole("button", { name: "Approve" }).click();
  await expect(page.locator(".rows .review")).toContainText("approved");

  await page.getByRole("radio", { name: "Squash" }).check();
  await page.getByRole("button", { name: "Merge" }).click();
  await expect(page.locator(".merge-box.merged")).toContainText("Merged");
  await expect(other.locator(".merge-box.merged"), "the colleague's page follows").toContainText("Merged");
  await accessible(page, "merged pull request");
  await page.getByRole("link", { name: "All sessions" }).click();
  await expect(page.locator(".group", { hasText: "Done" }).locator(`a[href="${address}"]`)).toBeVisible();

  expect(errors).toEqual([]);
  expect(outside, "nothing is asked of anybody else").toEqual([]);
});

test("the agent asks, and a click is the answer", async ({ page }) => {
  await beginSession(page, "Make this crate faster.");
  const answers = page.getByRole("group", { name: "Answers to the agent's question" });
  await expect(answers.getByRole("button")).toHaveCount(3);
  await expect(page.locator(".timeline")).toContainText("What may a faster levenshtein cost?");
  await expect(page.locator(".session-head")).toContainText("Asks you");
  await accessible(page, "question");
  await fitsWindow(page, "question");
  await page.goto("/");
  await expect(page.locator(".group", { hasText: "Waiting for you" }).first()).toContainText("Asks you");
  await page.goBack();
  await answers.getByRole("button", { name: "Nothing: leave it as it is" }).click();
  await expect(answers).toBeHidden();
  await expect(page.locator(".prompt").last()).toContainText("Nothing: leave it as it is");
  await expect(page.locator(".timeline")).toContainText("Then nothing changes");
});
