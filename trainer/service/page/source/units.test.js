// What of the page can be told without a browser: node --test. Sources are bundled as they are.
import { build } from "esbuild";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const made = await build({
  stdin: {
    contents: ["editor/context", "editor/schema", "editor/sha256", "editor/upload", "chart/series", "spec", "format",
      "router", "changes"].map((name) => `export * from "./${name}";`).join("\n"),
    resolveDir: import.meta.dirname ?? new URL(".", import.meta.url).pathname,
  },
  bundle: true, format: "esm", write: false, logLevel: "error",
});
const page = await import(`data:text/javascript;base64,${Buffer.from(made.outputFiles[0].text).toString("base64")}`);
// A service takes specs that stand alone: its schema has none that build on another file.
const whole = JSON.parse(
  readFileSync(new URL("../../../../docs/spec.schema.json", import.meta.url), "utf8"));
whole.anyOf = whole.anyOf.filter((each) => !each.$ref.includes("/Partial"));
const schema = new page.SchemaMap(whole);

/** What may stand where `|` is: `key sgd: momentum, …`, or `value sgd.momentum: …`. */
function offered(marked) {
  const at = marked.indexOf("|");
  const context = page.contextAt(marked.replace("|", ""), at);
  const found = schema.at(context);
  const names = context.kind === "key"
    ? found.flatMap((one) => Object.keys(one.properties ?? {})).filter((name) => !context.seen.has(name))
    : found.flatMap((one) => one.enum ?? (one.const === undefined ? [] : [one.const]));
  return { place: `${context.kind} ${context.levels.map(({ key }) => key).join(".")}`, names: new Set(names) };
}

for (const [marked, place, some, never] of [
  ["n|", "key ", ["name", "data", "sgd"], ["units"]],
  ["data:\n  |", "key data", ["source", "target"], ["epochs"]],
  ["data:\n  source: iris\n  |", "key data", ["target"], ["source"]],
  ["data:\n  |\n  source: iris\n", "key data", ["target"], ["source"]],
  ["data:\n  source: |", "value data.source", ["iris", "digits"], []],
  ["data:\n  split: {validation: 0.1, |}", "key data.split", ["test"], ["validation"]],
  ["data:\n  source: {synthetic: |}", "value data.source.synthetic", ["xor", "spirals"], ["iris"]],
  ["data:\n  source:\n    inline:\n      x: [[0, 0],\n        [1, 1]]\n      |", "key data.source.inline", ["y"], ["x"]],
  ["model:\n  layers:\n    - {units: 16, activation: |}\n", "value model.layers.0.activation", ["tanh", "relu"], []],
  ["model:\n  layers:\n    - {units: 1}\n    - {units: 2, |}\n", "key model.layers.1", ["activation"], ["units"]],
  ["model:\n  layers:\n    - units: 16\n      act|\n", "key model.layers.0", ["activation", "init"], ["rate"]],
  ["model:\n  layers:\n    - type: dropout\n      |\n", "key model.layers.0", ["rate"], ["units"]],
  ["model:\n  layers:\n  - type: |\n", "value model.layers.0.type", ["dense", "concat"], []],
  ["model:\n  layers:\n    - {units: 1}\n  loss: |", "value model.loss", ["squared", "huber"], []],
  ["sgd:\n  schedule: {type: cosine, |}", "key sgd.schedule", ["warmup", "cycle"], ["factor"]],
  ["sgd:\n  momentum: 0.9\n  n|\n  epochs: 5\n", "key sgd", ["nesterov"], ["momentum", "epochs"]],
  ["evaluation: {metrics: [auc, |]}", "value evaluation.metrics.1", ["f1", "r2"], []],
  ["name: 'a: {b'  # {c\nsgd:\n  |", "key sgd", ["epochs"], []],
]) {
  test(`offers what fits at ${JSON.stringify(marked)}`, () => {
    const found = offered(marked);
    assert.equal(found.place, place);
    for (const name of some) assert.ok(found.names.has(name), `${name} of ${[...found.names]}`);
    for (const name of never) assert.ok(!found.names.has(name), `no ${name}`);
  });
}

test("hashes as SHA-256 does, in whatever pieces it comes", () => {
  for (const length of [0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, 100_003]) {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 7);
    for (const piece of [1, 37, 64, 4096].filter((size) => size > 1 || length < 200)) {
      const hash = new page.Sha256();
      for (let at = 0; at < length; at += piece) hash.update(bytes.subarray(at, at + piece));
      assert.equal(hash.hex(), createHash("sha256").update(bytes).digest("hex"));
    }
  }
});

