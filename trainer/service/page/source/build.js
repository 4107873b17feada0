// Makes ../static of these sources: the same bytes wherever it runs. With --check it only compares.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, "..", "static");

const made = await build({
  absWorkingDir: here,
  entryPoints: { app: "main.ts" },
  outdir: "../static",
  bundle: true,
  minify: true,
  format: "esm",
  splitting: false,
  loader: { ".yaml": "text" },
  target: ["es2022", "chrome111", "firefox114", "safari16.4"],
  charset: "utf8",
  legalComments: "none", // LICENSES.txt has them
  metafile: true,
  write: false,
});

/** @type {Map<string, string>} */
const files = new Map(made.outputFiles.map((file) => [file.path.replace(/^.*[\\/]/, ""), file.text]));
const page = readFileSync(join(here, "index.html"), "utf8").replace(
  /(app\.(?:js|css))/g, // the address changes with the content, so that it may be kept for ever
  (name) => `${name}?v=${createHash("sha256").update(files.get(name) ?? "").digest("hex").slice(0, 12)}`,
);
files.set("index.html", page);
files.set("icon.svg", readFileSync(join(here, "icon.svg"), "utf8"));
files.set("LICENSES.txt", licences(Object.keys(made.metafile.inputs)));

if (process.argv.includes("--check")) {
  const there = existsSync(folder) ? readdirSync(folder) : [];
  const wrong = [...new Set([...files.keys(), ...there])].filter((name) =>
    !there.includes(name) || files.get(name) !== readFileSync(join(folder, name), "utf8"));
  if (wrong.length) {
    console.error(`page: ${wrong.join(", ")} in static/ are not what the sources make: run make page`);
    process.exit(1);
  }
} else {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of files) writeFileSync(join(folder, name), text);
}
for (const [name, text] of files) console.log(`${name} ${(Buffer.byteLength(text) / 1024).toFixed(1)} KB`);

/** The licences of the packages that are in the bundle, as they ask for. */
function licences(inputs) {
  const names = inputs.map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  return [...new Set(names)].filter(Boolean).sort().map((name) => {
    const place = join(here, "node_modules", name);
    const about = JSON.parse(readFileSync(join(place, "package.json"), "utf8"));
    const file = readdirSync(place).find((entry) => /^licen[cs]e/i.test(entry));
    if (!file) throw new Error(`${name} has no licence to show`);
    return `${name} ${about.version}\n\n${readFileSync(join(place, file), "utf8").trim()}\n`;
  }).join(`\n${"-".repeat(72)}\n\n`);
}
