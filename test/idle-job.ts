/** A job that never gets to its run. */
setTimeout(() => {}, 60_000);
