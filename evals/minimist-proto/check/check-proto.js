const assert = require('assert');
const parse = require('./index.js');
const ways = [
  ['--__proto__.polluted', 'yes'], ['--__proto__.polluted=yes'], ['--a.__proto__.polluted', 'yes'], ['--a.b.__proto__.polluted=yes'],
  ['--constructor.prototype.polluted', 'yes'], ['--a.constructor.prototype.polluted', 'yes'], ['--constructor.polluted', 'yes'],
  ['--__proto__.toString=yes'], ['--__proto__.__proto__.polluted', 'yes'], ['--toString.constructor.prototype.polluted', 'yes'],
  ['--constructor.constructor.prototype.polluted', 'yes'], ['--__proto__.constructor.prototype.polluted', 'yes'],
  ['--x.y.constructor.prototype.polluted', 'yes'], ['--no-__proto__.polluted'],
];
const before = String(Object.prototype.toString);
for (const args of ways) {
  try { parse(args); } catch (error) { console.log(`${args}: ${error.message}`); process.exit(1); }
  if ('polluted' in {} || 'polluted' in (() => {}) || 'polluted' in Object || String(Object.prototype.toString) !== before) {
    console.log(`still open: ${args.join(' ')}`);
    process.exit(1);
  }
}
const others = [
  [['--a.b', '1', '--a.c=x'], { _: [], a: { b: 1, c: 'x' } }],
  [['-abc', 'x'], { _: ['x'], a: true, b: true, c: true }, { boolean: ['a', 'b', 'c'] }],
  [['--no-color', 'y'], { _: ['y'], color: false }],
  [['--n', '5', '--n', '6'], { _: [], n: [5, 6] }],
  [['--a.b.c.d', 'x'], { _: [], a: { b: { c: { d: 'x' } } } }],
  [['--', '--x'], { _: ['--x'] }],
  [['--s', '07'], { _: [], s: '07' }, { string: 's' }],
  [['--prototype', 'x'], { _: [], prototype: 'x' }],
];
for (const [args, expected, options] of others) {
  try { assert.deepEqual(parse(args, options), expected); } catch (error) {
    console.log(`changed: ${args.join(' ')} gives ${JSON.stringify(parse(args, options))}`);
    process.exit(1);
  }
}
console.log(`${ways.length} ways are closed, ${others.length} others are as they were`);
