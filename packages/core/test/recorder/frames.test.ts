import { FrameTable, pseudoFrame } from '../../src/recorder/frames.js';

describe('frames', () => {
  it.each([
    ['(idle)', 'idle'],
    ['(program)', 'program'],
    ['(garbage collector)', 'gc'],
    ['(anonymous)', 'code'],
  ])('%s is %s', (name, kind) => {
    expect(pseudoFrame(name).kind).toBe(kind);
  });

  it('built-in functions are code by whatever name, and can be sent to another thread', () => {
    const table = new FrameTable();
    for (const name of [...Object.getOwnPropertyNames(Object.prototype), 'prototype', '']) {
      const node = {
        name,
        scriptName: '',
        scriptId: 0,
        lineNumber: 0,
        columnNumber: 0,
        hitCount: 1,
        children: [],
      };
      const frame = table.intern(node);
      expect(structuredClone(frame)).toEqual({
        kind: 'code',
        functionName: name,
        url: '',
        line: 0,
        column: 0,
      });
      expect(table.intern(node)).toBe(frame);
    }
  });
});
