/** Passes a child's stream on, and ends it when the child is gone, even if a process it left behind holds it open. */
import { PassThrough, type Readable } from "node:stream";

/**
 * The same bytes as `source`, with its back-pressure. After `exited`, a stream on which nothing came for `leftoverMs`
 * although its reader keeps up is ended: who still holds it is not the child. A reader that destroys the result closes
 * the source, as a closed pipe does.
 */
export function relay(source: Readable, exited: Promise<unknown>, leftoverMs: number): Readable {
  const target = new PassThrough();
  let lastAt = performance.now();
  source.on("data", (chunk: Buffer) => {
    lastAt = performance.now();
    if (!target.write(chunk)) source.pause();
  });
  target.on("drain", () => source.resume());
  const end = () => {
    if (!target.writableEnded) target.end();
  };
  source.once("end", end);
  source.once("close", end);
  source.once("error", end);
  // Ending is no failure for the child's side; without a listener an error here would end the whole program.
  target.on("error", () => {});

  let timer: NodeJS.Timeout | undefined;
  target.once("close", () => {
    clearInterval(timer);
    source.destroy();
  });
  exited.then(
    () => {
      if (target.closed || source.closed) return;
      lastAt = performance.now();
      timer = setInterval(() => {
        const readerIsBehind = source.isPaused() || target.readableLength > 0 || target.writableLength > 0;
        if (readerIsBehind || source.readableEnded) lastAt = performance.now();
        else if (performance.now() - lastAt >= leftoverMs) source.destroy();
      }, leftoverMs / 8);
    },
    () => {},
  );
  return target;
}
