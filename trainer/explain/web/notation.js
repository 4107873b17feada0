"use strict";
// Numbers, arrays and names, as text and as MathML.

const LONGEST = 22; // characters of a formula that stands for its node
const FIGURES = 4, SMALL_ROWS = 4, SMALL_COLUMNS = 5;
const MATHML = "http://www.w3.org/1998/Math/MathML";
const data = JSON.parse(document.getElementById("data").textContent);
const nodes = new Map(data.nodes.map((node) => [node.name, node]));
// where equations multiply matrices with vectors, vectors are columns; else rows, as in a batch
const COLUMNS = Object.keys(data.transposes).length > 0;

// Numbers ---------------------------------------------------------------------------------------

/** A number with four significant digits. */
function number(value) {
  const v = Number(value);
  if (Number.isNaN(v)) return "NaN";
  if (!Number.isFinite(v)) return v > 0 ? "∞" : "−∞";
  const size = Math.abs(v);
  const text = size !== 0 && (size < 1e-4 || size >= 1e6)
    ? v.toExponential(FIGURES - 1).replace(/\.?0+e/, "e").replace("e+", "e")
    : String(Number(v.toPrecision(FIGURES)));
  return text.replace(/-/g, "−").replace(/^−0$/, "0");
}

const sizeOf = (array) => array.shape.reduce((a, b) => a * b, 1);
const isNumber = (array) => sizeOf(array) === 1;
const shown = (shape) => shape.length === 1 ? `${shape[0]}` : shape.join("×");

/** Rows of an array: a vector is one row. */
function rowsOf(array) {
  const columns = array.shape.length ? array.shape[array.shape.length - 1] : 1;
  const rows = [];
  for (let i = 0; i < array.data.length; i += columns) rows.push(array.data.slice(i, i + columns));
  return rows;
}

function transposed(array) {
  const rows = rowsOf(array), out = rows[0].map((_, j) => rows.map((row) => row[j]));
  return { shape: [out.length, rows.length], data: out.flat() };
}

/** As a matrix of the formulas: a vector becomes a column where vectors are columns. */
const oriented = (array) => COLUMNS && array.shape.length === 1 ? transposed(array) : array;

function isSmall(array) {
  if (!array || !array.data) return false;
  const rows = rowsOf(oriented(array));
  return rows.length <= SMALL_ROWS && rows[0].length <= SMALL_COLUMNS;
}

// Texts -----------------------------------------------------------------------------------------

/** A name in parts: letter, index, and whether it has a hat. */
function parts(name) {
  const [, group, last] = /^(?:(.*)\/)?([^/]*)$/.exec(name);
  const hat = /^(.)_?hat(\d*)$/.exec(last);
  if (hat) return { base: hat[1], index: [hat[2], group].filter(Boolean).join(", "), hat: true };
  const numbered = /^([A-Za-z])_?(\d+)$/.exec(last);
  if (numbered) return { base: numbered[1], index: [numbered[2], group].filter(Boolean).join(", ") };
  return { base: last, index: group || "" };
}

// MathML ----------------------------------------------------------------------------------------

function m(tag, ...children) {
  const element = document.createElementNS(MATHML, tag);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const row = (...children) => m("mrow", ...children.flat());
const mo = (text) => m("mo", text);
const times = () => {
  const sign = mo("⁢");
  sign.setAttribute("lspace", "0.12em");
  sign.setAttribute("rspace", "0.12em");
  return sign;
};
const marked = (element, style) => (element.setAttribute("class", style), element);

/** Between parentheses, which are as tall as what stands in them. */
function inParens(...children) {
  const signs = [mo("("), mo(")")], inside = row(...children);
  const tall = inside.querySelector("mtable, mfrac, msqrt");
  for (const sign of signs) if (!tall) sign.setAttribute("stretchy", "false");
  return row(signs[0], inside, signs[1]);
}

const superT = (element) => m("msup", element, m("mi", "T"));

/** A formula as an element of the page. */
function math(...children) {
  const element = m("math", ...children);
  element.setAttribute("displaystyle", "true");
  return element;
}

function inline(...children) {
  return m("math", ...children);
}

function mathName(name) {
  if (name in data.transposes) return superT(mathName(data.transposes[name]));
  const found = parts(name);
  let base = m("mi", found.base);
  if (found.hat) {
    base = m("mover", base, mo("^"));
    base.setAttribute("accent", "true");
  }
  if (!found.index) return base;
  return m("msub", base, /^\d+$/.test(found.index) ? m("mn", found.index) : m("mtext", found.index));
}

function mathNumber(value, within = false) {
  const text = number(value);
  const power = /^(.*)e(−?\d+)$/.exec(text);
  const element = power
    ? row(m("mn", power[1]), mo("·"), m("msup", m("mn", "10"), m("mn", power[2])))
    : m("mn", text);
  return within && text.startsWith("−") ? inParens(element) : element;
}

/** Numbers between brackets. */
function mathArray(array, within = false) {
  if (isNumber(array)) return mathNumber(array.data[0], within);
  const table = m("mtable", ...rowsOf(array).map(
    (cells) => m("mtr", ...cells.map((cell) => m("mtd", mathNumber(cell))))));
  table.setAttribute("class", "matrix");
  return row(mo("["), table, mo("]"));
}

/** ∂L/∂x */
const derivative = (of, name) =>
  m("mfrac", row(mo("∂"), mathNode(of, true)), row(mo("∂"), mathNode(name, true)));

