/** Brings what is shown in line with what is true, and launches what waits: for a scheduler's tick, and for jobs that end. */
import { paths } from "../../api/paths.ts";
import { ReconcileAnswer } from "../../api/schemas/server.ts";
import type { App, AppContext } from "./context.ts";

export function addReconcileRoutes(app: App, { reconcile, stores }: AppContext): void {
  app.post(
    paths.reconcile,
    {
      // Schedulers send a body of their own, or none.
      preValidation: async (request) => {
        request.body = undefined;
      },
      schema: {
        summary: "Looks after runs whose job is gone, and launches those whose turn it is",
        description: "Resolves when that is done. Servers do it by themselves while they are alive.",
        response: { 200: ReconcileAnswer },
      },
    },
    async () => {
      await reconcile();
      const active = await stores.runs.list({ statuses: ["pending", "running"] });
      const running = active.filter(({ status }) => status === "running").length;
      return { running, pending: active.length - running };
    },
  );
}
