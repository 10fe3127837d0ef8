import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type APIRequestContext, expect, test } from "@playwright/test";
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

  await copyRepository(page.request, new URL(page.url()).origin);

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

/** The session test merges; it is run twice, so there is a second repository that is like the first. Stock git copies it. */
async function copyRepository(request: APIRequestContext, origin: string): Promise<void> {
  const headers = { "x-hangar": "1", origin };
  const repos = (await (await request.get("/api/v1/repos")).json()) as Array<{ repo: string; default_branch: string }>;
  const [source] = repos;
  if (!source) throw new Error("the server has no repository");
  const copy = `${source.repo}-phone`;
  if (repos.some((known) => known.repo === copy)) return;
  expect((await request.post("/api/v1/repos", { headers, data: { repo: copy, source: null } })).ok()).toBe(true);
  const token = (await (await request.post("/api/v1/tokens", { headers, data: { label: "copying" } })).json()) as { id: number; secret: string };
  const folder = mkdtempSync(join(tmpdir(), "hangar-e2e-"));
  const at = (repo: string): string => origin.replace("://", `://x:${token.secret}@`) + `/git/${repo}.git`;
  try {
    execFileSync("git", ["clone", "-q", "--bare", at(source.repo), folder]);
    execFileSync("git", ["-C", folder, "push", "-q", "--force", at(copy), `${source.default_branch}:${source.default_branch}`]);
  } finally {
    rmSync(folder, { recursive: true });
    await request.delete(`/api/v1/tokens/${token.id}`, { headers });
  }
}
