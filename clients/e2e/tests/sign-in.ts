import { expect, test } from "@playwright/test";
import { accessible, COLLEAGUE, fitsWindow, OWNER } from "./look.ts";

test("an owner signs in by the link, invites a colleague, and nobody else comes in", async ({ page, browser }) => {
  const code = process.env["HANGAR_CODE"] ?? "";
  expect(code, "HANGAR_CODE is set").not.toBe("");

  await page.goto("/settings");
  await expect(page.getByRole("heading", { name: "Sign in" })).toBeVisible();
  expect(new URL(page.url()).searchParams.get("from")).toBe("/settings");
  await accessible(page, "sign in");
  await page.goto("/sign-in#not-a-code");
  await expect(page.getByRole("alert")).toBeVisible();
  await accessible(page, "sign in, refused");

  await page.goto("/");
  await page.waitForURL(/\/sign-in/);
  await page.goto(`/sign-in#${code}`);
  await expect(page.getByRole("heading", { name: "What shall we build?" })).toBeVisible();
  expect(page.url(), "the code is not left in the address").not.toContain(code);
  await page.context().storageState({ path: OWNER });

  await page.goto("/settings");
  await page.getByLabel("Login").fill("grace");
  await page.getByLabel("Name", { exact: true }).fill("Grace Hopper");
  await page.getByLabel("E-mail").fill("grace@example.com");
  await page.getByRole("button", { name: "Add person" }).click();
  const link = page.getByRole("status").filter({ hasText: "A sign-in link for grace" }).locator("code");
  const url = new URL((await link.innerText()).trim());
  await accessible(page, "settings with a link");

  const colleague = await browser.newContext();
  const other = await colleague.newPage();
  await other.goto(`/sign-in${url.hash}`);
  await expect(other.getByRole("heading", { name: "What shall we build?" })).toBeVisible();
  await other.goto("/settings");
  await expect(other.getByText("Owners can add people.")).toBeVisible();
  await colleague.storageState({ path: COLLEAGUE });
  await fitsWindow(other, "settings");

  // A link works once.
  const late = await (await browser.newContext()).newPage();
  await late.goto(`/sign-in${url.hash}`);
  await expect(late.getByRole("alert")).toBeVisible();
});
