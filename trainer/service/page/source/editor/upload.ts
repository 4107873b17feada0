/** Sends a data file: hashed here, sent piece by piece, gone on with where it broke off. */

import { Away, Refused, send } from "../api";
import { Sha256 } from "./sha256";

const SLICE = 4 * 2 ** 20;
const PIECE = 8 * 2 ** 20;
const TRIES = 6;

export interface Sent { sha256: string; name: string; as: string }

/** `told` hears what is done, and which part of it. Raises `Refused`, or `Away` after some tries. */
export async function upload(
  file: File, told: (doing: string, part: number) => void, signal: AbortSignal,
): Promise<Sent> {
  const hash = new Sha256();
  for (let at = 0; at < file.size; at += SLICE) {
    hash.update(new Uint8Array(await file.slice(at, at + SLICE).arrayBuffer()));
    signal.throwIfAborted();
    told("Hashing", Math.min(1, (at + SLICE) / file.size));
  }
  const sha256 = hash.hex();
  for (let tries = 1, at = -1; ; tries += 1) {
    try {
      if (at < 0) at = await received(sha256, file.size, signal);
      while (at < file.size) {
        told("Sending", at / file.size);
        const piece = file.slice(at, at + PIECE);
        await send("PUT", `/data/${sha256}`, { body: piece, signal, headers: {
          "Content-Type": "application/octet-stream",
          "Upload-Offset": String(at), "Upload-Length": String(file.size),
        } });
        at += piece.size;
        tries = 1;
      }
      told("Sent", 1);
      return { sha256, name: file.name, as: fileKind(file.name) };
    } catch (error) {
      // the connection broke, or the service has more or less of it than was thought: ask it
      const again = error instanceof Away || (error instanceof Refused && [409, 429, 503].includes(error.status));
      if (!again || tries >= TRIES) throw error;
      at = -1;
      told("Waiting for the service", 0);
      await new Promise((done) => setTimeout(done, 500 * 2 ** tries));
      signal.throwIfAborted();
    }
  }
}

/** How many bytes of it the service has. */
async function received(sha256: string, size: number, signal: AbortSignal): Promise<number> {
  try {
    const response = await send("HEAD", `/data/${sha256}`, { signal });
    return Number(response.headers.get("Upload-Offset") ?? size);
  } catch (error) {
    if (error instanceof Refused && error.status === 404) return 0;
    throw error;
  }
}

/** The kind of a file, as `as` says it: `csv`, `csv.gz`, `parquet`. */
export function fileKind(name: string): string {
  const found = /\.([a-z]+)(\.(?:gz|zst|bz2|xz|zip))?$/.exec(name.toLowerCase());
  return found ? `${found[1]}${found[2] ?? ""}` : "csv";
}

/** Where a source goes in a spec, and what is written there. */
export function sourceIn(text: string, sent: Sent): { from: number; to: number; insert: string } {
  const source = `{upload: ${sent.sha256}, as: ${sent.as}}`;
  const line = /^([ \t]+)source:[ \t]*(.*)$/m.exec(text);
  if (line) {
    const end = line.index + line[0].length;
    // a source of several lines ends where the indentation comes back
    const deeper = new RegExp(`^(?:\\n(?:${line[1]}[ \\t]+.*|[ \\t]*(?=\\n)))*`).exec(text.slice(end))?.[0] ?? "";
    const to = line[2]!.trim() && !/^[{[][^}\]]*$/.test(line[2]!) ? end : end + deeper.trimEnd().length;
    return { from: line.index, to, insert: `${line[1]}source: ${source}  # ${sent.name}` };
  }
  const data = /^data:[ \t]*$/m.exec(text);
  if (data) {
    const at = data.index + data[0].length;
    return { from: at, to: at, insert: `\n  source: ${source}  # ${sent.name}` };
  }
  const end = text.endsWith("\n") || !text ? "" : "\n";
  return { from: text.length, to: text.length, insert: `${end}data:\n  source: ${source}  # ${sent.name}\n` };
}
