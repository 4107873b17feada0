// What the panel tells of a step, in formulas and numbers.

const formulaText = (name) => Object.entries(data.transposes).reduce(
  (text, [t, source]) => text.replaceAll(t, `${source}ᵀ`), nodes.get(name).formula);

function equation(...sides) {
  const rows = sides.filter(Boolean).map((side, i, all) => m("mtr",
    m("mtd", i === 0 ? all[0] : row()), m("mtd", i === 0 ? mo("") : mo("=")),
    m("mtd", i === 0 ? row() : side)));
  // the left side stands in the row of the first right side
  if (rows.length > 1) {
    const [left] = rows.splice(0, 1);
    rows[0].replaceChild(left.firstChild, rows[0].firstChild);
  }
  return h("div", { class: "formula", tabindex: 0, role: "group", "aria-label": "Formula" },
    math(displayed(m("mtable", ...rows))));
}

function displayed(table) {
  table.setAttribute("displaystyle", "true");
  return table;
}

function panelOf(step) {
  switch (step.kind) {
    case "start": return startPanel();
    case "forward": return data.grouped ? groupPanel(step.box, false) : forwardPanel(outputOf(step.box));
    case "seed": return seedPanel();
    case "path": return pathPanel(step);
    case "group": return groupPanel(step.box, true);
    default: return endPanel();
  }
}

const heading = (words, ...children) => h("h2", {}, words, ...children);
const nameOf = (name) => inline(mathNode(name));
const listed = (kind) => order.filter((name) => nodes.get(name).op === kind);

function startPanel() {
  const leaves = order.filter(isLeaf);
  return [
    heading("The graph"),
    h("p", { class: "words" }, "The values of its leaves are given. Forward, each node computes its ",
      "value from those to its left, up to ", nameOf(data.of), ". Backward, each node hands its ",
      "gradient on to those that it took."),
    leafTable(leaves, false),
  ];
}

function leafTable(names, gradients) {
  const row = (name) => h("tr", {}, h("th", { scope: "row" }, nameOf(name)),
    h("td", {}, nodes.get(name).op), h("td", { class: "value" }, full(stepOf(name).value)),
    gradients ? h("td", { class: "gradient" }, full(gradientOf(name))) : null);
  const title = (...words) => h("th", { scope: "col" }, ...words);
  return h("div", { class: "wide" }, h("table", { class: "leaves" },
    h("thead", {}, h("tr", {}, title(""), title(""), title("value"), gradients ? title("gradient") : null)),
    h("tbody", {}, names.map(row))));
}

/** The numbers where they are few, else what sums them up. */
function full(array) {
  return isSmall(array) && !isNumber(array) ? inline(mathArray(oriented(array))) : brief(array);
}

function brief(array) {
  if (isNumber(array)) return number(array.data[0]);
  if (array.data && array.shape.length === 1 && sizeOf(array) <= SMALL_COLUMNS) {
    return `(${array.data.map(number).join(", ")})`;
  }
  return arrayWords(array);
}

function forwardPanel(name) {
  const node = nodes.get(name), value = stepOf(name).value;
  const inputs = node.inputs.map(valueOf).filter(Boolean);
  const numbers = inputs.some(isSmall) ? typeset(node.formula, valueOf, true) : null;
  return [
    heading("The value of ", nameOf(name)),
    equation(mathNode(name), isPart(name) ? null : typeset(node.formula, valueOf), numbers,
      isSmall(value) ? mathArray(oriented(value)) : null),
    pair(name, undefined),
  ];
}

function seedPanel() {
  return [
    heading("The gradient of ", nameOf(data.of), " with respect to itself"),
    equation(derivative(data.of, data.of), m("mn", "1")),
    h("p", { class: "words" }, "Here backprop begins: what ", nameOf(data.of), " changes by is what ",
      "it changes by. From here every gradient is made of those to its right."),
    pair(data.of, 0),
  ];
}

