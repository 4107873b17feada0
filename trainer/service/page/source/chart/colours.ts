/** Colours of curves, from the style sheet, so that light and dark are told in one place. */

const COLOURS = 7; // --c0 … --c6: the palette of Okabe and Ito
const DASHES: readonly number[][] = [[], [7, 4], [2, 3], [9, 3, 2, 3]];

const dark = matchMedia("(prefers-color-scheme: dark)");
let known = new Map<string, string>();
const listeners = new Set<() => void>();
dark.addEventListener("change", () => {
  known = new Map();
  for (const listener of listeners) listener();
});

export function whenColoursChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** What a variable of the style sheet is now. */
export function tone(name: string): string {
  let value = known.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    known.set(name, value);
  }
  return value;
}

export const lineColour = (tint: number): string => tone(`--c${tint % COLOURS}`);

/** A dash: beyond the palette's end curves differ by it. */
export function dashOf(tint: number, dashed = false): number[] {
  return DASHES[(Math.floor(tint / COLOURS) + (dashed ? 1 : 0)) % DASHES.length]!;
}

const SVG = "http://www.w3.org/2000/svg";

/** A short piece of the line, for legends. */
export function sample(tint: number, dashed = false): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 26 10");
  svg.setAttribute("class", `sample c${tint % COLOURS}`);
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", "M1 5h24");
  line.setAttribute("stroke-dasharray", dashOf(tint, dashed).join(" "));
  svg.append(line);
  return svg;
}
