/** What is remembered of servers: how each wants to know who asks, and which one the user took for a project of Google Cloud. */
import path from "node:path";
import type { Env } from "../context.ts";
import { cacheFolder } from "../folders.ts";
import { readJsonObject, writePrivately } from "../private-files.ts";
import { trustPath } from "../trust.ts";

/** What a server wants to know of who asks. */
export interface Access {
  /** What is in front of it, such as Cloud Run, wants an ID token. */
  readonly front: boolean;
  /** The server itself wants one. */
  readonly own: boolean;
  /** It is the user's own, so that a token may go there that is good elsewhere too. */
  readonly isOurs: boolean;
}

export const OPEN: Access = { front: false, own: false, isOurs: false };

const accessPath = (env: Env) => path.join(cacheFolder(env), "servers.json");

/** Undefined where nothing is known. */
export async function knownAccess(env: Env, url: string): Promise<Access | undefined> {
  const found = (await readJsonObject(accessPath(env)))?.[url];
  if (typeof found !== "object" || found === null) return undefined;
  const { front, own, isOurs } = found as Record<string, unknown>;
  return { front: front === true, own: own === true, isOurs: isOurs === true };
}

export async function rememberAccess(env: Env, url: string, access: Access): Promise<void> {
  const all = (await readJsonObject(accessPath(env))) ?? {};
  await writePrivately(accessPath(env), `${JSON.stringify({ ...all, [url]: access }, null, 2)}\n`);
}

/** A project of Google Cloud, or one region of it. */
export interface CloudPlace {
  readonly projectId: string;
  readonly location: string | undefined;
}

export interface Choice {
  readonly url: string;
  /** False where the user was asked and said no: then it is not asked again. */
  readonly isTaken: boolean;
}

const placeKey = ({ projectId, location }: CloudPlace) =>
  `google-cloud:${projectId}${location === undefined ? "" : `/${location}`}`;

/** What the user answered when this was the server that was found. */
export async function rememberedChoice(env: Env, place: CloudPlace): Promise<Choice | undefined> {
  const found = (await readJsonObject(trustPath(env)))?.[placeKey(place)];
  if (typeof found !== "object" || found === null) return undefined;
  const { server_url: url, use } = found as Record<string, unknown>;
  return typeof url === "string" && URL.canParse(url) ? { url, isTaken: use === true } : undefined;
}

export async function rememberChoice(env: Env, place: CloudPlace, { url, isTaken }: Choice): Promise<void> {
  await agree(env, placeKey(place), { server_url: url, use: isTaken });
}

const identityKey = (url: string) => `identity:${url}`;

/** Whether the user agreed that this server may see who they are. */
export async function mayKnowUser(env: Env, url: string): Promise<boolean> {
  return (await readJsonObject(trustPath(env)))?.[identityKey(url)] === true;
}

export async function rememberMayKnowUser(env: Env, url: string): Promise<void> {
  await agree(env, identityKey(url), true);
}

async function agree(env: Env, key: string, value: unknown): Promise<void> {
  const all = (await readJsonObject(trustPath(env))) ?? {};
  await writePrivately(trustPath(env), `${JSON.stringify({ ...all, [key]: value }, null, 2)}\n`);
}
