/** A job that never gets to its run. Goes with the test that started it, which may be over before it has begun. */
const LONGEST_MS = 120_000;
const parent = process.ppid;
setTimeout(() => process.exit(0), LONGEST_MS);
setInterval(() => {
  if (process.ppid !== parent) process.exit(0);
}, 200);
