// The steps through the graph, and the drawing of it at each of them.

const SVG = "http://www.w3.org/2000/svg";
const BOX = { width: 118, height: 84, across: 204, down: 112, margin: 26 };
const PAUSE = 1700; // milliseconds between steps that play by themselves
const ACROSS = 5; // layers that fit beside the panel
const ROOM = 10; // characters of a label on an edge
const LEAST = 0.7, MOST = 1.5; // of its size, between which the graph is scaled to fit
const TABLE = 64, TABLE_COLUMNS = 10; // entries and columns up to which numbers are printed
const SIGNS = { add: "+", sub: "−", mul: "×", div: "÷", neg: "−", square: "x²", sqrt: "√",
  exp: "exp", log: "log", sigmoid: "σ", matmul: "@", sum: "Σ", transpose: "ᵀ", minimum: "min",
  logistic_loss: "logistic", log_softmax: "log softmax", leaky_relu: "leaky", expand_like: "⇉" };

const $ = (id) => document.getElementById(id);
const boxOf = new Map(data.boxes.flatMap((box) => box.members.map((name) => [name, box])));
const outputOf = (box) => box.members[box.members.length - 1];
const order = data.nodes.map((node) => node.name);
let example = 0, at = 0, playing = null;

const stepOf = (name) => data.examples[example].steps[name];
const valueOf = (name) => {
  if (name in data.transposes) {
    const value = stepOf(data.transposes[name]).value;
    return value.data ? transposed(value) : { ...value, shape: [...value.shape].reverse() };
  }
  return nodes.has(name) ? stepOf(name).value : null;
};
const gradientOf = (name) => stepOf(name).gradient;
const termOf = (name, i) => stepOf(name).paths[i].term || gradientOf(name);

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  return filled(element, attributes, children);
}

function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

// Steps -----------------------------------------------------------------------------------------

/** Forward a box at a time; backward a box, or a path of the chain rule, at a time. */
function makeSteps() {
  const found = [{ kind: "start" }];
  for (const box of data.boxes) {
    if (!box.members.every(isLeaf)) found.push({ kind: "forward", box });
  }
  found.push({ kind: "seed", box: boxOf.get(data.of), name: data.of });
  for (const box of [...data.boxes].reverse()) {
    if (data.grouped) {
      if (box !== boxOf.get(data.of) || box.members.length > 1) found.push({ kind: "group", box });
      continue;
    }
    const name = outputOf(box), count = data.examples[0].steps[name].paths.length;
    for (let i = 0; name !== data.of && i < Math.max(count, 1); i += 1) {
      found.push({ kind: "path", box, name, i, count });
    }
  }
  return [...found, { kind: "end" }];
}

const steps = makeSteps();
const isBackward = (step) => ["seed", "path", "group", "end"].includes(step.kind);

/** What is known after a step: the boxes with values, and of each node how many terms. */
function known() {
  const values = new Set(data.boxes.filter((box) => box.members.every(isLeaf)));
  const terms = new Map();
  for (const step of steps.slice(0, at + 1)) {
    if (step.kind === "forward") values.add(step.box);
    if (step.kind === "seed") terms.set(data.of, 0);
    if (step.kind === "path") terms.set(step.name, step.i + 1);
    if (step.kind === "group") for (const name of step.box.members) terms.set(name, Infinity);
  }
  return { values, terms };
}

/** A gradient as far as its terms are added. */
function partial(name, count) {
  const { gradient, paths } = stepOf(name);
  if (count >= paths.length || !gradient.data) return gradient;
  const sum = gradient.data.map(
    (_, j) => paths.slice(0, count).reduce((a, _p, i) => a + Number(termOf(name, i).data[j]), 0));
  return { shape: gradient.shape, data: sum, norm: Math.hypot(...sum) };
}

// The graph -------------------------------------------------------------------------------------

const group = (box) => box.members.length > 1;
const middle = ([layer, line]) => [
  BOX.margin + BOX.width / 2 + layer * BOX.across, BOX.margin + BOX.height / 2 + line * BOX.down];

function wire(route) {
  const half = BOX.width / 2, points = route.map(middle);
  let [x, y] = points[0];
  let path = `M${x + half + 1} ${y}`;
  points.slice(1).forEach(([nx, ny], i) => {
    const from = x + half, to = nx - half - (i === points.length - 2 ? 8 : 0), bend = (to - from) / 2;
    path += `C${from + bend} ${y} ${to - bend} ${ny} ${to} ${ny}`;
    if (i < points.length - 2) path += `H${nx + half}`;
    [x, y] = [nx, ny];
  });
  return path;
}

