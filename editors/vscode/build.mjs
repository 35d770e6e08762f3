// Bundles the extension and the page of its view: `node build.mjs [--production] [--tests]`

import { copyFile, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const pictures = join(here, "..", "..", "docs", "images");
const production = process.argv.includes("--production");
const common = {
  absWorkingDir: here,
  bundle: true,
  minify: production,
  sourcemap: production ? false : "linked",
  logLevel: "warning",
};

await rm(join(here, "dist"), { recursive: true, force: true });
if (process.argv.includes("--tests")) {
  const names = (await readdir(join(here, "test"))).filter((name) => name.endsWith(".test.ts"));
  await build({
    ...common,
    entryPoints: names.map((name) => join("test", name)),
    outdir: "dist/test",
    platform: "node",
    format: "cjs",
    target: "node20",
  });
} else {
  await build({
    ...common,
    entryPoints: ["src/extension.ts"],
    outfile: "dist/extension.js",
    platform: "node",
    format: "cjs",
    target: "node20",
    external: ["vscode"],
  });
  await build({
    ...common,
    entryPoints: ["src/view/page.ts"],
    outfile: "dist/view.js",
    platform: "browser",
    format: "iife",
    target: "es2022",
  });
  // The repository has each picture once; the package needs its own.
  for (const name of ["values", "check", "call", "view", "status"]) {
    await copyFile(join(pictures, `vscode-${name}.png`), join(here, "media", `${name}.png`));
  }
}
