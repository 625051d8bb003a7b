/** What is asked of Google, told one operation at a time: for counting what a run costs. */
export interface GoogleUse {
  readonly service: "storage" | "firestore";
  /** As Google bills it: writes and lists of objects are class A, reads class B, deletes free; documents each by itself. */
  readonly kind: "write" | "list" | "read" | "delete";
  /** Google's own word for it, such as `compose`. */
  readonly operation: string;
  /** The object or document; of a list its prefix or collection. */
  readonly name: string;
  /** Bytes of content that were sent or received; of a compose those that it copied. */
  readonly bytes: number;
}

export type OnUse = (use: GoogleUse) => void;