function pathPanel({ name, i, count }) {
  const { paths, symbol } = stepOf(name), all = i + 1 >= count;
  const title = heading("The gradient with respect to ", nameOf(name));
  if (!count) {
    return [title, h("p", { class: "words" }, "No path that can be differentiated leads from it to ",
      nameOf(data.of), ": it is 0."), pair(name, 0)];
  }
  const total = gradientOf(name);
  const sums = (writes) => {
    const terms = paths.map((path, k) => {
      const written = writes(path, k);
      return written && marked(row(written), k === i ? "now-term" : k > i ? "later" : "");
    });
    return terms.every(Boolean) ? row(terms.flatMap((t, k) => k ? [mo("+"), t] : [t])) : null;
  };
  const numbers = sums((path, k) => numericTerm(path, name, k, count > 1));
  const added = count > 1 && isSmall(total)
    ? sums((_, k) => mathArray(oriented(termOf(name, k)), k > 0)) : null;
  const letters = /\p{L}/u.test(symbol) ? sums((path) => typeset(path.symbol, valueOf)) : null;
  return [
    title,
    equation(derivative(data.of, name), sums((path) => chainTerm(path, name)),
      sums((path) => localTerm(path)), letters, numbers, added,
      all && isSmall(total) ? mathArray(oriented(total)) : null),
    h("ul", { class: "terms" }, paths.slice(0, i + 1).map((path, k) => pathLine(path, name, k, k === i)),
      all && count > 1 ? h("li", { class: "sum" }, "sum ", h("b", {}, brief(total))) : null),
    pair(name, i + 1),
  ];
}

/** One term of the chain rule with its derivatives as fractions. */
function chainTerm(path, name) {
  const through = nodes.get(path.through), up = derivative(data.of, path.through);
  if (through.op === "matmul") return matmulTerm(through, path, up, (n) => mathNode(n, true));
  const local = derivative(path.through, name);
  if (through.op.endsWith("softmax")) return row(superT(inParens(local)), times(), up);
  if (through.op === "transpose") return superT(inParens(up));
  return row(up, mo(joint(path, name)), local);
}

/** · of numbers, ⊙ of arrays element by element. */
function joint(path, name) {
  return isNumber(gradientOf(path.through)) || isNumber(valueOf(name)) ? "·" : "⊙";
}

/** The same with what the local derivative is; null where that says nothing more. */
function localTerm(path) {
  const through = nodes.get(path.through), up = derivative(data.of, path.through);
  const matrices = ["matmul", "transpose", "softmax", "log_softmax"].includes(through.op);
  if (matrices || !path.localSymbol) return null;
  const both = !isNumber(gradientOf(path.through)) && path.localSymbol.match(/[A-Za-z]/);
  return row(up, mo(both ? "⊙" : "·"), typesetFactor(path.localSymbol));
}

function matmulTerm(through, path, upstream, writes) {
  const other = through.inputs[1 - path.position];
  const plainOther = data.transposes[other] || other;
  if (isFlipped(through)) {
    return path.position === 0 ? row(superT(writes(plainOther)), times(), upstream)
      : row(upstream, times(), superT(writes(other)));
  }
  return path.position === 0 ? row(upstream, times(), superT(writes(other)))
    : row(superT(writes(other)), times(), upstream);
}

/** A term with numbers in it; null where they are too many. */
function numericTerm(path, name) {
  const through = nodes.get(path.through), upstream = gradientOf(path.through);
  if (!isSmall(upstream)) return null;
  const up = mathArray(oriented(upstream), false);
  if (through.op === "matmul") {
    const other = valueOf(through.inputs[1 - path.position]);
    if (!isSmall(other)) return null;
    const flat = isFlipped(through) && path.position === 0 ? transposed(other) : other;
    const writes = () => mathArray(oriented(flat), true);
    return matmulTerm(through, path, up, writes);
  }
  const local = path.local, size = sizeOf(valueOf(name));
  if (!local || !isSmall(local)) return null;
  if (through.op.endsWith("softmax")) return row(superT(mathArray(local)), times(), up);
  const known = [size, sizeOf(upstream), 1].includes(sizeOf(local));
  if (!known) return null;
  const shaped = sizeOf(local) === size ? { ...local, shape: valueOf(name).shape } : local;
  const sign = isNumber(upstream) || isNumber(local) ? "·" : "⊙";
  const product = row(up, mo(sign), mathArray(oriented(shaped), true));
  return sizeOf(upstream) > 1 && size === 1 ? row(mo("∑"), inParens(product)) : product;
}

/** "through c: 2 · 1 = 2" */
function pathLine(path, name, i, now) {
  const term = termOf(name, i), numbers = factors(name, i);
  const symbol = path.symbol && path.symbol !== "1" ? [inline(typeset(path.symbol, valueOf)), " = "] : [];
  return h("li", now ? { class: "now" } : {}, "through ", nameOf(path.through), ": ",
    ...symbol, numbers ? `${numbers} = ` : "", h("b", {}, brief(term)));
}

