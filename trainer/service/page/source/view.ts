/** What every view is: an element, and how it lets go of what it listens to. */

import type { Place } from "./router";
import type { Who } from "./types";

export interface View {
  title: string;
  body: HTMLElement;
  /** The address changed within the view; false where it must be opened anew. */
  moved?(place: Place): boolean;
  /** A key without a modifier was pressed outside of fields; true if it meant something here. */
  key?(key: string): boolean;
  /** It is seen again, as it was left. A view that has this is kept while another one is seen. */
  back?(): void;
  close?(): void;
}

export type Open = (place: Place, who: Who) => View;
