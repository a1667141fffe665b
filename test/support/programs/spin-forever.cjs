// Takes all of a core that it can get.
console.log('spinning');
setImmediate(() => {
  for (;;);
});
