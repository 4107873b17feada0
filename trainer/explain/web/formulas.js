// Formulas are read from their texts and typeset as MathML.

// Reading ---------------------------------------------------------------------------------------

const NAMES = [...new Set([...nodes.keys(), ...Object.keys(data.transposes)])]
  .sort((a, b) => b.length - a.length);

function tokens(text) {
  const found = [];
  let space = "";
  for (let at = 0; at < text.length;) {
    const rest = text.slice(at);
    const name = NAMES.find((n) => rest.startsWith(n) && !/^[\w/(]/.test(rest.slice(n.length)));
    const other = /^(\s+|\d+(\.\d*)?(e[+-]?\d+)?|[A-Za-z_]\w*'?|.)/su.exec(rest)[0];
    const value = name || other;
    if (value.trim()) {
      found.push({ value, space, kind: name ? "name" : /^\d/.test(value) ? "number"
        : /^[A-Za-z_]/.test(value) || "σΦφ".includes(value) ? "word" : "sign" });
    }
    space = value.trim() ? "" : value;
    at += value.length;
  }
  return found;
}

/** The tree of a formula. Throws on a text that is no formula. */
function read(text) {
  const all = tokens(text);
  let at = 0;
  const sees = (value) => all[at] && all[at].kind === "sign" && all[at].value === value;
  const takes = (value) => sees(value) && ++at;
  const need = (value) => { if (!takes(value)) throw new Error(`${value} expected: ${text}`); };
  const chain = (signs, next) => {
    let left = next();
    for (let sign; (sign = signs.find(sees));) {
      at += 1;
      left = { kind: "operation", sign, left, right: next() };
    }
    return left;
  };
  const sum = () => chain(["+", "-"], product);
  const product = () => chain(["·", "/", "@"], unary);
  function unary() {
    if (takes("-")) return { kind: "negative", of: unary() };
    if (takes("√")) return { kind: "root", of: postfix() };
    return postfix();
  }
  function postfix() {
    let tree = atom();
    for (let sign; (sign = ["²", "ᵀ"].find(sees));) {
      at += 1;
      tree = { kind: "raised", of: tree, sign };
    }
    return tree;
  }
  function atom() {
    if (takes("(")) { const of = sum(); need(")"); return { kind: "parens", of }; }
    if (takes("[")) {
      const left = sum(); need(">"); const right = sum(); need("]");
      return { kind: "indicator", left, right };
    }
    if (takes("∂")) return { kind: "word", text: `∂${all[at++].value}` };
    const token = all[at++];
    if (!token || token.kind === "sign") throw new Error(`a value expected: ${text}`);
    if (token.kind === "word" && takes("(")) {
      const of = [sum()];
      while (takes(",")) of.push(sum());
      need(")");
      return { kind: "call", name: token.value, of };
    }
    return { kind: token.kind, text: token.value };
  }
  const tree = sum();
  if (at < all.length) throw new Error(`'${all[at].value}' is not expected: ${text}`);
  return tree;
}

/** Whether a tree stands for an array, by the names in it. */
function isArray(tree, lookup) {
  if (tree.kind === "name") { const a = lookup(tree.text); return Boolean(a && !isNumber(a)); }
  if (tree.kind === "call" && ["sum", "mean"].includes(tree.name)) return false;
  return [tree.of, tree.left, tree.right].flat().some((t) => t && isArray(t, lookup));
}

// Nodes without a name of their own ---------------------------------------------------------------

const isLeaf = (name) => LEAVES.includes(nodes.get(name).op);
const LEAVES = ["input", "parameter", "state"];
const texts = new Map();

/** Whether a product of matrices is written with its matrix first, and vectors as columns. */
const isFlipped = (node) => node.op === "matmul" && node.inputs[1] in data.transposes;

/** Whether a node stands for a part of an equation: L/sub is written t - yhat. */
function isPart(name) {
  if (!nodes.has(name) || isLeaf(name) || name === data.of) return false;
  const found = /(?:^|\/)([a-z_]+)(?:\.\d+)?$/.exec(name);
  return Boolean(found) && found[1] === nodes.get(name).op && expanded(name).length <= LONGEST;
}

/** A node in a line of text: its name, or the formula of one that has no name of its own. */
function plain(name) {
  if (name in data.transposes) return `${plain(data.transposes[name])}ᵀ`;
  return isPart(name) ? expanded(name) : name;
}

/** The formula of a node in which such nodes are formulas too. */
function expanded(name) {
  if (!texts.has(name)) {
    const node = nodes.get(name), [a, b] = node.inputs;
    const all = tokens(node.formula);
    texts.set(name, isFlipped(node) ? `${operand(data.transposes[b])} ${operand(a)}` : all.map((token, i) => {
      if (token.kind !== "name") return token.space + token.value;
      const alone = all.length === 1 || (all[i - 1]?.value === "(" && all[i + 1]?.value === ")");
      return token.space + (alone ? plain(token.value) : operand(token.value));
    }).join(""));
  }
  return texts.get(name);
}

/** A node in a formula of others: between parentheses if it is a sum or product. */
function operand(name) {
  const text = plain(name);
  return isPart(name) && /^[^(]* /.test(text) ? `(${text})` : text;
}

/** A node in a formula: its name, or its own formula. */
function mathNode(name, within = false) {
  if (!isPart(name)) return mathName(name);
  const tree = read(nodes.get(name).formula);
  const written = write(tree, valueOf, false, false);
  return within && isOpen(tree) ? inParens(written) : written;
}

/** Whether a tree needs parentheses where it is multiplied. */
const isOpen = (tree, signs = "+-·@") =>
  tree.kind === "negative" || (tree.kind === "operation" && signs.includes(tree.sign));

// Typesetting -----------------------------------------------------------------------------------

/**
 * The text of a formula as MathML: with names, or with `numbers` in their places where there are
 * few enough. `lookup` tells the value of a name.
 */
function typeset(text, lookup, numbers = false) {
  try {
    return write(read(text), lookup, numbers, false);
  } catch {
    return marked(m("mtext", text), "unread");
  }
}

/** The text of a formula as a factor of a product. */
function typesetFactor(text) {
  try {
    const tree = read(text), written = write(tree, valueOf, false, true);
    return isOpen(tree, "+-") ? inParens(written) : written;
  } catch {
    return typeset(text, valueOf);
  }
}

function writeName(name, lookup, numbers, within) {
  const array = numbers ? lookup(name) : null;
  return array && isSmall(array) ? mathArray(oriented(array), within) : mathNode(name, within);
}

function write(tree, lookup, numbers, within) {
  const inside = (t, w = false) => write(t, lookup, numbers, w);
  switch (tree.kind) {
    case "number": return m("mn", tree.text);
    case "word": return m("mi", tree.text);
    case "name": return writeName(tree.text, lookup, numbers, within);
    case "parens": return inParens(inside(tree.of));
    case "negative": return row(mo("−"), inside(tree.of, true));
    case "root": return m("msqrt", inside(tree.of));
    case "indicator": return row(mo("["), inside(tree.left), mo(">"), inside(tree.right), mo("]"));
    case "raised": return raised(tree, lookup, numbers);
    case "call": return called(tree, inside);
    default: return operated(tree, lookup, numbers, inside);
  }
}

function raised(tree, lookup, numbers) {
  const source = tree.of.kind === "name" && data.transposes[tree.of.text];
  if (tree.sign === "ᵀ" && source) return writeName(source, lookup, numbers, true);
  const base = write(tree.of, lookup, numbers, true);
  return tree.sign === "ᵀ" ? superT(base) : m("msup", base, m("mn", "2"));
}

function called(tree, inside) {
  const list = tree.of.flatMap((t, i) => i ? [mo(","), inside(t)] : [inside(t)]);
  if (tree.name === "sum") return row(mo("∑"), ...list);
  const f = tree.name.length === 1 ? m("mi", tree.name) : m("mi", tree.name.replace("_", " "));
  return row(f, inParens(...list));
}

function operated({ sign, left, right }, lookup, numbers, inside) {
  if (sign === "/") return m("mfrac", inside(bare(left)), inside(bare(right)));
  if (sign === "@") {
    const matrix = right.kind === "name" && data.transposes[right.text];
    return matrix ? row(writeName(matrix, lookup, numbers, true), times(), inside(left, true))
      : row(inside(left, true), times(), inside(right, true));
  }
  const both = isArray(left, lookup) && isArray(right, lookup);
  const written = { "·": both ? "⊙" : "·", "-": "−" }[sign] || sign;
  return row(inside(left, sign === "·"), mo(written), inside(right, true));
}

const bare = (tree) => tree.kind === "parens" ? tree.of : tree;

