/** Long lists, read a page at a time. */
import type { BlobInfo } from "./port.ts";

const PAGE = 500;

type ListPage = (options: { after?: string; limit: number }) => Promise<BlobInfo[]>;

/** All that a list has, in its order. */
export async function* pages(list: ListPage): AsyncGenerator<BlobInfo> {
  let after: string | undefined;
  for (;;) {
    const page = await list({ limit: PAGE, ...(after !== undefined && { after }) });
    yield* page;
    if (page.length < PAGE) return;
    after = page.at(-1)?.name;
  }
}
