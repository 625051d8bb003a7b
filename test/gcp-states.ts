/** State on the emulators, opened several times as by several processes, with what each asks of Google counted. */
import type { TestContext } from "node:test";
import { connectGcp, type GcpClients } from "../src/gcp/connect.ts";
import { STATE_PATIENCE } from "../src/job/pace.ts";
import { openGcpState } from "../src/state/gcp/open.ts";
import type { State } from "../src/state/port.ts";
import { countUse, type UseCounter } from "./count-use.ts";
import { emulatorsMissing, gcpPlace } from "./emulators.ts";
import { type FlakyProxy, startFlakyProxy } from "./flaky-proxy.ts";
import { requirePart } from "./require.ts";

export interface OpenedGcpState extends GcpClients {
  readonly state: State;
  readonly use: UseCounter;
  /** Before Firestore and Cloud Storage, where the test asked for it. */
  readonly proxies: readonly FlakyProxy[];
}

/**
 * So many handles on one new State; undefined where there are no emulators, and the test is then marked so. Those behind
 * proxies come first.
 */
export async function openGcpStates(
  context: TestContext,
  count: number,
  behindProxies = 0,
): Promise<OpenedGcpState[] | undefined> {
  const reason = emulatorsMissing();
  if (!requirePart(context, "Google's emulators", reason === undefined, reason ?? "")) return undefined;
  const place = await gcpPlace();
  const opened: OpenedGcpState[] = [];
  for (let number = 0; number < count; number += 1) {
    const proxies: FlakyProxy[] = [];
    let env = place.env;
    if (number < behindProxies) {
      const firestore = await startFlakyProxy(env.FIRESTORE_EMULATOR_HOST);
      const storage = await startFlakyProxy(new URL(env.STORAGE_EMULATOR_HOST).host);
      proxies.push(firestore, storage);
      env = { FIRESTORE_EMULATOR_HOST: firestore.host, STORAGE_EMULATOR_HOST: `http://${storage.host}` };
    }
    const use = countUse();
    // Those behind proxies are as patient as a job is.
    const retry = number < behindProxies ? { retry: STATE_PATIENCE } : {};
    const connection = { ...place, env: { ...env }, home: "/", now: Date.now, onUse: use.onUse, ...retry };
    const clients = await connectGcp(connection);
    const state = openGcpState({ ...clients, now: Date.now });
    context.after(async () => {
      for (const proxy of proxies) proxy.restore();
      await state.close();
      for (const proxy of proxies) await proxy.close();
    });
    opened.push({ ...clients, state, use, proxies });
  }
  return opened;
}
