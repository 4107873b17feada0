// Words for the step, and going from step to step.

// Words -----------------------------------------------------------------------------------------

const equals = (array) => `${isNumber(array) ? " = " : ", "}${arrayWords(array)}`;

/** What a screen reader is told of a step. */
function words(step) {
  switch (step.kind) {
    case "start": return "The values of the leaves are given.";
    case "forward": return forwardWords(outputOf(step.box));
    case "seed": return `Backward: ${slope(data.of)} = 1.`;
    case "path": return `Backward: ${slope(step.name)}${pathWords(step)}.`;
    case "group": {
      const name = outputOf(step.box);
      return `Backward through ${step.box.name}: ${slope(name)}${equals(gradientOf(name))}.`;
    }
    default: return `All gradients of ${data.of} are known.`;
  }
}

const slope = (name) => `∂${data.of}/∂${operand(name)}`;

function forwardWords(name) {
  const formula = data.grouped || isPart(name) ? "" : ` = ${expanded(name)}`;
  return `Forward: ${plain(name)}${formula}${equals(stepOf(name).value)}.`;
}

function pathWords({ name, i, count }) {
  if (!count) return " = 0";
  const numbers = factors(name, i), through = plain(stepOf(name).paths[i].through);
  const term = `${numbers && `${numbers} = `}${arrayWords(termOf(name, i))}`;
  const sum = count > 1 && i + 1 === count ? `, sum ${arrayWords(gradientOf(name))}` : "";
  return `, through ${through}: ${term}${sum}`;
}

// Going -----------------------------------------------------------------------------------------

function show(to) {
  at = Math.max(0, Math.min(steps.length - 1, to));
  const step = steps[at], way = isBackward(step) ? "backward" : "forward";
  paintGraph();
  $("panel").className = `panel ${step.kind === "start" ? "" : way}`;
  const phase = step.kind === "start" ? "Before the first step" : step.kind === "end" ? "Done"
    : way === "forward" ? "Forward" : "Backward";
  $("panel").replaceChildren(
    h("p", { class: "phase" }, phase, step.box ? [" · ", h("code", {}, step.box.name)] : ""),
    ...arranged(panelOf(step).filter(Boolean)));
  $("at").value = at;
  $("at").setAttribute("aria-valuetext", `step ${at} of ${steps.length - 1}: ${words(step)}`);
  $("count").textContent = `${at} / ${steps.length - 1}`;
  $("said").textContent = words(step);
  for (const id of ["first", "back"]) $(id).disabled = at === 0;
  for (const id of ["next", "last"]) $(id).disabled = at === steps.length - 1;
  if (at === steps.length - 1) stop();
  reveal(step.box);
}

/** The title, and beside each other what tells of the step and the values in full. */
function arranged([title, ...rest]) {
  const isPair = (part) => part.classList.contains("pair");
  const told = rest.filter((part) => !isPair(part));
  return [title, h("div", { class: "parts" }, h("div", {}, told), h("div", {}, rest.filter(isPair)))];
}

/** Scrolls the graph in its own frame, so that a box is seen. */
function reveal(box) {
  const frame = $("graph");
  if (!box) { frame.scrollLeft = steps[at].kind === "start" ? 0 : frame.scrollLeft; return; }
  const drawn = frame.firstChild.clientWidth / frame.firstChild.viewBox.baseVal.width;
  const x = middle(box.at)[0] * drawn, left = frame.scrollLeft, margin = BOX.width * drawn;
  if (x - margin < left || x + margin > left + frame.clientWidth) {
    frame.scrollLeft = x - frame.clientWidth / 2;
  }
}

function stop() {
  clearInterval(playing);
  playing = null;
  $("play").textContent = "Play";
}

function play() {
  if (playing !== null) { stop(); return; }
  if (at === steps.length - 1) show(0);
  playing = setInterval(() => show(at + 1), PAUSE);
  $("play").textContent = "Pause";
}

const GO = { first: () => 0, back: () => at - 1, next: () => at + 1, last: () => steps.length - 1 };
const KEYS = { Home: "first", ArrowLeft: "back", ArrowRight: "next", End: "last" };

function pressed(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const target = event.target, scrolls = target.scrollWidth > target.clientWidth + 1 && target.tabIndex === 0;
  if (target.matches("input") || (scrolls && target.id !== "graph" && KEYS[event.key])) return;
  if (KEYS[event.key]) {
    stop();
    show(GO[KEYS[event.key]]());
  } else if (event.key === " " && !target.closest("button, summary")) {
    play();
  } else {
    return;
  }
  event.preventDefault();
}

function choose() {
  example = Number($("example").value) - 1;
  const { notes, steps: numbers } = data.examples[example];
  $("which").textContent = `${example + 1} of ${data.examples.length}`;
  $("notes").replaceChildren(...notes.map((note) => h("li", {}, note)));
  $("about").replaceChildren("Backprop of ", nameOf(data.of), ` = ${arrayWords(numbers[data.of].value)}`,
    `, through ${order.length} nodes`, data.grouped ? ` in ${data.boxes.length} groups.` : ".");
  show(at);
}

// Start -----------------------------------------------------------------------------------------

$("title").textContent = data.name || "Backprop";
$("at").max = steps.length - 1;
$("choose").hidden = data.examples.length < 2;
$("example").max = data.examples.length;
$("heat").hidden = data.examples.every((e) => Object.values(e.steps).every((n) => isNumber(n.value)));
document.querySelector("main").classList.toggle("wide", data.layers > ACROSS);
drawGraph();
for (const [id, to] of Object.entries(GO)) {
  $(id).addEventListener("click", () => { stop(); show(to()); });
}
$("play").addEventListener("click", play);
$("at").addEventListener("input", () => { stop(); show(Number($("at").value)); });
$("example").addEventListener("input", choose);
document.addEventListener("keydown", pressed);
if (data.history?.epochs.length) drawHistory(data.history);
choose();
