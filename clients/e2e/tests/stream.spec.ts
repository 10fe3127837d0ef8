import { expect, test } from "@playwright/test";
import { beginSession, COLLEAGUE, rows, untilTurnEnds, WISH } from "./look.ts";

test("while the connection is cut the page says so, and afterwards nothing is missing", async ({ page, context, browser }) => {
  // Playwright stands between the page and the server and cuts the socket in the middle of the turn, again and again.
  let cuts = 0;
  await page.routeWebSocket(/\/sessions\/[^/]+\/stream/, (socket) => {
    const server = socket.connectToServer();
    let frames = 0;
    server.onMessage((message) => {
      frames += 1;
      socket.send(message);
      if (frames === 9 && cuts < 4) {
        cuts += 1;
        void socket.close();
        void server.close();
      }
    });
  });
  const address = await beginSession(page, WISH);
  await untilTurnEnds(page);
  expect(cuts).toBeGreaterThan(1);
  const cut = await rows(page);
  const calm = await context.newPage();
  await calm.goto(address);
  await untilTurnEnds(calm);
  expect(cut).toEqual(await rows(calm));

  const away = await (await browser.newContext({ storageState: "results/owner.json" })).newPage();
  await away.goto(address);
  await away.locator(".prompt").first().waitFor();
  await away.getByRole("textbox", { name: "Prompt" }).fill("kept while away");
  await away.context().setOffline(true);
  await expect(away.getByText("You are offline.")).toBeVisible();
  await away.getByRole("button", { name: "Send" }).click();
  await expect(away.getByRole("alert")).toContainText("cannot be reached");
  await away.context().setOffline(false);
  await expect(away.getByText("You are offline.")).toBeHidden();
  await away.reload();
  await expect(away.getByRole("textbox", { name: "Prompt" })).toHaveValue("kept while away");
});

test("the list of sessions is live, also after its connection was cut, and is not asked for again and again", async ({ page, browser }) => {
  const cut: Array<() => void> = [];
  await page.routeWebSocket(/\/stream\?list/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((message) => socket.send(message));
    cut.push(() => { void socket.close(); void server.close(); });
  });
  let asked = 0;
  page.on("request", (request) => { if (/\/api\/v1\/sessions(\?|$)/.test(request.url())) asked += 1; });
  await page.goto("/");
  await expect(page.locator(".session-row, .empty").first()).toBeVisible();

  const other = await (await browser.newContext({ storageState: COLLEAGUE })).newPage();
  const address = await beginSession(other, WISH);
  const link = `a[href="${address}"]`;
  await expect(page.locator(link)).toBeVisible();
  cut.at(-1)?.();
  await expect.poll(() => cut.length).toBeGreaterThan(1);
  await untilTurnEnds(other);
  const ended = page.locator("section.group").filter({ has: page.getByRole("heading", { name: /^(Waiting|Done)/ }) });
  await expect(ended.locator(link)).toBeVisible();
  expect(asked).toBe(0);
});

test("who reads further up is not moved by what arrives below", async ({ page }) => {
  await page.setViewportSize({ width: 900, height: 420 });
  await beginSession(page, `${WISH}\n\n${"a long line of words\n\n".repeat(30)}`);
  const scroller = page.locator(".scroller");
  await page.locator(".prompt").waitFor();
  const distance = (): Promise<number> => scroller.evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight);
  await expect.poll(distance, { message: "at first the newest is in sight" }).toBeLessThan(60);
  await scroller.evaluate((e) => { e.scrollTop = 40; });
  await expect(page.getByRole("button", { name: "Latest" })).toBeVisible();
  const top = await scroller.evaluate((e) => e.scrollTop);
  const stop = page.getByRole("button", { name: "Stop" });
  await expect(stop).toBeVisible();
  await expect(stop).toBeHidden({ timeout: 150_000 });
  expect(await scroller.evaluate((e) => e.scrollTop)).toBe(top);
  await page.getByRole("button", { name: "Latest" }).click();
  await expect.poll(distance).toBeLessThan(60);
});
