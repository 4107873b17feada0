/** What a run left: its files, its pictures, and its page of backpropagation. */

import { api } from "../api";
import { fill, h, icon, ICONS } from "../dom";
import { bytes } from "../format";
import { failure } from "../notice";
import type { Job, RunFile } from "../types";

const PICTURE = /\.(png|svg)$/;

export function filesPart(job: Job): HTMLElement {
  return loading(job, "Files", (files) => files.length ? h("div", { class: "scroll" },
    h("table", { class: "files" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "file"), h("th", { scope: "col" }, "size"))),
      h("tbody", {}, files.map((file) => h("tr", {},
        h("td", {}, h("a", { href: api.file(job.id, file.path), target: "_blank", rel: "noopener" },
          icon(ICONS.file), file.path)),
        h("td", { class: "right" }, bytes(file.size))))))) : null);
}

export function picturesPart(job: Job): HTMLElement {
  return loading(job, "Pictures", (files) => {
    const pictures = files.filter((file) => PICTURE.test(file.path));
    return pictures.length ? h("div", { class: "pictures" }, pictures.map((file) => h("figure", {},
      h("a", { href: api.file(job.id, file.path), target: "_blank", rel: "noopener" },
        h("img", { src: api.file(job.id, file.path), alt: nameOf(file), loading: "lazy" })),
      h("figcaption", {}, nameOf(file))))) : null;
  });
}

export function explainPart(job: Job): HTMLElement {
  return loading(job, "Backpropagation", (files) => {
    const page = files.find((file) => file.path.endsWith(".html") && /explain|graph/.test(file.path))
      ?? files.find((file) => file.path.endsWith(".html"));
    // a page of its own, in a box from which it can ask the service nothing in the user's name
    return page ? h("iframe", { class: "explain", title: "The run's graph, step by step",
      sandbox: "allow-scripts", src: api.file(job.id, page.path) }) : null;
  });
}

function nameOf(file: RunFile): string {
  return file.path.replace(/^.*\//, "").replace(/\.\w+$/, "").replaceAll("_", " ");
}

function loading(job: Job, title: string, show: (files: RunFile[]) => HTMLElement | null): HTMLElement {
  const body = h("div", {}, h("p", { class: "soft" }, "Loading…"));
  const ask = async (): Promise<void> => {
    try {
      const files = await api.files(job.id);
      fill(body, show(files) ?? h("p", { class: "empty" }, NONE[title] ?? "There are none."));
    } catch (error) { fill(body, failure(error, () => void ask())); }
  };
  void ask();
  return h("section", {}, h("h2", {}, title), body);
}

const NONE: Record<string, string> = {
  Files: "The run has left no files yet.",
  Pictures: "Pictures are drawn at a run's end: curves, mistakes, weights.",
  Backpropagation: "A run keeps a page of its own network, to step through forward and backward, at its end.",
};
