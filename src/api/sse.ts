/** Reads server-sent events from a byte stream, whatever its chunks are. */

export interface SseMessage {
  readonly event: string;
  readonly data: string;
  /** The last id that was sent, with this event or before it; null before the first. */
  readonly id: string | null;
}

/** Feed it bytes; it gives back the events that are complete. Comments and unknown fields are dropped. */
export function sseParser(): (bytes: Uint8Array) => SseMessage[] {
  const decoder = new TextDecoder();
  let rest = "";
  let event = "";
  let data: string[] = [];
  let id: string | null = null;

  const field = (line: string, messages: SseMessage[]) => {
    if (line === "") {
      if (data.length > 0) messages.push({ event: event === "" ? "message" : event, data: data.join("\n"), id });
      event = "";
      data = [];
      return;
    }
    const colon = line.indexOf(":");
    const name = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "event") event = value;
    else if (name === "data") data.push(value);
    else if (name === "id" && !value.includes("\0")) id = value;
  };

  return (bytes) => {
    const messages: SseMessage[] = [];
    let text = rest + decoder.decode(bytes, { stream: true });
    // A carriage return at the very end may be the first half of a line end.
    const held = text.endsWith("\r") ? "\r" : "";
    text = text.slice(0, text.length - held.length);
    const lines = text.split(/\r\n|\n|\r/);
    rest = (lines.pop() ?? "") + held;
    for (const line of lines) field(line, messages);
    return messages;
  };
}
