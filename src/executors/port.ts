/** The executor port: how a job is launched, watched from outside, and ended by force. */

/** What an executor remembers of a launch, kept on the run so that any server can ask again later. */
export interface Execution {
  readonly kind: "local" | "cloud-run";
  /** Local: `pid:startTime`. Cloud Run: the execution's resource name. */
  readonly id: string;
}

export type ExecutionStatus =
  /** `waitingFor`: what a launch that has not begun waits for, in the executor's own words. */
  | { readonly state: "alive"; readonly waitingFor?: string }
  /**
   * The job's program ended or vanished. `exitCode` and `signal` where the executor knows them. Where it knows none of
   * the three, it has not seen the end: then the job's heart has to have stopped as well.
   */
  | {
      readonly state: "gone";
      readonly exitCode: number | null;
      readonly signal: string | null;
      /** The executor's own word for it, such as Google's reason. */
      readonly reason: string | null;
      readonly outOfMemory: boolean;
      /** The executor's own limit of time was reached. */
      readonly timedOut?: boolean;
      /** Somebody told the executor to end it. */
      readonly cancelled?: boolean;
    };

export interface LaunchRequest {
  readonly runId: string;
  readonly workspace: string;
  /** Which of the workspace's two roots the run has the lease of. */
  readonly root: 1 | 2;
  readonly jobProfile: string | null;
  readonly timeoutMs: number | null;
  /** Whether the run only reads; an executor may run those elsewhere. */
  readonly access?: "read" | "write";
}

/** What of a launch is known before its run is there. */
export type AheadRequest = Pick<LaunchRequest, "runId" | "jobProfile" | "access">;

export interface Executor {
  readonly kind: Execution["kind"];
  /** Resolves once the job's program has been started; throws `AppError` with the reason where it could not be. */
  launch(request: LaunchRequest): Promise<Execution>;
  /**
   * How a job is launched that waits for its run to come, as it does where its execution is written down as one that was
   * launched ahead. Absent, or undefined, where such a run's job can't be.
   */
  ahead?(request: AheadRequest): (() => Promise<Execution>) | undefined;
  status(execution: Execution): Promise<ExecutionStatus>;
  /** Ends the job by force. Only after a cancellation in State was given its grace period. */
  kill(execution: Execution): Promise<void>;
  /** Called back as soon as the executor itself notices that an execution ended; may never be. */
  onExit(callback: (runId: string) => void): void;
  /** Where jobs can't outlive this process: asks them to end in a hurry, and resolves when they have or `withinMs` is over. */
  drain?(withinMs: number): Promise<void>;
  close(): Promise<void>;
}
