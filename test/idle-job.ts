/** A job that never gets to its run. Goes with the test that started it. */
const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(0);
}, 200);
