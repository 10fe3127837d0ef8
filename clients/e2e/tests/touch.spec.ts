import { expect, test } from "@playwright/test";

/** The least side of what a finger is to meet, in CSS pixels. Links inside of sentences are as large as their words. */
const TOUCH_PX_MIN = 40;

for (const path of ["/", "/settings", "SESSION", "SESSION/pull-request"]) {
  test(`everything on ${path} can be met with a thumb`, async ({ page, request }) => {
    const sessions = (await (await request.get("/api/v1/sessions")).json()) as Array<{ id: string }>;
    await page.goto(path.replace("SESSION", `/s/${sessions[0]?.id ?? ""}`));
    await page.locator("#content").waitFor();
    await expect(page.locator(".loading")).toHaveCount(0);
    const small = await page.evaluate((least) => {
      const targets = [...document.querySelectorAll<HTMLElement>("button, summary, input, textarea, .tab, .session-row a, .choice-item, .select-control, .button")];
      return targets
        .filter((target) => target.checkVisibility() && !target.matches(".choice-item input, .select-input, .select-trigger, [aria-hidden=true], [aria-hidden=true] *"))
        .map((target) => ({ name: target.outerHTML.slice(0, 90), box: target.getBoundingClientRect() }))
        .filter(({ box }) => box.width > 1 && (box.height < least - 0.5 || box.width < least - 6))
        .map(({ name, box }) => `${Math.round(box.width)}×${Math.round(box.height)} ${name}`);
    }, TOUCH_PX_MIN);
    expect(small).toEqual([]);
  });
}