function groupPanel(box, backward) {
  const members = backward ? [...box.members].reverse() : box.members;
  const title = backward ? "Gradients in " : "Values in ";
  const line = (name) => h("tr", {}, h("th", { scope: "row" }, nameOf(name)),
    h("td", {}, isLeaf(name) ? nodes.get(name).op : inline(typeset(nodes.get(name).formula, valueOf))),
    h("td", {}, brief(backward ? gradientOf(name) : stepOf(name).value)));
  const output = outputOf(box), others = box.members.filter((n) => nodes.get(n).op === "parameter");
  return [
    heading(title, h("span", {}, box.name)),
    h("div", { class: "wide" }, h("table", {}, h("tbody", {}, members.map(line)))),
    ...[output, ...others].map((name) => pair(name, backward ? Infinity : undefined)),
  ];
}

function endPanel() {
  const parameters = listed("parameter");
  const names = parameters.length ? parameters : listed("input");
  return [
    heading("All gradients of ", nameOf(data.of)),
    h("p", { class: "words" }, parameters.length
      ? "SGD takes a step against the gradient: each parameter minus the learning rate times it."
      : "One pass back through the graph gave the gradient with respect to every input."),
    leafTable(names, true),
  ];
}

// Arrays ----------------------------------------------------------------------------------------

/** The value of a node, and its gradient as far as it is known, in full. */
function pair(name, count) {
  const gradient = count === undefined ? null : partial(name, count);
  return h("div", { class: "pair" },
    h("div", { class: "of-value" }, h("h3", {}, "Value of ", nameOf(name)),
      arrayOf(stepOf(name).value, name)),
    gradient && h("div", { class: "of-gradient" },
      h("h3", {}, "Gradient ", inline(derivative(data.of, name))),
      arrayOf(gradient, `∂${data.of}/∂${name}`)));
}

function arrayOf(array, label) {
  if (isNumber(array)) return h("p", { class: "scalar" }, number(array.data[0]));
  const columns = array.shape[array.shape.length - 1];
  if (array.data && sizeOf(array) <= TABLE && columns <= TABLE_COLUMNS) return tableOf(array, label);
  const summary = h("p", { class: "summary" }, `shape ${shown(array.shape)}`, h("br"),
    `from ${number(array.min)} to ${number(array.max)}`, h("br"), `norm ${number(array.norm)}`);
  if (!array.data) return h("div", {}, summary, h("p", { class: "summary" }, "too large to be shown here"));
  const all = h("details", { class: "all" }, h("summary", {}, `show all ${sizeOf(array)}`));
  all.addEventListener("toggle", () => {
    if (all.open && all.children.length === 1) all.append(cellsOf(array, label));
  });
  return h("div", {}, summary, all);
}

function shade(value, most) {
  const v = Number(value), share = Math.abs(v) / most || 0;
  return `rgb(var(--${v < 0 ? "less" : "more"}) / ${share.toFixed(3)})`;
}

const largest = (array) => array.data.reduce((most, v) => Math.max(most, Math.abs(Number(v))), 1e-300);
const place = (array, i, j) => array.shape.length === 1 ? `[${j + 1}]` : `[${i + 1}, ${j + 1}]`;

function cell(tag, array, v, i, j, most) {
  const title = `${place(array, i, j)} ${v}`;
  return h(tag, { style: `background:${shade(v, most)}`, title }, number(v));
}

function tableOf(array, label) {
  const columns = array.shape[array.shape.length - 1];
  const most = largest(array) / 0.45;
  if (array.shape.length === 1 && columns > SMALL_COLUMNS) {
    return h("div", { class: "flow", role: "group", "aria-label": label },
      array.data.map((v, j) => cell("span", array, v, 0, j, most)));
  }
  return h("div", { class: "array", tabindex: 0, role: "group", "aria-label": label },
    h("table", { class: "numbers" }, h("tbody", {}, rowsOf(array).map((cells, i) => h("tr", {},
      cells.map((v, j) => cell("td", array, v, i, j, most)))))));
}

function cellsOf(array, label) {
  const rows = rowsOf(array), most = largest(array), wrap = rows.length === 1;
  const columns = wrap ? Math.min(16, rows[0].length) : rows[0].length;
  return h("div", { class: "array", tabindex: 0, role: "img",
    "aria-label": `${label}, a heat map of ${sizeOf(array)} cells` },
    h("div", { class: "cells", style: `grid-template-columns:repeat(${columns},11px)` },
      rows.flatMap((cells, i) => cells.map((v, j) => h("i", { style: `background:${shade(v, most)}`,
        title: `${place(array, i, j)} ${number(v)}` })))));
}