test("a file that was sent becomes the source, wherever one stood", () => {
  const sent = { sha256: "ab", name: "x.csv.gz", as: page.fileKind("x.CSV.gz") };
  const source = "source: {upload: ab, as: csv.gz}  # x.csv.gz";
  for (const [before, after] of [
    ["", `data:\n  ${source}\n`],
    ["name: a\ndata:\n  target: y\n", `name: a\ndata:\n  ${source}\n  target: y\n`],
    ["data:\n  source: iris\n  target: y\n", `data:\n  ${source}\n  target: y\n`],
    ["data:\n  source:\n    csv: a.csv\n    header: false\n  target: y\n", `data:\n  ${source}\n  target: y\n`],
  ]) {
    const { from, to, insert } = page.sourceIn(before, sent);
    assert.equal(before.slice(0, from) + insert + before.slice(to), after);
  }
});

test("series that grow put in place what is told again", () => {
  const series = { a: [[1, 1], [2, 2], [3, 3]] };
  page.grow(series, { a: [[3, 30], [4, 40]], b: [[1, null]] });
  assert.deepEqual(series, { a: [[1, 1], [2, 2], [3, 30], [4, 40]], b: [[1, null]] });
  assert.deepEqual(page.groups({ val_loss: [], grad_norm: [], train_loss: [], train_loss_step: [], learning_rate: [] })
    .map(({ key, names }) => [key, ...names]),
  [["loss", "train_loss", "val_loss"], ["grad_norm", "grad_norm"], ["learning_rate", "learning_rate"],
    ["loss_step", "train_loss_step"]]);
});

test("specs differ by the path of a value", () => {
  const one = { a: { b: 1, c: [1, 2] }, layers: [{ units: 1 }], "x.y": 0 };
  const other = { a: { b: 2, c: [1, 2] }, layers: [{ units: 1 }, { units: 3 }], "x.y": 1 };
  assert.deepEqual(page.differences([one, other]), [
    { path: "a.b", values: [1, 2] }, { path: '"x.y"', values: [0, 1] }, { path: "layers.1.units", values: [undefined, 3] },
  ]);
});

test("numbers, times and sizes are short", () => {
  assert.deepEqual([0.0691453, 1.23e-7, 12400, 0, NaN, null, 2e9].map((value) => page.number(value)),
    ["0.06915", "1.23e-7", "12,400", "0", "NaN", "–", "2.00e9"]);
  assert.deepEqual([0.01, 20000, 1e-5, 2e6, 0, -3e-7].map(page.power), ["0.01", "20,000", "10⁻⁵", "2·10⁶", "0", "-3·10⁻⁷"]);
  assert.deepEqual([0.23, 12, 300, 7500, 360000].map(page.span), ["0.2 s", "12 s", "5 min", "2 h 5 min", "4 d"]);
  assert.deepEqual([512, 153600, 5e9].map(page.bytes), ["512 B", "150 KB", "4.66 GB"]);
});

test("addresses come back as they were", () => {
  const hash = page.hashOf(["jobs", "a/b"], { state: "queued,running", text: "x y", none: "" });
  assert.equal(hash, "#/jobs/a%2Fb?state=queued,running&text=x+y");
  const { path, query } = page.placeOf(hash);
  assert.deepEqual([path, query.get("state"), query.get("text")], [["jobs", "a/b"], "queued,running", "x y"]);
});

test("events make a job what it is", () => {
  const job = { id: "a", state: "running", reason: "", wish: "pause", attempt: 1, epoch: 0, epochs: 9, metrics: {} };
  const event = (kind, data) => ({ number: 1, job: "a", time: 5, kind, data });
  const grown = page.after(job, event("progress", { epoch: 2, step: 8, series: { val_loss: [[1, 3], [2, 4]], "g/W": [[2, 1]] } }));
  assert.deepEqual([grown.epoch, grown.step, grown.metrics], [2, 8, { val_loss: 4, best_val_loss: 3 }]);
  const over = page.after(grown, event("state", { from: "running", to: "failed", reason: "why", attempt: 2 }));
  assert.deepEqual([over.state, over.reason, over.wish, over.ended, over.attempt], ["failed", "why", null, 5, 2]);
});