function drawGraph() {
  const width = 2 * BOX.margin + BOX.width + (data.layers - 1) * BOX.across;
  const height = 2 * BOX.margin + BOX.height + (data.rows - 1) * BOX.down;
  const arrows = ["", "forward", "backward"].map((kind) => s("marker",
    { id: `arrow${kind}`, viewBox: "0 0 10 10", refX: 4, refY: 5, markerWidth: 10, markerHeight: 10,
      markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" },
    s("path", { d: "M0 0L10 5L0 10z", class: `arrow ${kind}` })));
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`,
    style: `width: clamp(${LEAST * width}px, 100%, ${MOST * width}px)` },
    s("defs", {}, arrows), data.edges.map(drawEdge), data.boxes.map(drawBox));
  $("graph").append(svg);
}

function drawEdge(edge) {
  edge.path = s("path", { d: wire(edge.route) });
  edge.label = s("text");
  edge.patch = s("rect", { class: "patch", rx: 4, height: 18 });
  edge.element = s("g", { class: "edge" }, edge.path, edge.patch, edge.label);
  return edge.element;
}

function drawBox(box) {
  const [x, y] = middle(box.at), name = outputOf(box), op = nodes.get(name).op;
  const leaf = isLeaf(name);
  box.element = s("g", { class: "box", tabindex: 0, role: "button",
    transform: `translate(${x - BOX.width / 2} ${y - BOX.height / 2})` });
  box.element.append(
    s("title", {}, group(box) ? box.members.map(plain).join(", ") : `${name}: ${formulaText(name)}`),
    group(box) ? s("rect", { class: "under", x: 6, y: 6, width: BOX.width, height: BOX.height, rx: 12 }) : "",
    s("rect", { class: "frame", width: BOX.width, height: BOX.height,
      rx: op === "input" ? 26 : op === "parameter" ? 3 : 12 }),
    drawName(group(box) ? box.name : name, op === "input" ? 18 : 11));
  if (leaf) box.element.append(s("text", { class: "kind", x: BOX.width - (op === "input" ? 16 : 9), y: 21 },
    op === "parameter" ? "param" : op));
  else if (!group(box)) box.element.append(...badge(op));
  box.numbers = s("g");
  box.element.append(box.numbers);
  const go = () => { stop(); show(stepFor(box)); };
  box.element.addEventListener("click", go);
  box.element.addEventListener("keydown", (event) => {
    if (event.key === "Enter") go();
  });
  return box.element;
}

function drawName(name, x) {
  const found = parts(name), base = found.base + (found.hat ? "\u0302" : "");
  const long = found.base.length > 2, room = long ? 11 : 9;
  const cut = (text, most) => text.length > most ? `${text.slice(0, most - 1)}…` : text;
  if (isPart(name)) return s("text", { class: "name part", x, y: 21 }, cut(pretty(expanded(name)), 15));
  const text = s("text", { class: long ? "name long" : "name", x, y: 21 }, cut(base, room));
  if (found.index && found.base.length < 9) {
    text.append(s("tspan", { class: "sub", dy: 4 }, cut(found.index, 11 - Math.min(base.length, 6))));
  }
  return text;
}

/** A formula as a line of text with indices, hats and signs. */
function pretty(text) {
  return tokens(text).map(({ value, space, kind }) => {
    const found = kind === "name" ? parts(value) : { base: value, index: "" };
    const digits = (found.index.match(/^\d+/)?.[0] ?? "").replace(/\d/g, (c) => "₀₁₂₃₄₅₆₇₈₉"[c]);
    return space + found.base.replace("-", "−") + (found.hat ? "\u0302" : "") + digits;
  }).join("");
}

function badge(op) {
  const sign = SIGNS[op] || op, width = Math.max(22, 8 + 7 * sign.length);
  const left = BOX.width - width + 11, y = width > 60 ? -21 : -15;
  return [
    s("rect", { class: "badge", x: left, y, width, height: 22, rx: 11 }),
    s("text", { class: "op", x: left + width / 2, y: y + 15.5 }, sign),
  ];
}

/** The step of a box: of its value, or of its gradient on the way back. */
function stepFor(box) {
  const there = steps.map((step, i) => step.box === box ? i : -1).filter((i) => i >= 0);
  const back = there.filter((i) => isBackward(steps[i]));
  const forward = there.filter((i) => !isBackward(steps[i]));
  if (isBackward(steps[at]) || !forward.length) return back[back.length - 1] ?? at;
  return forward[0];
}

/** A value or gradient in a box: the number, cells, or the norm. */
function drawNumbers(array, y, kind) {
  const text = (words) => s("text", { class: kind, x: 26, y: y + 4.5 }, words);
  const sign = s("text", { class: kind, x: 11, y: y + 4.5 }, kind === "gradient" ? "∂" : "=");
  if (isNumber(array)) return [sign, text(number(array.data[0]))];
  const across = array.shape[array.shape.length - 1], down = sizeOf(array) / across;
  const side = Math.min(14, 80 / across, 18 / down);
  if (!array.data || side < 5) return [sign, text(`‖·‖ ${number(array.norm)}`)];
  const most = Math.max(...array.data.map((v) => Math.abs(Number(v))), 1e-300);
  return [sign, ...array.data.map((v, i) => s("rect", {
    class: `cell ${Number(v) < 0 ? "less" : "more"}`, width: side, height: side,
    x: 27 + (i % across) * side, y: y - (down * side) / 2 + Math.floor(i / across) * side,
    "fill-opacity": (Math.abs(Number(v)) / most || 0).toFixed(3) }))];
}

function paintGraph() {
  const { values, terms } = known(), step = steps[at];
  for (const box of data.boxes) {
    const name = outputOf(box), value = stepOf(name).value, count = terms.get(name);
    const classes = ["box", nodes.get(name).op];
    if (values.has(box)) classes.push("known");
    if (name === data.of) classes.push("loss");
    if (step.box === box) classes.push("now", isBackward(step) ? "backward" : "forward");
    box.element.setAttribute("class", classes.join(" "));
    box.numbers.replaceChildren(
      isNumber(value) ? "" : s("text", { class: "dims", x: BOX.width - 9, y: 36 }, shown(value.shape)),
      ...(values.has(box) ? drawNumbers(value, 49, "value") : []),
      ...(count === undefined ? [] : drawNumbers(partial(name, count), 70, "gradient")));
    box.element.setAttribute("aria-label", boxWords(box, values.has(box), count));
  }
  for (const edge of data.edges) paintEdge(edge, values, terms, step);
}

function boxWords(box, known, count) {
  const name = outputOf(box);
  const value = known ? `, value ${arrayWords(stepOf(name).value)}` : "";
  const gradient = count === undefined ? "" : `, gradient ${arrayWords(partial(name, count))}`;
  return `${group(box) ? box.name : plain(name)}${value}${gradient}`;
}

const arrayWords = (array) => isNumber(array) ? number(array.data[0])
  : `shape ${shown(array.shape)}, norm ${number(array.norm)}`;

function paintEdge(edge, values, terms, step) {
  const source = data.boxes.find((box) => box.name === edge.from);
  const target = data.boxes.find((box) => box.name === edge.to);
  let kind = values.has(target) ? "forward" : "", active = false, label = "";
  if (step.kind === "forward" && step.box === target) active = true;
  for (const name of source.members) {
    const count = terms.get(name), paths = stepOf(name).paths;
    if (count === undefined) continue;
    paths.forEach((path, i) => {
      if (i >= count || boxOf.get(path.through) !== target) return;
      const now = (step.kind === "path" && step.name === name && step.i === i) ||
        (step.kind === "group" && step.box === source);
      kind = "backward";
      active ||= now;
      const term = termOf(name, i);
      if (data.grouped || !isNumber(term)) return;
      const numbers = now && factors(name, i);
      label = numbers && numbers.length <= ROOM ? numbers : number(term.data[0]);
    });
  }
  edge.element.setAttribute("class", `edge ${kind} ${active ? "active" : ""}`);
  edge.path.removeAttribute("marker-start");
  edge.path.setAttribute("marker-end", `url(#arrow${kind === "backward" ? "" : kind})`);
  if (kind === "backward") {
    edge.path.removeAttribute("marker-end");
    edge.path.setAttribute("marker-start", "url(#arrowbackward)");
  }
  edge.label.textContent = label;
  edge.patch.setAttribute("width", label ? 8 + 7.2 * label.length : 0);
  if (label) {
    const place = edge.path.getPointAtLength(edge.path.getTotalLength() / 2);
    edge.label.setAttribute("x", place.x);
    edge.label.setAttribute("y", place.y + 4.5);
    edge.patch.setAttribute("x", place.x - 4 - 3.6 * label.length);
    edge.patch.setAttribute("y", place.y - 9);
  }
}

/** "2 · 1" of a path between numbers; empty of one between arrays. */
function factors(name, i) {
  const path = stepOf(name).paths[i], upstream = gradientOf(path.through);
  if (!path.local || !isNumber(path.local) || !isNumber(upstream)) return "";
  if (nodes.get(path.through).op === "matmul") return "";
  const local = number(path.local.data[0]);
  return `${number(upstream.data[0])} · ${local.startsWith("−") ? `(${local})` : local}`;
}

