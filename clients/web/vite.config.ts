import { defineConfig } from "vite";
import solid from "vite-plugin-solid";

// `npm run dev` talks to a server that runs already: HANGAR_URL, else the fake of `npm run fake`.
const server = process.env["HANGAR_URL"] ?? "http://127.0.0.1:4400";

export default defineConfig({
  plugins: [solid()],
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false }, emptyOutDir: true, reportCompressedSize: false },
  server: { proxy: { "/api": { target: server, ws: true, changeOrigin: false } } },
});
