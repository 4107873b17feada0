// The norms of gradients while a model was trained, and what they were at an epoch.

const CHART = { width: 640, height: 280, left: 62, right: 14, top: 12, bottom: 38 };
const MOST_TICKS = 6;
const isDrawn = (v) => v > 0 && Number.isFinite(v); // a logarithmic axis has no place for others
const lineStyle = (i) => `c${i % 6} d${Math.floor(i / 6) % 4}`;

/** Where an epoch and a norm are in the chart, and the powers of ten between which it is. */
function scales({ epochs, norms }) {
  const first = epochs[0], span = epochs[epochs.length - 1] - first || 1;
  const powers = Object.values(norms).flat().map(Number).filter(isDrawn).map(Math.log10);
  const low = powers.length ? Math.floor(Math.min(...powers)) : 0;
  const high = Math.max(low + 1, powers.length ? Math.ceil(Math.max(...powers)) : 1);
  const width = CHART.width - CHART.left - CHART.right;
  const height = CHART.height - CHART.bottom - CHART.top;
  return {
    low, high,
    x: (epoch) => CHART.left + ((epoch - first) / span) * width,
    y: (norm) => CHART.top + ((high - Math.log10(norm)) / (high - low)) * height,
  };
}

function drawAxes({ epochs }, { low, high, x, y }) {
  const text = (across, down, words, anchor) =>
    s("text", { x: across, y: down, "text-anchor": anchor }, words);
  const every = Math.max(1, Math.ceil((high - low) / MOST_TICKS));
  const lines = [];
  for (let power = low; power <= high; power += every) {
    const down = y(10 ** power), right = CHART.width - CHART.right;
    lines.push(s("path", { class: "grid", d: `M${CHART.left} ${down}H${right}` }),
      text(CHART.left - 7, down + 4, number(10 ** power), "end"));
  }
  const last = epochs[epochs.length - 1], below = CHART.height - 18;
  return [...lines, text(CHART.left, below, epochs[0], "middle"), text(x(last), below, last, "end"),
    text((CHART.left + CHART.width) / 2, CHART.height - 4, "epoch", "middle")];
}

function drawLine(norms, epochs, i, { x, y }) {
  let pen = "M", d = "";
  norms.map(Number).forEach((v, k) => {
    if (isDrawn(v)) d += `${pen}${x(epochs[k]).toFixed(1)} ${y(v).toFixed(1)}`;
    pen = isDrawn(v) ? "L" : "M";
  });
  return s("path", { class: `line ${lineStyle(i)}`, d });
}

/** The line at an epoch, with a point on each curve. */
function drawMark({ epochs, norms }, k, { x, y }) {
  const across = x(epochs[k]);
  const points = Object.values(norms).map((values, i) => isDrawn(Number(values[k]))
    ? s("circle", { class: `dot ${lineStyle(i)}`, cx: across, cy: y(Number(values[k])), r: 4 }) : "");
  const line = `M${across} ${CHART.top}V${CHART.height - CHART.bottom}`;
  return [s("path", { class: "mark", d: line }), ...points];
}

function normRow(name, i, cell) {
  const line = s("path", { class: `line ${lineStyle(i)}`, d: "M1 8H35" });
  return h("tr", {},
    h("td", {}, s("svg", { class: "sample", viewBox: "0 0 36 16", "aria-hidden": "true" }, line)),
    h("th", { scope: "row" }, nodes.has(name) ? nameOf(name) : name), cell);
}

function drawHistory(history) {
  const { epochs, norms } = history, names = Object.keys(norms), scale = scales(history);
  const last = epochs.length - 1, mark = s("g"), cells = names.map(() => h("td"));
  const slider = h("input", { type: "range", id: "epoch", min: 0, max: last, value: last });
  const output = h("output", { for: "epoch", id: "epoch-shown" });
  const pick = () => {
    const k = Number(slider.value);
    output.textContent = epochs[k];
    slider.setAttribute("aria-valuetext", `epoch ${epochs[k]}`);
    names.forEach((name, i) => { cells[i].textContent = number(norms[name][k]); });
    mark.replaceChildren(...drawMark(history, k, scale));
  };
  slider.addEventListener("input", pick);
  $("history").append(
    h("h2", {}, "Norm of each gradient while the model was trained"),
    s("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img",
      "aria-label": "Norm of each parameter's gradient by epoch, logarithmic" },
    drawAxes(history, scale), names.map((name, i) => drawLine(norms[name], epochs, i, scale)), mark),
    h("p", { class: "slider" }, h("label", { for: "epoch" }, "Epoch"), slider, output),
    h("div", { class: "wide" }, h("table", {}, h("tbody", {},
      names.map((name, i) => normRow(name, i, cells[i]))))));
  $("history").hidden = false;
  pick();
}

