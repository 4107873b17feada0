/** Elements made by hand. What is shown is set as text, never read as HTML. */

export type Child = Node | string | number | null | undefined | false | Child[];
type Listeners = { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };

export interface Props {
  class?: string | null;
  on?: Listeners;
  [attribute: string]: string | number | boolean | null | undefined | Listeners;
}

/** An element with attributes, listeners and children. `false` and `null` leave an attribute out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K, props: Props = {}, ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value as Listeners)) {
        element.addEventListener(event, listener as EventListener);
      }
    } else set(element, name, value as string | number | boolean | null | undefined);
  }
  add(element, children);
  return element;
}

/** Sets an attribute, or takes it away; touches nothing that is so already. */
export function set(
  element: Element, name: string, value: string | number | boolean | null | undefined,
): void {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else {
    const text = value === true ? "" : String(value);
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}

function add(element: Element, children: Child[]): void {
  for (const child of children) {
    if (Array.isArray(child)) add(element, child);
    else if (child !== null && child !== undefined && child !== false) {
      element.append(typeof child === "number" ? String(child) : child);
    }
  }
}

/** Puts these children in place of what an element holds. */
export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  add(element, children);
}

/** Sets a text only where it differs, so that screen readers and selections are left in peace. */
export function say(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

const SVG = "http://www.w3.org/2000/svg";

/** A small picture of one path, 16 by 16, in the colour of the text. */
export function icon(path: string, label?: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
  } else svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

export const ICONS = {
  cancel: "M4 4l8 8M12 4l-8 8",
  pause: "M5 3.5v9M11 3.5v9",
  resume: "M5 3l7.5 5L5 13z",
  up: "M8 13V3.5M4 7.5l4-4 4 4",
  down: "M8 3v9.5M4 8.5l4 4 4-4",
  plus: "M8 3v10M3 8h10",
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  edit: "M3 13l.7-3L10.5 3.200l2.300 2.300L6 12.300z",
  compare: "M2.500 12.500c2-8 4-8 5.500-4s3.500 3 5.500-5",
  file: "M4 1.500h5.500L12.500 4.500v10h-8.500zM9 2v3h3",
  out: "M9 3h4v10H9M2 8h7M6 5l-3.500 3L6 11",
} as const;

/** A button with a picture, and words where it is not clear without. */
export function button(
  words: string, options: { icon?: keyof typeof ICONS; quiet?: boolean; class?: string; title?: string;
    disabled?: boolean; type?: "button" | "submit" }, act?: (event: MouseEvent) => void,
): HTMLButtonElement {
  const picture = options.icon ? icon(ICONS[options.icon]) : null;
  return h("button", {
    type: options.type ?? "button",
    class: options.class,
    "aria-label": options.quiet ? words : null,
    title: options.title ?? (options.quiet ? words : null),
    disabled: options.disabled,
    on: act ? { click: act } : {},
  }, picture, options.quiet ? null : words);
}

/** Calls back once no further call came for so long; `now()` does not wait. */
export function debounced(act: () => void, milliseconds: number): { soon(): void; now(): void; drop(): void } {
  let timer = 0;
  const drop = (): void => clearTimeout(timer);
  const now = (): void => { drop(); act(); };
  return { soon: () => { drop(); timer = window.setTimeout(act, milliseconds); }, now, drop };
}

/** Calls back at the next frame, once for all calls before it. */
export function atFrame(act: () => void): { (): void; drop(): void } {
  let frame = 0;
  const ask = (): void => {
    frame ||= requestAnimationFrame(() => { frame = 0; act(); });
  };
  return Object.assign(ask, { drop: () => { cancelAnimationFrame(frame); frame = 0; } });
}
