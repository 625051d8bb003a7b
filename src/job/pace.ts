/** How often a job speaks to State: beside a file of the same machine that costs nothing, on Google Cloud each time. */
export interface Pace {
  readonly beatEveryMs: number;
  readonly renewEveryMs: number;
  /** A lease outlives several missed beats, and on Google Cloud minutes without State. */
  readonly leaseTtlMs: number;
  /** In case a change was not told. */
  readonly cancellationEveryMs: number;
  readonly followersEveryMs: number;
  /** How long the run's end is tried to be written down. */
  readonly insistMs: number;
}

export const LOCAL_PACE: Pace = {
  beatEveryMs: 2_000,
  renewEveryMs: 2_000,
  // A machine that swaps must not lose its workspace to another run.
  leaseTtlMs: 30_000,
  cancellationEveryMs: 1_500,
  followersEveryMs: 1_000,
  insistMs: 30_000,
};

export const GCP_PACE: Pace = {
  beatEveryMs: 10_000,
  renewEveryMs: 30_000,
  leaseTtlMs: 300_000,
  cancellationEveryMs: 10_000,
  followersEveryMs: 5_000,
  insistMs: 10 * 60_000,
};

/** How long a job that was launched ahead waits for its run: a container that waits costs as much as one that works. */
export const AHEAD_WAIT_MS = 60_000;

/** How long a job asks a State on Google Cloud that does not answer: nothing is lost for minutes without it. */
export const STATE_PATIENCE = { giveUpAfterMs: 180_000, firstPauseMs: 100, maxPauseMs: 5_000 } as const;
