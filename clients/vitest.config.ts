import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["protocol/test/**/*.test.ts", "ui/test/**/*.test.ts", "web/test/**/*.test.ts"], passWithNoTests: false } });
